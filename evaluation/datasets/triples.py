"""The knowledge graph of a plain folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluation.dataset import Triple
from evaluation.datasets.tables import read_table

HEADER = ("head", "relation", "tail")


def read_triples(
    graph: Path | None, links: Path | None, item_rows: Mapping[str, int]
) -> tuple[tuple[Triple, ...], dict[str, str], list[str]]:
    """Triples, the entity of each item that is known exactly, and notes.

    An item is linked by links.csv (item, entity), else to the entity that bears its id. Triples
    with an empty part, from an entity to itself, or repeated are left out and counted.

    Raises:
        RejectedError: not three columns separated by tabs.
    """
    if graph is None:
        return (), {}, []
    table = read_table(graph, names=HEADER, delimiter="\t", quoting=False)
    rows = list(map(Triple, table["head"], table["relation"], table["tail"]))
    if rows and tuple(part.lower() for part in rows[0]) == HEADER:
        rows = rows[1:]
    triples, notes = usable(rows, graph.name)
    entities = {part for triple in triples for part in (triple.head, triple.tail)}
    linked = {name: name for name in item_rows if name in entities}
    if links is not None:
        given = read_table(links, required=("item", "entity"), optional=())
        pairs = dict(zip(given["item"], given["entity"], strict=True))
        known = {i: e for i, e in pairs.items() if i in item_rows and e in entities}
        if len(known) < len(pairs):
            notes.append(f"{links.name}: {len(pairs) - len(known)} links to nothing left out")
        linked |= known
    return triples, linked, notes


def usable(rows: Sequence[Triple], source: str) -> tuple[tuple[Triple, ...], list[str]]:
    """The triples that say something, each once, and how many of `source` were left out."""
    whole = [row for row in rows if all(row)]
    straight = [row for row in whole if row.head != row.tail]
    triples = tuple(dict.fromkeys(straight))
    notes = [
        f"{source}: {count} triples left out: {why}"
        for count, why in (
            (len(rows) - len(whole), "a part is empty"),
            (len(whole) - len(straight), "from an entity to itself"),
            (len(straight) - len(triples), "repeated"),
        )
        if count
    ]
    return triples, notes
