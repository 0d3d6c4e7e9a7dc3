"""Names made comparable: normalised text, and the year and the numbers in it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

YEAR = re.compile(r"\(((?:1[5-9]|20)\d\d)\)\s*$")
YEAR_START = re.compile(r"^((?:1[5-9]|20)\d\d)(?:\D|$)")
YEAR_ATTRIBUTES = ("year", "release_year", "released", "release_date", "date", "published")
LATE_ARTICLE = re.compile(r"^(.*), (the|a|an|le|la|les|il|el|los|las|der|die|das)$")
ARTICLE = re.compile(r"^(the|a|an) ")
NUMBER = re.compile(r"\d+|\b(?:ii|iii|iv|v|vi|vii|viii|ix|x)\b")


def normalised(name: str) -> str:
    """A name to compare by: no case, accents, punctuation, leading article or year at its end.

    "Matrix, The (1999)" and "the matrix" become the same. "" where nothing is left.
    """
    text = unicodedata.normalize("NFKD", YEAR.sub("", name).strip()).casefold()
    text = "".join(char for char in text if not unicodedata.combining(char))
    text = LATE_ARTICLE.sub(r"\2 \1", text)
    text = text.replace("&", " and ").replace("'", "").replace("’", "")
    text = " ".join("".join(char if char.isalnum() else " " for char in text).split())
    return ARTICLE.sub("", text)


def year_in(name: str) -> int | None:
    """The year in brackets at the end of a name."""
    found = YEAR.search(name)
    return int(found.group(1)) if found else None


def year_of(title: str, attributes: Mapping[str, Any]) -> int | None:
    """An item's year: at the end of its title, or a year or date among its attributes."""
    if (found := year_in(title)) is not None:
        return found
    for name in YEAR_ATTRIBUTES:
        start = YEAR_START.match(str(attributes.get(name, "")))
        if start:
            return int(start.group(1))
    return None


def numbers_in(name: str) -> tuple[str, ...]:
    """What tells parts of a series apart: digits and Roman numerals, in order, without the year."""
    return tuple(NUMBER.findall(normalised(name)))
