"""What qdrant-client raises, as the three kinds of failure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from domain.errors import PermanentError, RetryableError

BUSY = frozenset({408, 425, 429})
LOCKED = frozenset({401, 403})


class MissingCollectionError(RetryableError):
    """The collection is not there (yet, or no longer); nothing is wrong with the item."""


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Raise the project's errors for the client's.

    Raises:
        RetryableError: the store did not answer, is busy, or refuses the key.
        MissingCollectionError: the store knows no such collection.
        PermanentError: the store understood the request and refused it.
    """
    try:
        yield
    except ResponseHandlingException as error:
        raise _unanswered(url, error.source) from error
    except ResourceExhaustedResponse as error:
        raise RetryableError(f"the index at {url} is busy: {error}") from error
    except UnexpectedResponse as error:
        raise _refused(url, error) from error
    except (json.JSONDecodeError, AssertionError) as error:  # the client asserts a result
        raise _unanswered(url, error) from error
    except ValueError as error:
        # qdrant-client's local mode says it so
        if "not found" in str(error):
            raise MissingCollectionError(str(error), remedy=REMEDY_MISSING) from error
        raise


REMEDY_MISSING = "run `firstlight reindex` if this lasts"


def _unanswered(url: str, source: Exception) -> RetryableError:
    if isinstance(source, httpx.TimeoutException | TimeoutError):
        what = f"the index at {url} did not answer in time ({type(source).__name__})"
        remedy = "see whether it is overloaded, or raise FIRSTLIGHT_INDEX_TIMEOUT_S"
    elif isinstance(source, httpx.HTTPError | OSError):
        what = f"the index at {url} does not answer ({source or type(source).__name__})"
        remedy = "start it (`firstlight up` or `firstlight index-server`) or set"
        remedy += " FIRSTLIGHT_INDEX_URL to where it is"
    else:
        what = f"the index at {url} answered what Qdrant would not ({source})"
        remedy = "see whether FIRSTLIGHT_INDEX_URL names a Qdrant server"
    return RetryableError(what, remedy=remedy)


def _refused(url: str, error: UnexpectedResponse) -> RetryableError | PermanentError:
    said = _reason(error)
    status = error.status_code or 0
    if status in LOCKED:
        return RetryableError(
            f"the index at {url} refuses the key ({status}: {said})",
            remedy="set FIRSTLIGHT_INDEX_API_KEY",
        )
    if status == 404:
        return MissingCollectionError(f"the index at {url}: {said}", remedy=REMEDY_MISSING)
    if status >= 500 or status in BUSY:
        return RetryableError(f"the index at {url} failed ({status}: {said})", remedy="try later")
    return PermanentError(f"the index at {url} refused the request ({status}: {said})")


def _reason(error: UnexpectedResponse) -> str:
    try:
        found = json.loads(error.content)["status"]["error"]
    except (ValueError, KeyError, TypeError):
        found = error.content.decode(errors="replace")[:300] or error.reason_phrase
    return str(found)
