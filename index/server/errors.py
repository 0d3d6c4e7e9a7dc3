"""Refusals: the caller's fault, with the HTTP status a Qdrant server would answer."""

from __future__ import annotations

from http import HTTPStatus

from domain.errors import RejectedError


class RefusedError(RejectedError):
    """A request that is refused; nothing of it was done.

    Attributes:
        status: HTTP status of the answer.
    """

    def __init__(
        self, message: str, *, status: int = HTTPStatus.BAD_REQUEST, remedy: str = ""
    ) -> None:
        self.status = status
        super().__init__(message, remedy=remedy)


def wrong(message: str) -> RefusedError:
    """400: the request contradicts itself or the collection."""
    return RefusedError(f"Wrong input: {message}")


def missing(message: str) -> RefusedError:
    """404: what is named does not exist."""
    return RefusedError(f"Not found: {message}", status=HTTPStatus.NOT_FOUND)


def conflict(message: str) -> RefusedError:
    """409: what is named exists already."""
    return RefusedError(f"Wrong input: {message}", status=HTTPStatus.CONFLICT)


def unsupported(what: str, instead: str) -> RefusedError:
    """501: Qdrant knows it, this server does not.

    Args:
        what: the field, value or operation.
        instead: what the caller can use.
    """
    return RefusedError(
        f"Not supported by the embedded index server: {what}",
        status=HTTPStatus.NOT_IMPLEMENTED,
        remedy=instead,
    )
