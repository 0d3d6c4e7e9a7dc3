"""What both MovieLens sets share."""

from __future__ import annotations

import re
from collections.abc import Mapping

UNKNOWN = ("", "N/A")
GENDERS = {"F": "female", "M": "male"}
YEAR = re.compile(r"\((\d{4})\)\s*$")


def year_of(title: str) -> int | None:
    """The year at the end of a MovieLens title."""
    found = YEAR.search(title)
    return int(found.group(1)) if found else None


def known(attributes: Mapping[str, object]) -> dict[str, object]:
    """Attributes without those that are unknown or empty."""
    return {
        name: value
        for name, value in attributes.items()
        if value is not None and value not in ([], *UNKNOWN)
    }
