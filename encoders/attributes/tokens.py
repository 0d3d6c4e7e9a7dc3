"""Attributes as tokens: "genre=drama" for what is equal or not, buckets for what is near or far."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from functools import lru_cache

from domain.fields import AttributeValue, Scalar

ATTRIBUTES = "attributes"
"""Name of the block."""

FORMULA = "attribute tokens: 2"
"""Part of the version of every fusion with the block: other tokens are another fusion."""

MOST_PER_NAME = 100
MOST_PER_ITEM = 1000
MOST_CHARS = 128
"""Of one token's value; longer text is for the text encoder."""

_YEARS = range(1000, 3000)
_SURELY_YEARS = range(1500, 2101)
_YEARS_SHARE = 0.9
_YEAR_WIDTHS = (2, 5, 10, 20, 50)
_DAY_WIDTHS = (7, 30, 91)
_STEPS = (1, 2, 5)
_FINEST, _COARSEST = 50.0, 0.5
"""Bucket widths of a number v lie between v / 50 and 2 v."""

_OCTAVES = (1, 3)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_WIDTH = re.compile(r"~(?:log~|(\d[\d.e+-]*?)\+?:)")
_YEAR = re.compile(r"[12]\d{3}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:?\d\d.*)?")


def attribute_tokens(attributes: Mapping[str, AttributeValue]) -> list[str]:
    """What the block knows of an item; see `grouped_tokens`. Sorted, each once."""
    return sorted(token for tokens in grouped_tokens(attributes).values() for token in tokens)


def grouped_tokens(attributes: Mapping[str, AttributeValue]) -> dict[str, list[str]]:
    """{name: its tokens, sorted, each once}; names and values in one case and spacing.

    A list gives the tokens of each of its values, in whatever order they come. At most
    MOST_PER_NAME tokens of a name are kept, and about MOST_PER_ITEM in all: exact values first.
    """
    found: dict[str, set[str]] = {}
    for name, value in attributes.items():
        tokens = found.setdefault(name.casefold(), set())
        for one in values_of(value):
            tokens.update(value_tokens(name, one))
    most = min(MOST_PER_NAME, max(1, MOST_PER_ITEM // max(1, len(found))))
    return {name: sorted(found[name])[:most] for name in sorted(found) if found[name]}


def values_of(value: AttributeValue) -> list[Scalar]:
    """The values of an attribute, one or several."""
    return value if isinstance(value, list) else [value]


@lru_cache(maxsize=1 << 16, typed=True)
def value_tokens(name: str, value: Scalar) -> tuple[str, ...]:
    """Tokens of one value, most exact first.

    Text and yes/no give "name=value". A number gives that and buckets around it: every width
    twice, shifted by half, so that neighbours share a bucket wherever they lie. A whole number
    from 1000 to 2999 may be a year or an amount and gives the buckets of both, also where it is
    sent as text; a fit leaves out those of amounts where a name has years alone
    (`beyond_years`). ISO 8601 dates and timestamps (UTC where they carry a zone) give their year
    and windows of days. Text in whichever Unicode form is read in the composed one.
    """
    name = name.casefold()
    if isinstance(value, bool):
        return (f"{name}={'true' if value else 'false'}",)
    if isinstance(value, int | float):
        return tuple(_number(name, value)) if math.isfinite(value) else ()
    text = unicodedata.normalize("NFC", " ".join(value.split()))
    if _YEAR.fullmatch(text):
        return tuple(_number(name, int(text)))
    if _DATE.fullmatch(text) and (day := _day(text)) is not None:
        return tuple(_date(name, day))
    return (f"{name}={text.casefold()[:MOST_CHARS]}",) if text else ()


def beyond_years(tokens: Mapping[str, int]) -> set[str]:
    """Those of a catalogue's tokens that take a year for an amount.

    A name of whose numbers nine in ten are whole ones from 1500 to 2100 has years: as amounts go
    they are all near one another, and wide buckets say nothing. Prices are seldom so.

    Args:
        tokens: {token: items that have it}.
    """
    numbers, years = Counter[str](), Counter[str]()
    wide: list[tuple[str, str]] = []
    for token, count in tokens.items():
        name, equals, value = token.partition("=")
        if equals and _NUMBER.fullmatch(value):
            numbers[name] += count
            years[name] += count if value.isdecimal() and int(value) in _SURELY_YEARS else 0
        elif not equals:
            name = token.partition("~")[0]
            found = _WIDTH.match(token, len(name))
            if found and (found[1] is None or float(found[1]) > _YEAR_WIDTHS[-1]):
                wide.append((name, token))
    return {token for name, token in wide if years[name] >= _YEARS_SHARE * numbers[name] > 0}


def _number(name: str, value: float) -> Iterable[str]:
    whole = float(value).is_integer()
    yield f"{name}={int(value)}" if whole and abs(value) < 2**53 else f"{name}={value:.6g}"
    size = min(max(abs(value) or 1.0, 1e-300), 1e300)  # widths around it stay finite
    widths = _widths(size)
    if whole and int(value) in _YEARS:
        widths = [*_YEAR_WIDTHS, *(width for width in widths if width > _YEAR_WIDTHS[-1])]
    yield from _buckets(name, value, widths)
    if value:
        sign = "log" if value > 0 else "-log"
        yield from _buckets(f"{name}~{sign}", math.log2(size), _OCTAVES)


def _widths(size: float) -> list[float]:
    first = math.floor(math.log10(size)) - 2
    widths = [step * 10.0**power for power in range(first, first + 4) for step in _STEPS]
    return [width for width in widths if _COARSEST <= size / width <= _FINEST]


def _buckets(name: str, value: float, widths: Iterable[float]) -> Iterable[str]:
    for width in widths:
        yield f"{name}~{width:g}:{math.floor(value / width)}"
        yield f"{name}~{width:g}+:{math.floor(value / width + 0.5)}"


def _day(text: str) -> date | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return moment.date()
    try:
        return moment.astimezone(UTC).date()
    except OverflowError:
        return moment.date()


def _date(name: str, day: date) -> Iterable[str]:
    yield f"{name}={day.isoformat()}"
    yield f"{name}~month:{day:%Y-%m}"
    yield f"{name}~year:{day.year}"
    yield from _buckets(f"{name}~years", day.year, _YEAR_WIDTHS)
    yield from _buckets(f"{name}~days", day.toordinal(), _DAY_WIDTHS)
