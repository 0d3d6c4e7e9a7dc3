"""The scalar types that events are made of."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

MAX_VERSION = 2**53 - 1
"""Versions stay exact in JSON numbers and in the index's range filters, which are float64."""


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("contains a NUL character (U+0000); remove it")
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("contains a lone surrogate; send valid Unicode")
    return text


Text = Annotated[str, AfterValidator(_storable)]
"""Unicode text that every store can hold: no NUL, no lone surrogate."""

Identifier = Annotated[
    str, StringConstraints(min_length=1, max_length=256), AfterValidator(_storable)
]
"""An item, user or event id: 1 to 256 characters, owned by the publisher."""


NO_VERSION = (
    "a version is a whole number or an ISO 8601 timestamp with a zone;"
    " send one such as 3 or 2026-01-31T09:30:00Z"
)


def _to_version(value: Any) -> Any:
    """An integer, or a timestamp with a zone turned into microseconds since 1970."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(NO_VERSION) from None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a timestamp needs a zone; append Z or an offset such as +02:00")
        since_epoch = value - datetime(1970, 1, 1, tzinfo=UTC)
        value = since_epoch.days * 86_400_000_000 + since_epoch.seconds * 1_000_000
        value += since_epoch.microseconds
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(NO_VERSION)
    if not 1 <= value <= MAX_VERSION:
        raise ValueError(
            f"a version lies between 1 and {MAX_VERSION} (2^53 - 1);"
            " send one in between, or none to get the next"
        )
    return value


Version = Annotated[int, BeforeValidator(_to_version)]
"""Newest wins. int in [1, 2^53 - 1]; timestamps become microseconds since 1970."""


def _to_moment(value: Any) -> Any:
    """Numbers, also in quotes, would be read as seconds or milliseconds since 1970, as they fit."""
    if isinstance(value, datetime) or (isinstance(value, str) and not is_number(value)):
        return value
    raise ValueError(
        "a timestamp is ISO 8601 text with a zone; send one such as 2026-01-31T09:30:00Z"
    )


def is_number(text: str) -> bool:
    """Whether a text reads as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _zoned(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a timestamp needs a zone; append Z or an offset such as +02:00")
    return value


Timestamp = Annotated[datetime, BeforeValidator(_to_moment), AfterValidator(_zoned)]
"""A point in time with a zone."""

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A finite number that was sent as one, not as text or true."""

AttributeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]

Scalar = str | bool | int | float
AttributeValue = Scalar | list[Scalar]

TOO_LARGE = "whole numbers stay within +-(2^53 - 1); send larger ones as text"


def check_scalar(value: object) -> Scalar:
    """Refuse what cannot be stored and filtered exactly. Raises ValueError."""
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        if abs(value) > MAX_VERSION:
            raise ValueError(TOO_LARGE)
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("NaN and infinity are not allowed; leave the attribute out")
        return value
    raise ValueError(
        "not an attribute's value; send a text, a number, true/false, or a list of those"
    )
