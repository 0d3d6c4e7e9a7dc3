"""The three kinds of failure. The pipeline acts on the kind, never on the text.

An error says what was wrong (`field`, `message`) and what to do about it (`remedy`).
"""

from __future__ import annotations


class FirstlightError(Exception):
    """Base of every error this project raises on purpose."""

    def __init__(self, message: str, *, field: str = "", remedy: str = "") -> None:
        self.message = message
        self.field = field
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.field}: {self.message}" if self.field else self.message
        return f"{text}; {self.remedy}" if self.remedy else text

    def __reduce__(self) -> tuple[object, ...]:
        state = {"message": self.message, "field": self.field, "remedy": self.remedy}
        return (_rebuild, (type(self), state))


def _rebuild(kind: type[FirstlightError], state: dict[str, str]) -> FirstlightError:
    return kind(state["message"], field=state["field"], remedy=state["remedy"])


class RetryableError(FirstlightError):
    """Nothing wrong with the input: a store, broker or host did not answer. Try later."""


class PermanentError(FirstlightError):
    """The same input will fail again. Dead-letter it with this reason."""


class RejectedError(FirstlightError):
    """The caller's fault, told at once; nothing was accepted."""


class NotFoundError(RejectedError):
    """The caller named an item, user or upload that does not exist."""
