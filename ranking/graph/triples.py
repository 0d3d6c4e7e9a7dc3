"""Reading triples, names and links from lines of TSV or CSV. A bad line harms no other."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from domain.errors import RejectedError
from ranking.graph.knowledge import KnowledgeGraph, without_inverses

MAX_CHARS = 1024
"""Longest id, relation or name."""

TOLD = 5
"""Malformed lines that are told one by one; the rest are counted."""

HEADERS = (
    ({"head", "head_id", "subject", "source", "from"}, {"tail", "tail_id", "object", "target"}),
    ({"item", "item_id", "id"}, {"entity", "entity_id", "node"}),
    ({"entity", "entity_id", "id", "node"}, {"name", "title", "label", "alias"}),
)


@dataclass(frozen=True)
class BadLine:
    """One malformed line.

    Attributes:
        number: counted from 1.
    """

    number: int
    reason: str


@dataclass
class Reading:
    """What became of the lines of one file.

    Attributes:
        lines: lines with anything on them, without the header and comments.
        kept: entries that count.
        duplicates, loops: dropped and harmless. A loop is a triple from an entity to itself.
        inverses: dropped because another triple says the same backwards.
        comments: lines that begin with #.
        malformed: lines that could not be read; `bad` holds the first of them.
    """

    lines: int = 0
    kept: int = 0
    duplicates: int = 0
    loops: int = 0
    inverses: int = 0
    comments: int = 0
    malformed: int = 0
    bad: list[BadLine] = field(default_factory=list)

    def refuse(self, number: int, reason: str) -> None:
        """Count a malformed line."""
        self.malformed += 1
        if len(self.bad) < TOLD:
            self.bad.append(BadLine(number, reason))

    def check(self, columns: str) -> None:
        """Refuse what is something else than it was taken for.

        Raises:
            RejectedError: most lines are malformed.
        """
        if 2 * self.malformed > self.lines:
            raise RejectedError(
                f"{self.malformed} of {self.lines} lines are malformed; line {self.bad[0].number}:"
                f" {self.bad[0].reason}",
                remedy=f"write {columns} a line, separated by a tab or a comma, all the same",
            )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def read_graph(
    triples: Iterable[bytes | None], names: Iterable[bytes | None] = ()
) -> tuple[KnowledgeGraph, Reading, Reading]:
    """A graph from lines `head, relation, tail` and, where known, `entity, name`.

    The lines are read one at a time; what is kept of a triple is three numbers. An entity's first
    name is the one that is shown, later ones are aliases; a name for an entity without a triple
    counts as kept and is not used.

    Args:
        triples: lines with or without their line end; None for a line too long to be read.

    Returns:
        the graph, what was read of the triples, and of the names.

    Raises:
        RejectedError: there is no usable triple, or most lines of a file are malformed.
    """
    reading = Reading()
    entities: dict[str, int] = {}
    relations: dict[str, int] = {}
    flat = array("i")
    for head, relation, tail in _rows(triples, 3, reading):
        if head == tail:
            reading.loops += 1
            continue
        flat.append(entities.setdefault(head, len(entities)))
        flat.append(relations.setdefault(relation, len(relations)))
        flat.append(entities.setdefault(tail, len(entities)))
    if not flat:
        first = f"; line {reading.bad[0].number}: {reading.bad[0].reason}" if reading.bad else ""
        raise RejectedError(
            f"no usable triple in {reading.lines} lines ({reading.malformed} malformed,"
            f" {reading.loops} loops){first}",
            remedy="write one triple a line: head, relation, tail, separated by a tab or a comma",
        )
    reading.check("head, relation and tail")
    rows = np.frombuffer(flat, dtype=np.int32).reshape(-1, 3)
    edges = np.unique(rows, axis=0)
    reading.duplicates = len(rows) - len(edges)
    edges, reading.inverses = without_inverses(edges, len(entities), len(relations))
    reading.kept = len(edges)
    spoken: dict[int, str] = {}
    shown, aliases, named = _read_names(names, entities, relations, spoken)
    graph = KnowledgeGraph(tuple(entities), tuple(relations), edges, shown, aliases, spoken)
    return graph, reading, named


def _read_names(
    lines: Iterable[bytes | None],
    entities: Mapping[str, int],
    relations: Mapping[str, int],
    spoken: dict[int, str],
) -> tuple[dict[int, str], dict[int, list[str]], Reading]:
    """Names and aliases of nodes; the first name of a relation goes into `spoken`."""
    reading = Reading()
    shown: dict[int, str] = {}
    aliases: dict[int, list[str]] = {}
    for entity, name in _rows(lines, 2, reading):
        reading.kept += 1
        if entity in relations:
            spoken.setdefault(relations[entity], name)
        node = entities.get(entity)
        if node is None:
            continue
        if node not in shown:
            shown[node] = name
        elif name != shown[node] and name not in aliases.get(node, ()):
            aliases.setdefault(node, []).append(name)
        else:
            reading.duplicates += 1
    reading.check("entity and name")
    return shown, aliases, reading


def read_links(lines: Iterable[bytes | None]) -> tuple[dict[str, str], Reading]:
    """{item id: entity id} from lines `item, entity`; the first line of an item counts.

    Raises:
        RejectedError: most lines are malformed.
    """
    reading = Reading()
    links: dict[str, str] = {}
    for item, entity in _rows(lines, 2, reading):
        if item in links:
            reading.duplicates += 1
        else:
            links[item] = entity
    reading.kept = len(links)
    reading.check("item and entity")
    return links, reading


def _rows(
    lines: Iterable[bytes | None], columns: int, reading: Reading
) -> Iterator[tuple[str, ...]]:
    """The well-formed rows; whatever else there is goes into `reading`."""
    separator = ""
    for number, line in enumerate(lines, start=1):
        try:
            if line is None:
                raise ValueError("the line is too long")
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            if not text.strip():
                continue
            if text.startswith("#"):
                reading.comments += 1
                continue
            guess = separator or ("\t" if "\t" in text else ",")
            row = _split(text, guess, columns)
        except UnicodeDecodeError:
            reading.lines += 1
            reading.refuse(number, "not UTF-8")
            continue
        except ValueError as error:
            reading.lines += 1
            reading.refuse(number, str(error))
            continue
        first, separator = not separator, guess
        if first and _is_header(row):
            continue
        reading.lines += 1
        yield row


def _split(text: str, separator: str, columns: int) -> tuple[str, ...]:
    if separator == "," and '"' in text:
        try:
            fields = next(csv.reader([text], strict=True))
        except csv.Error as error:
            raise ValueError(str(error)) from None
    else:
        fields = text.split(separator)
    row = tuple(one.strip() for one in fields)
    if len(row) != columns:
        raise ValueError(f"{len(row)} columns, expected {columns}")
    for one in row:
        if not one:
            raise ValueError("an empty column")
        if len(one) > MAX_CHARS:
            raise ValueError(f"a column of {len(one)} characters, the limit is {MAX_CHARS}")
        if "\x00" in one:
            raise ValueError("contains a NUL character")
    return row


def _is_header(row: tuple[str, ...]) -> bool:
    """Whether these are column names; RecBole writes them as name:type."""
    first, last = (row[place].split(":")[0].casefold() for place in (0, -1))
    return any(first in firsts and last in lasts for firsts, lasts in HEADERS)
