"""A plain folder: what anybody can write with a spreadsheet.

    items.csv           id, and any of title, description, tags, further columns
    interactions.csv    user, item, and weight, time where known
    users.csv           id, and any of profile, interests, further columns       (optional)
    graph.tsv           head, relation, tail                                     (optional)
    links.csv           item, entity: where the graph calls an item otherwise    (optional)
    images/ID.*  audio/ID.*                                                      (optional)
    vectors/NAME.npy    with NAME.ids.txt or ids.txt, else in the order of items (optional)
    cold_items.txt      one id per line: these items are cold                    (optional)
    train.csv validation.csv test.csv    instead of interactions.csv: a given split

Any file may be packed: items.csv.gz. A "|" separates the values of a list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from domain.errors import RejectedError
from domain.items import Item
from domain.users import User
from evaluation.dataset import TEST, TRAIN, VALIDATION, Dataset, GivenSplit
from evaluation.datasets.columns import (
    LIST_SEPARATOR,
    Values,
    attribute_names,
    attribute_values,
    build_item,
    build_user,
    check_ids,
    is_long,
    odd_notes,
    split_list,
    with_strangers,
)
from evaluation.datasets.media import IMAGES, SOUNDS, media_by_item
from evaluation.datasets.pairs import Pairs, clean_pairs, rows_of_items, rows_of_users
from evaluation.datasets.tables import Table, read_table
from evaluation.datasets.triples import read_triples
from evaluation.datasets.vectors import read_ids, read_vectors

TITLES = ("title", "name")
DESCRIPTIONS = ("description", "text", "plot", "abstract", "summary")
GIVEN = (("train", TRAIN), ("validation", VALIDATION), ("test", TEST))


def find(folder: Path, name: str) -> Path | None:
    """The file, plain or packed; None where it is not there."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None


def is_folder(folder: Path) -> bool:
    """Whether the folder holds items and who had to do with them."""
    pairs = find(folder, "interactions.csv") or find(folder, "train.csv")
    return find(folder, "items.csv") is not None and pairs is not None


def read_folder(folder: Path) -> Dataset:
    """Read the folder.

    Raises:
        RejectedError: what cannot be read, naming file, line, column and remedy. What can be left
            out instead is counted in `Dataset.notes`.
    """
    items, notes = _items(folder)
    item_rows = {item.id: row for row, item in enumerate(items)}
    users, user_notes = _users(folder)
    notes += user_notes
    user_rows = {user.id: row for row, user in enumerate(users)}
    files = _interaction_files(folder)
    tables = [(_interactions(path), code) for path, code in files]
    pairs, strangers = _pairs(
        [table for table, _ in tables], [c for _, c in tables], user_rows, item_rows
    )
    if users and strangers:
        notes.append(f"{strangers} users have interactions but no row in users.csv")
    graph, entities, graph_notes = read_triples(
        find(folder, "graph.tsv"), find(folder, "links.csv"), item_rows
    )
    vectors, vector_notes = read_vectors(folder / "vectors", item_rows)
    given, given_notes = _given(folder, [path for path, _ in files], pairs, item_rows)
    bare = np.array([not (i.has_text or i.media.images or i.media.audio) for i in items])
    for rows, _ in vectors.values():
        bare[rows] = False
    if bare.any():
        notes.append(f"{int(bare.sum())} items have no text, picture, sound or vector")
    return Dataset(
        name=folder.resolve().name,
        items=items,
        users=with_strangers(users, user_rows, [(table, "user") for table, _ in tables]),
        user_index=pairs.user_index,
        item_index=pairs.item_index,
        weights=pairs.weights,
        times=pairs.times,
        graph=graph,
        entity_of_item=entities,
        vectors=vectors,
        given=given,
        notes=(*notes, *pairs.notes, *graph_notes, *vector_notes, *given_notes),
    )


def _column(table: Table, *names: str) -> str:
    """The first of the names that the table has. Raises RejectedError without any."""
    for name in names:
        if name in table:
            return name
    raise RejectedError(
        f"no column {names[0]} among {', '.join(table.head)}",
        field=f"{table.path} line 1",
        remedy=f"name one of the columns {names[0]}, and separate them by {table.delimiter!r}",
    )


def _items(folder: Path) -> tuple[tuple[Item, ...], list[str]]:
    path = find(folder, "items.csv")
    if path is None:
        raise RejectedError(
            "no items.csv", field=str(folder), remedy="write one with an id and a title per item"
        )
    table = read_table(path)
    id_column = _column(table, "id", "item_id", "item")
    rows = check_ids(table, id_column)
    if not rows:
        raise RejectedError("no items", field=str(path), remedy="write one row per item")
    others = [name for name in table.columns if name != id_column]
    titles = [name for name in others if name.lower() in TITLES][:1]
    tags = [name for name in others if name.lower() == "tags"]
    texts = [
        name
        for name in others
        if name not in titles + tags and (name.lower() in DESCRIPTIONS or is_long(table[name]))
    ]
    named = attribute_names(table, [n for n in others if n not in titles + tags + texts])
    values = {name: attribute_values(table[column]) for column, name in named.items()}
    images, image_notes = media_by_item(folder / "images", IMAGES, rows)
    sounds, sound_notes = media_by_item(folder / "audio", SOUNDS, rows)
    items = tuple(
        build_item(
            {
                "id": name,
                "title": "".join(table[column][row] for column in titles),
                "description": "\n".join(table[c][row] for c in texts if table[c][row]),
                "tags": [tag for c in tags for tag in split_list(table[c][row], LIST_SEPARATOR)],
                "attributes": _of_row(values, row),
                "media": {"images": images.get(name, []), "audio": sounds.get(name, [])},
            },
            table,
            row,
        )
        for name, row in rows.items()
    )
    return items, odd_notes(table, named) + image_notes + sound_notes


def _of_row(values: Mapping[str, Values], row: int) -> dict[str, object]:
    return {name: cells[row] for name, cells in values.items() if cells[row] is not None}


def _users(folder: Path) -> tuple[tuple[User, ...], list[str]]:
    path = find(folder, "users.csv")
    if path is None:
        return (), []
    table = read_table(path)
    id_column = _column(table, "id", "user_id", "user")
    rows = check_ids(table, id_column)
    special = [id_column, "profile", "interests"]
    named = attribute_names(table, [name for name in table.columns if name not in special])
    values = {name: attribute_values(table[column]) for column, name in named.items()}
    users = tuple(
        build_user(
            {
                "id": name,
                "profile": table["profile"][row] if "profile" in table else "",
                "interests": split_list(table["interests"][row], LIST_SEPARATOR)
                if "interests" in table
                else [],
                "demographics": _of_row(values, row),
            },
            table,
            row,
        )
        for name, row in rows.items()
    )
    return users, odd_notes(table, named)


def _interaction_files(folder: Path) -> list[tuple[Path, int]]:
    parts = [(find(folder, f"{name}.csv"), code) for name, code in GIVEN]
    there = [(path, code) for path, code in parts if path is not None]
    if {TRAIN, TEST} <= {code for _, code in there}:
        return there
    whole = find(folder, "interactions.csv")
    if whole is None:
        raise RejectedError(
            "no interactions.csv, nor train.csv and test.csv",
            field=str(folder),
            remedy="write interactions.csv with the columns user and item",
        )
    return [(whole, TRAIN)]


def _interactions(path: Path) -> Table:
    table = read_table(
        path,
        optional=("user", "user_id", "item", "item_id", "weight", "time", "timestamp"),
    )
    renamed = {
        "user": table[_column(table, "user", "user_id")],
        "item": table[_column(table, "item", "item_id")],
    }
    if "weight" in table:
        renamed["weight"] = table["weight"]
    for name in ("time", "timestamp"):
        if name in table:
            renamed["time"] = table[name]
    return table.renamed(renamed)


def _pairs(
    tables: Sequence[Table],
    codes: Sequence[int],
    user_rows: dict[str, int],
    item_rows: dict[str, int],
) -> tuple[Pairs, int]:
    found, strangers = rows_of_users([(table, "user") for table in tables], user_rows)

    def joined(column: str, empty: float) -> NDArray[np.float64]:
        return np.concatenate(
            [
                np.full(table.rows, empty)
                if column not in table
                else table.seconds(column)
                if column == "time"
                else table.numbers(column, empty=empty)
                for table in tables
            ]
        )

    pairs = clean_pairs(
        np.concatenate(found),
        np.concatenate([rows_of_items(table, "item", item_rows) for table in tables]),
        joined("weight", 1.0),
        joined("time", np.nan) if any("time" in table for table in tables) else None,
        n_items=len(item_rows),
        source=", ".join(table.path.name for table in tables),
        part=np.concatenate(
            [np.full(t.rows, code, np.int8) for t, code in zip(tables, codes, strict=True)]
        ),
    )
    return pairs, strangers


def _given(
    folder: Path, files: Sequence[Path], pairs: Pairs, item_rows: Mapping[str, int]
) -> tuple[GivenSplit | None, list[str]]:
    listed = find(folder, "cold_items.txt")
    if len(files) > 1:
        unused = [find(folder, "interactions.csv"), listed]
        notes = [
            f"{path.name} is not used beside train.csv and test.csv" for path in unused if path
        ]
        return GivenSplit(None, pairs.part, ", ".join(path.name for path in files)), notes
    parts = [path.name for name, _ in GIVEN if (path := find(folder, f"{name}.csv"))]
    notes = [f"{', '.join(parts)} not used: a split needs train.csv and test.csv"] if parts else []
    if listed is None:
        return None, notes
    names = read_ids(listed)
    unknown = sum(name not in item_rows for name in names)
    cold = np.zeros(len(item_rows), dtype=bool)
    cold[[item_rows[name] for name in names if name in item_rows]] = True
    if not cold.any():
        raise RejectedError(
            f"none of {len(names)} ids is among the items",
            field=str(listed),
            remedy="write one item id per line",
        )
    notes += [f"cold_items.txt: {unknown} ids are not among the items"] if unknown else []
    return GivenSplit(cold, None, listed.name), notes
