"""RecBole's atomic files: tab separated, typed columns such as `item_id:token`."""

from __future__ import annotations

from pathlib import Path

from domain.errors import RejectedError
from evaluation.dataset import Triple
from evaluation.datasets.columns import attribute_name, number, split_list
from evaluation.datasets.tables import Table, read_table
from evaluation.datasets.triples import usable

TYPES = ("token", "token_seq", "float", "float_seq")
TEXT_WORDS = ("title", "name", "description", "text", "plot", "abstract", "summary", "review")
NUMBER_WORDS = ("year", "price", "date", "age", "time")
PERSONAL = ("zip",)
"""Columns that are left out: they say where a person lives."""


def read_atomic(path: Path, required: tuple[str, ...]) -> tuple[Table, dict[str, str]]:
    """The table under its plain column names, and the type of each column.

    Raises:
        RejectedError: a column without a type, or a required one that is not there.
    """
    table = read_table(path, delimiter="\t", quoting=False)
    types = {}
    columns = {}
    for head, values in table.columns.items():
        name, _, kind = head.partition(":")
        if kind not in TYPES:
            raise RejectedError(
                f"column {head!r} has no type",
                field=f"{path} line 1",
                remedy=f"name it {name}:TYPE with a TYPE of {', '.join(TYPES)}",
            )
        types[name], columns[name] = kind, values
    missing = [name for name in required if name not in columns]
    if missing:
        raise RejectedError(
            f"no column {', '.join(missing)} among {', '.join(columns)}",
            field=f"{path} line 1",
            remedy="name the columns as RecBole does, such as user_id:token",
        )
    return table.renamed(columns), types


def is_text(column: str) -> bool:
    """Whether a column of tokens is words to be read rather than values."""
    return any(word in column.lower() for word in TEXT_WORDS)


def atomic_attributes(
    table: Table, types: dict[str, str], columns: list[str], row: int
) -> dict[str, object]:
    """Attributes of one row: lists of tokens, numbers, text; empty cells are left out."""
    found: dict[str, object] = {}
    for column in columns:
        cell, kind = table[column][row], types[column]
        value: object = cell
        if kind == "token_seq":
            value = split_list(cell, " ")
        elif kind == "float" or any(word in column.lower() for word in NUMBER_WORDS):
            value = number(cell) if number(cell) is not None or kind == "float" else cell
        if value is not None and value not in ("", []):
            found[attribute_name(column)] = value
    return found


def read_graph(folder: Path, name: str) -> tuple[tuple[Triple, ...], dict[str, str], list[str]]:
    """Triples of NAME.kg, the entity of each item of NAME.link, and notes; empty where absent.

    One of the two files without the other links no item, and is left out with a note.
    """
    graph, links = folder / f"{name}.kg", folder / f"{name}.link"
    if not graph.is_file() or not links.is_file():
        pairs = ((graph, links), (links, graph))
        return (), {}, [
            f"{one.name} is not used: there is no {other.name}"
            for one, other in pairs
            if one.is_file()
        ]  # fmt: skip
    table, _ = read_atomic(graph, ("head_id", "relation_id", "tail_id"))
    linked, _ = read_atomic(links, ("item_id", "entity_id"))
    triples, notes = usable(
        list(map(Triple, table["head_id"], table["relation_id"], table["tail_id"])), graph.name
    )
    return triples, dict(zip(linked["item_id"], linked["entity_id"], strict=True)), notes
