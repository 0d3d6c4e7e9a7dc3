"""Which entity an item is: by exact id, then by title or alias, then by similarity of names.

Whatever is uncertain is left unlinked: an unlinked item loses the graph term, a wrongly linked one
gets another item's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from domain.items import Item
from domain.vectors import Matrix
from ranking.graph.knowledge import KnowledgeGraph
from ranking.graph.names import normalised, numbers_in, year_in, year_of

ID_ATTRIBUTES = (
    "entity",
    "entity_id",
    "kg_id",
    "wikidata",
    "wikidata_id",
    "freebase",
    "freebase_id",
)
"""Attributes of an item that may hold the id of its entity."""

YEARS_APART = 1
"""Years that differ by more belong to different works."""

THRESHOLD = 0.92
"""Cosine of the names' embeddings from which the nearest name counts as the same."""

MAX_NAMES = 20_000
"""Names encoded in one linking by similarity; with more entities or items it is left out."""

BLOCK = 1024

ENOUGH = 20
"""Linked items from which it is known what kinds of edges an item's entity has."""

TYPICAL = 0.1
"""Share of the linked entities that have a kind of edge for it to be typical of items."""

Embed = Callable[[Sequence[str]], Matrix]
"""Texts [n] to unit vectors [n, dim] float32; a row of zeros where a text says nothing."""


class Way(StrEnum):
    """How an item found its entity."""

    GIVEN = "given"
    ID = "id"
    ATTRIBUTE = "attribute"
    TITLE = "title"
    SIMILAR = "similar"


@dataclass(frozen=True, slots=True)
class Link:
    """One item's entity.

    Attributes:
        score: cosine of the names where `way` is SIMILAR, otherwise 1.
    """

    node: int
    way: Way
    score: float = 1.0


@dataclass
class Links:
    """What became of all items.

    Attributes:
        found: {item id: link}.
        ambiguous: items whose title names several entities, or that share a title and an entity.
        unlinked: items without an entity, the ambiguous ones included.
        dangling: given links to an entity that is in no triple.
        notes: what was left out, in words.
    """

    found: dict[str, Link] = field(default_factory=dict)
    ambiguous: int = 0
    unlinked: int = 0
    dangling: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def by_way(self) -> dict[str, int]:
        """{way: items}, every way named."""
        counts = Counter(link.way for link in self.found.values())
        return {way.value: counts[way] for way in Way}


class Linker:
    """Finds the entity of one item at a time, as items arrive.

    Args:
        given: {item id: entity id}. Where links are given, an item's own id is not taken for an
            entity's: whoever writes links has ids of two kinds, and numbers would meet by chance.
        roles: kinds of edges of which an item's entity has one, see `typical_kinds`; None: any
            entity may be an item's.
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        given: Mapping[str, str] | None = None,
        roles: frozenset[int] | None = None,
    ) -> None:
        self.graph = graph
        self.roles = roles
        self._given = given or {}

    @cached_property
    def _titles(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for node in range(len(self.graph.entities)):
            for name in {normalised(name) for name in self.names(node)}:
                if name and self.plays(node):
                    found.setdefault(name, []).append(node)
        return found

    def plays(self, node: int) -> bool:
        """Whether the node has the edges of an item's entity: a genre called Drama has not."""
        if self.roles is None:
            return True
        kinds = self.graph.features(node) // len(self.graph.entities)
        return not self.roles.isdisjoint(kinds.tolist())

    def names(self, node: int) -> list[str]:
        """Name and aliases. Without a list of names an id that is no number is a name."""
        graph = self.graph
        if node in graph.names:
            return [graph.names[node], *graph.aliases.get(node, ())]
        entity = graph.entities[node]
        return [] if graph.names or not any(map(str.isalpha, entity)) else [entity]

    def link(self, item: Item) -> Link | None:
        """By id, else by title; None where neither is sure."""
        return self.by_id(item) or self.by_title(item)

    def by_id(self, item: Item) -> Link | None:
        """By the given link, the item's own id, or an attribute that holds an entity's id."""
        number = self.graph.number
        node = number.get(self._given.get(item.id, ""))
        if node is not None:
            return Link(node, Way.GIVEN)
        if not self._given and item.id in number:
            return Link(number[item.id], Way.ID)
        for name in ID_ATTRIBUTES:
            value = item.attributes.get(name, "")
            if isinstance(value, list) and len(value) == 1:
                value = value[0]
            node = number.get(str(value))
            if node is not None:
                return Link(node, Way.ATTRIBUTE)
        return None

    def by_title(self, item: Item) -> Link | None:
        """By normalised title or alias; the year decides between several and against one."""
        found = self.titled(item)
        return Link(found[0], Way.TITLE) if len(found) == 1 else None

    def titled(self, item: Item) -> list[int]:
        """The entities that the title may name."""
        found = self._titles.get(normalised(item.title), []) if item.title else []
        year = year_of(item.title, item.attributes)
        if year is None or not found:
            return found
        years = {node: self.year(node) for node in found}
        same = [node for node in found if years[node] == year]
        near = [n for n in found if (y := years[n]) is not None and abs(y - year) <= YEARS_APART]
        return same or near or [node for node in found if years[node] is None]

    def year(self, node: int) -> int | None:
        """In the name, or at the other end of a relation that speaks of a year or date."""
        for name in self.names(node):
            if (found := year_in(name)) is not None:
                return found
        for code in self.graph.features(node)[:512].tolist():
            relation, outward, other = self.graph.feature(code)
            if outward and any(word in relation.casefold() for word in ("year", "date")):
                return year_of("", {"year": self.graph.name(other)})
        return None


def link_items(
    graph: KnowledgeGraph,
    items: Iterable[Item],
    given: Mapping[str, str] | None = None,
    embed: Embed | None = None,
    threshold: float = THRESHOLD,
) -> Links:
    """Link a whole catalogue.

    Args:
        embed: for similarity of names; None to go without.
        threshold: cosine from which the nearest name counts.
    """
    linker, links = Linker(graph, given), Links()
    links.dangling = sum(entity not in graph.number for entity in (given or {}).values())
    rest: list[Item] = []
    for item in items:
        exact = linker.by_id(item)
        if exact is not None:
            links.found[item.id] = exact
        else:
            rest.append(item)
    linker.roles = typical_kinds(graph, [link.node for link in links.found.values()])
    rest = _by_title(linker, links, rest)
    if linker.roles is None:
        linker.roles = typical_kinds(graph, [link.node for link in links.found.values()])
        odd = [i for i, link in links.found.items() if not linker.plays(link.node)]
        for item_id in odd:
            del links.found[item_id]
        links.unlinked += len(odd)
    if embed is not None and rest:
        _by_similarity(linker, links, rest, embed, threshold)
    return links


def typical_kinds(graph: KnowledgeGraph, nodes: Sequence[int]) -> frozenset[int] | None:
    """Kinds of edges (relation and direction) that many of these nodes have; None if too few."""
    distinct = set(nodes)
    if len(distinct) < ENOUGH:
        return None
    counts: Counter[int] = Counter()
    for node in distinct:
        counts.update(set((graph.features(node) // len(graph.entities)).tolist()))
    return frozenset(kind for kind, n in counts.items() if n >= TYPICAL * len(distinct))


def _by_title(linker: Linker, links: Links, items: Sequence[Item]) -> list[Item]:
    """Link by title; the items that no name fits are returned."""
    left: list[Item] = []
    titled: dict[int, list[str]] = {}
    for item in items:
        nodes = linker.titled(item)
        if len(nodes) == 1:
            titled.setdefault(nodes[0], []).append(item.id)
        elif nodes:
            links.ambiguous += 1
        elif item.title:
            left.append(item)
    taken = {link.node for link in links.found.values()}
    links.unlinked += len(items)
    for node, ids in titled.items():
        if node in taken or len(ids) > 1:
            links.ambiguous += len(ids)
        else:
            links.found[ids[0]] = Link(node, Way.TITLE)
            links.unlinked -= 1
    return left


def _by_similarity(
    linker: Linker, links: Links, items: Sequence[Item], embed: Embed, threshold: float
) -> None:
    """Link each item to the free entity of the nearest name, where each is the other's nearest.

    Names of other numbers ("Alien 3" and "Alien") or years never match, however near they are.
    """
    taken = {link.node for link in links.found.values()}
    free = (n for n in range(len(linker.graph.entities)) if n not in taken and linker.plays(n))
    named = [(node, name) for node in free for name in linker.names(node)]
    if not named:
        links.notes.append("no free entity has a name, so nothing was linked by similarity")
        return
    if len(named) > MAX_NAMES or len(items) > MAX_NAMES:
        links.notes.append(
            f"{len(named)} names and {len(items)} items are too many to be linked by similarity"
            f" (limit {MAX_NAMES})"
        )
        return
    names = embed([name for _, name in named])
    titles = embed([item.title for item in items])
    nearest, scores = _nearest(titles, names)
    back, _ = _nearest(names, titles)
    for row, item in enumerate(items):
        place = int(nearest[row])
        node, name = named[place]
        if scores[row] < threshold or int(back[place]) != row or node in taken:
            continue
        mine, theirs = year_of(item.title, item.attributes), linker.year(node)
        if mine is not None and theirs is not None and abs(mine - theirs) > YEARS_APART:
            continue
        if numbers_in(item.title) != numbers_in(name):
            continue
        taken.add(node)
        links.found[item.id] = Link(node, Way.SIMILAR, float(scores[row]))
        links.unlinked -= 1


def _nearest(rows: Matrix, others: Matrix) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The nearest of `others` to each row by inner product, and that product."""
    best = np.zeros(len(rows), dtype=np.int64)
    scores = np.zeros(len(rows), dtype=np.float32)
    for start in range(0, len(rows), BLOCK):
        products = rows[start : start + BLOCK] @ others.T
        best[start : start + BLOCK] = products.argmax(axis=1)
        scores[start : start + BLOCK] = products.max(axis=1)
    return best, scores
