"""Paths as reasons: item -relation-> entity <-relation- item of the history.

The rarer the entity, the better the reason: "directed by" someone with three films says more than
a language with a thousand. Entities above HUB_DEGREE are no reason at all, and each node is
described by its rarest features, so that no hub costs more than a handful of look-ups.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log

import numpy as np

from ranking.graph.knowledge import KnowledgeGraph

HUB_DEGREE = 10_000
"""An entity with more edges than this is no reason."""

RAREST = 256
"""Features looked at per node, the rarest first."""

OTHER_ROLE = 0.7
"""What a path counts whose two relations differ (written by, directed by), against 1."""

PREPOSITIONS = frozenset({"at", "by", "for", "from", "in", "on", "to", "with"})
"""With one of these at its end a relation from the other side speaks of the item."""

NAMESPACE = re.compile(r"[/#:]")
CAMEL = re.compile(r"(?<=[a-z])[A-Z](?=[a-z])")

DIRECT = 1.5
"""What an edge between the two items themselves counts (a sequel)."""


@dataclass(frozen=True, slots=True)
class Path:
    """One reason.

    Attributes:
        because: position of the history item in the list that was given.
        relation: how the recommended item relates to the entity, in words: "directed by".
        other_relation: how the history item does, the same in most paths; "" where the two items
            are neighbours (a sequel).
        entity: id of the entity between the two; of two neighbours, the history item's own.
        name: its name.
        weight: rarity in nats, scaled by the kind of path; comparable between paths.
    """

    because: int
    relation: str
    other_relation: str
    entity: str
    name: str
    weight: float

    def text(self, history_title: str) -> str:
        """In words: "because you liked Alien: directed by Ridley Scott"."""
        if not self.other_relation:
            return f"because you liked {history_title}: {self.relation}"
        between = ": " if self.relation.endswith(" it") else " "
        shared = f"because you liked {history_title}: {self.relation}{between}{self.name}"
        if self.other_relation == self.relation:
            return shared
        return f"{shared} ({history_title}: {self.other_relation})"


@dataclass(frozen=True, slots=True)
class Reasons:
    """The features of one user's history, ready to be met by those of any item.

    Attributes:
        nodes: {history node: its position}.
        features: {entity node: [(position, kind)]}.
    """

    graph: KnowledgeGraph
    nodes: dict[int, int] = field(repr=False)
    features: dict[int, list[tuple[int, int]]] = field(repr=False)

    def paths(self, node: int, limit: int = 1) -> list[Path]:
        """The best paths from a recommended item's node to the history, at most one per entity.

        That it is in the history itself is no reason for it.

        Args:
            node: -1 where the item is not linked: no paths.
        """
        if node < 0:
            return []
        graph, size, itself = self.graph, len(self.graph.entities), self.nodes.get(node)
        degrees, total = graph.degrees, 2 * max(len(graph.edges), 1)
        best: dict[int, tuple[float, int, int, int | None]] = {}
        for code in rarest(graph, node):
            kind, entity = divmod(code, size)
            direct = self.nodes.get(entity)
            meets = [meet for meet in self.features.get(entity, ()) if meet[0] != itself]
            if direct is None and not meets:
                continue
            rarity = log(total / int(degrees[entity]))
            options: list[tuple[float, int, int | None]] = [
                (1.0 if other == kind else OTHER_ROLE, at, other) for at, other in meets
            ]
            if direct is not None:
                options.append((DIRECT, direct, None))
            share, at, other = max(options, key=lambda option: (option[0], -option[1]))
            if entity not in best or rarity * share > best[entity][0]:
                best[entity] = (rarity * share, at, kind, other)
        ranked = sorted(best.items(), key=lambda entry: (-entry[1][0], entry[1][1], entry[0]))
        return [
            Path(
                because=at,
                relation=words(graph, kind),
                other_relation="" if other is None else words(graph, other),
                entity=graph.entities[entity],
                name=graph.name(entity),
                weight=weight,
            )
            for entity, (weight, at, kind, other) in ranked[:limit]
        ]


def reasons(graph: KnowledgeGraph, history: Sequence[int]) -> Reasons:
    """Of the nodes of a user's history, the most recent first; -1 for an item without a node."""
    nodes: dict[int, int] = {}
    features: dict[int, list[tuple[int, int]]] = {}
    size = len(graph.entities)
    for at, node in enumerate(history):
        if node < 0 or node in nodes:
            continue
        nodes[node] = at
        for code in rarest(graph, node):
            kind, entity = divmod(code, size)
            features.setdefault(entity, []).append((at, kind))
    return Reasons(graph, nodes, features)


def rarest(graph: KnowledgeGraph, node: int) -> list[int]:
    """Codes of a node's features whose entity is no hub, the RAREST of them."""
    codes = graph.features(node)
    degrees = graph.degrees[codes % len(graph.entities)]
    codes, degrees = codes[degrees <= HUB_DEGREE], degrees[degrees <= HUB_DEGREE]
    if len(codes) > RAREST:
        codes = codes[np.argpartition(degrees, RAREST)[:RAREST]]
    found: list[int] = codes.tolist()
    return found


def words(graph: KnowledgeGraph, kind: int) -> str:
    """A relation in words, from the side of the item: its name, else those of its id.

    "film.film.directed_by" and "directedBy" read "directed by"; of an address what is behind the
    last / or # counts. An edge that reaches the item is told by the role of its other end:
    "director_of" and "film.director.film" read "director", "based_on" reads "based on it".
    """
    number = kind % len(graph.relations)
    given = graph.relation_names.get(number)
    parts = [given] if given else [_plain(part) for part in _parts(graph.relations[number])]
    last = parts[-1]
    if kind < len(graph.relations):
        return last
    role, _, preposition = last.rpartition(" ")
    if role and preposition.casefold() == "of":
        return role
    if len(parts) > 1:
        return parts[-2]
    return f"{last} it" if role and preposition.casefold() in PREPOSITIONS else f"{last} of"


def _parts(relation: str) -> list[str]:
    """What an id is put together from, without its namespace: of "ns:film.director" the two."""
    local = NAMESPACE.split(relation.strip("./:# "))[-1]
    return [part for part in local.split(".") if part.strip(" _")] or [relation]


def _plain(name: str) -> str:
    apart = CAMEL.sub(lambda found: f" {found[0].lower()}", name)
    return " ".join(apart.replace("_", " ").split())
