"""The full explanation of an answer, where one is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api.candidates import Candidates
from api.choice import Choice
from api.history import History
from api.ranked import Space
from domain.items import Item
from index import Hit
from ranking import Explained, Query
from ranking.sources import HISTORY, Source, history_asks, sources

PATHS = 3
"""Paths through the graph that are told of one result."""


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
    paths = _paths(space, [found.hits[one.at] for one in choice.results], history)
    explanations = [
        {"sources": [_shown(row, history) for row in rows], "paths": path}
        for (_, rows), path in zip(tables, paths, strict=True)
    ]
    return [one for one, _ in tables], explanations


def _paths(space: Space, hits: Sequence[Hit], history: History) -> list[list[str]]:
    """What each item shares with the history in the knowledge graph, in words."""
    if space.graph is None or not len(history):
        return [[] for _ in hits]
    graph = space.graph
    taken = zip(history.ids, history.titles, history.attributes, strict=True)
    reasons = graph.reasons([_item(*one) for one in taken])
    names = [title or item_id for title, item_id in zip(history.titles, history.ids, strict=True)]
    nodes = graph.nodes_of([_item(hit.id, hit.title, hit.attributes) for hit in hits]).tolist()
    return [
        [path.text(names[path.because]) for path in reasons.paths(node, PATHS)] for node in nodes
    ]


def _item(item_id: str, title: str, attributes: Mapping[str, Any]) -> Item:
    """What the graph links by, of an item that was checked when it was published."""
    return Item.model_construct(id=item_id, title=title, attributes=dict(attributes))


def _shown(source: Source, history: History) -> dict[str, Any]:
    found: dict[str, Any] = {"source": source.name}
    if source.item is not None:
        found["item"] = history.ids[source.item]
        found["title"] = history.titles[source.item]
    return {**found, "score": source.score, "parts": source.parts}
