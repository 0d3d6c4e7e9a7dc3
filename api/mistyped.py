"""Why filters found nothing and rules lifted nothing: another type than the items hold is meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from domain.filters import Condition, Filters
from index import ItemIndex
from index.attributes import type_of

NUMBER = "number"


def explain_empty(
    results: Sequence[Any], notes: list[str], index: ItemIndex, collection: str, filters: Filters
) -> None:
    """Add a note for each filter of another type than its attribute's, where nothing was found.

    No more than a note: an attribute may hold several types, and only the first one is known.
    """
    if filters and not results:
        notes.extend(mistyped(filters, index.attributes(collection)))


def mistyped(filters: Filters, types: Mapping[str, str], field: str = "filters") -> Iterator[str]:
    """A line for each condition that no value of its attribute's type can meet.

    Args:
        types: text, number or boolean by attribute.
        field: of the request that holds the conditions.
    """
    for name, condition in filters.items():
        held = types.get(name)
        for asked in _asked(condition):
            if held is not None and held not in asked:
                yield (
                    f"{field}.{name}: asks for a {' or '.join(sorted(asked))}, but the first"
                    f" {name} that was published is a {held}; ask for a {held}"
                )


def _asked(condition: Condition) -> Iterator[set[str]]:
    """The types that each part of a condition can be met by."""
    for wanted in ([condition.eq] if condition.eq is not None else None, condition.any):
        kinds = {kind for one in wanted or () if (kind := type_of(one)) is not None}
        if kinds:
            yield kinds
    if condition.has_range:
        yield {NUMBER}
