"""The full explanation of an answer, where one is asked for."""

from __future__ import annotations

from typing import Any

from api.candidates import Candidates
from api.choice import Choice
from api.history import History
from api.ranked import Space
from ranking import Explained, Query
from ranking.sources import HISTORY, Source, history_asks, sources


def explained_in_full(
    space: Space, query: Query, found: Candidates, choice: Choice, history: History
) -> tuple[list[Explained], list[dict[str, Any]]]:
    """The score of each result, and its Explanation as plain values.

    The scores are those of the choice, but for rounding that nobody can see: a table of many
    numbers that add up exactly needs a coarser step than a few.
    """
    asks = None
    if HISTORY in query.by_part and len(history):
        content = space.rank.content_of(history.ranks)
        asks = history_asks(space.hybrid.projection, query, content, history.decayed)
    tables = sources(
        None if query.is_zero else query,
        found.vectors[[one.at for one in choice.results]],
        space.rank.blocks,
        [one.told for one in choice.results],
        asks,
    )
    told = [one for one, _ in tables]
    return told, [{"sources": [_shown(row, history) for row in rows]} for _, rows in tables]


def _shown(source: Source, history: History) -> dict[str, Any]:
    found: dict[str, Any] = {"source": source.name}
    if source.item is not None:
        found["item"] = history.ids[source.item]
        found["title"] = history.titles[source.item]
    return {**found, "score": source.score, "parts": source.parts}
