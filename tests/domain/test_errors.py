"""The kinds of failure."""

from __future__ import annotations

import pickle

import pytest

from domain.errors import (
    FirstlightError,
    NotFoundError,
    PermanentError,
    RejectedError,
    RetryableError,
)


def test_an_error_says_where_what_and_what_to_do() -> None:
    error = RejectedError("4 tags, the limit is 3", field="data.tags", remedy="send fewer")
    assert str(error) == "data.tags: 4 tags, the limit is 3; send fewer"
    assert str(PermanentError("truncated")) == "truncated"


@pytest.mark.parametrize("kind", [RetryableError, PermanentError, RejectedError, NotFoundError])
def test_an_error_survives_the_way_between_processes(kind: type[FirstlightError]) -> None:
    error = kind("what", field="where", remedy="do this")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (again.message, again.field, again.remedy) == ("what", "where", "do this")


def test_what_is_not_found_was_asked_wrongly() -> None:
    assert issubclass(NotFoundError, RejectedError)
    assert not issubclass(RejectedError, RetryableError)
