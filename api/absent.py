"""Items that a request speaks of and that cannot be used."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from api.problems import field_error, invalid_fields
from catalog import Catalog, ItemState


def explain_absent(
    catalog: Catalog,
    asked: Sequence[tuple[str, str]],
    held: Collection[str] | Mapping[str, Any],
    notes: list[str],
    *,
    once_shown: bool = False,
) -> None:
    """Items that are unknown or deleted are an error, those that are not indexed a note.

    Args:
        once_shown: whether the API itself brought the items up; then deleted ones are a note, too.
        asked: (field, item id) as the request has them.
        held: ids of the items that are indexed.

    Raises:
        ProblemError: 422, naming every field at fault.
    """
    absent = [(field, item_id) for field, item_id in asked if item_id not in held]
    if not absent:
        return
    states = catalog.states([item_id for _, item_id in absent])
    errors = []
    for field, item_id in absent:
        state = states[item_id][1] if item_id in states else None
        if state is None or (state is ItemState.DELETED and not once_shown):
            errors.append(
                field_error(
                    field,
                    f"no item {item_id!r}" + (": it was deleted" if state else ""),
                    "publish it first, or leave it out",
                )
            )
        else:
            notes.append(f"{field}: item {item_id!r} is {state.value}, so it was left out")
    if errors:
        raise invalid_fields(errors)
