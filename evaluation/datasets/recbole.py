"""Any data set in RecBole's atomic files: NAME.inter, and NAME.item, .user, .kg, .link if given.

NAME.train.inter, NAME.valid.inter and NAME.test.inter, where they exist, are a given split.
Ratings are not weights: every recorded pair is a positive. A column `weight` is taken as weight.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np

from domain.errors import RejectedError
from domain.items import Item
from domain.users import User
from evaluation.dataset import TEST, TRAIN, VALIDATION, Dataset, GivenSplit
from evaluation.datasets.atomic import (
    PERSONAL,
    atomic_attributes,
    is_text,
    read_atomic,
    read_graph,
)
from evaluation.datasets.columns import (
    bare_items,
    build_item,
    build_user,
    check_ids,
    with_strangers,
)
from evaluation.datasets.pairs import clean_pairs, rows_of_items, rows_of_users
from evaluation.datasets.tables import Table

SPLIT = (("train", TRAIN), ("valid", VALIDATION), ("test", TEST))


def atomic_name(folder: Path) -> str | None:
    """NAME of the folder's .inter file or files; None if there is none, or several."""
    names = {path.name.split(".")[0] for path in folder.glob("*.inter")}
    if folder.name in names:
        return folder.name
    return names.pop() if len(names) == 1 else None


def is_recbole(folder: Path) -> bool:
    """Whether the folder holds one data set in atomic files."""
    return atomic_name(folder) is not None


def read_recbole(folder: Path) -> Dataset:
    """Read the folder.

    Raises:
        RejectedError: no .inter file, or one that cannot be read; naming file, line and column.
    """
    name = atomic_name(folder)
    if name is None:
        raise RejectedError(
            "not exactly one NAME.inter", field=str(folder), remedy="keep one data set per folder"
        )
    given = [(folder / f"{name}.{part}.inter", code) for part, code in SPLIT]
    given = [(path, code) for path, code in given if path.is_file()]
    files = given if {code for _, code in given} >= {TRAIN, TEST} else []
    files = files or [(folder / f"{name}.inter", TRAIN)]
    tables = [read_atomic(path, ("user_id", "item_id"))[0] for path, _ in files]

    users, user_rows = _users(folder / f"{name}.user")
    items, item_rows, item_notes = _items(folder / f"{name}.item", tables)
    found, strangers = rows_of_users([(table, "user_id") for table in tables], user_rows)
    has_weight = all("weight" in table for table in tables)
    has_time = all("timestamp" in table for table in tables)
    clean = clean_pairs(
        np.concatenate(found),
        np.concatenate([rows_of_items(table, "item_id", item_rows) for table in tables]),
        np.concatenate([table.numbers("weight", empty=1.0) for table in tables])
        if has_weight
        else None,
        np.concatenate([table.seconds("timestamp") for table in tables]) if has_time else None,
        n_items=len(items),
        source=f"{name}.inter",
        part=np.concatenate(
            [
                np.full(table.rows, code, np.int8)
                for table, (_, code) in zip(tables, files, strict=True)
            ]
        ),
    )
    graph, entities, graph_notes = read_graph(folder, name)
    notes = [*item_notes, *clean.notes, *graph_notes]
    if strangers and users:
        notes.append(f"{name}.inter: {strangers} users are not among the users of {name}.user")
    return Dataset(
        name=name,
        items=items,
        users=with_strangers(users, user_rows, [(table, "user_id") for table in tables]),
        user_index=clean.user_index,
        item_index=clean.item_index,
        weights=clean.weights if has_weight else np.ones_like(clean.weights),
        times=clean.times,
        graph=graph,
        entity_of_item={item: entity for item, entity in entities.items() if item in item_rows},
        given=GivenSplit(None, clean.part, ", ".join(path.name for path, _ in files))
        if len(files) > 1
        else None,
        notes=tuple(notes),
    )


def _items(path: Path, seen: list[Table]) -> tuple[tuple[Item, ...], dict[str, int], list[str]]:
    if not path.is_file():
        names = dict.fromkeys(chain.from_iterable(table["item_id"] for table in seen))
        rows = {name: row for row, name in enumerate(filter(None, names))}
        items = bare_items(rows, [(table, "item_id") for table in seen])
        return items, rows, [f"{path.name} is not there: items have no content"]
    table, types = read_atomic(path, ("item_id",))
    rows = check_ids(table, "item_id")
    others = [column for column in table.columns if column != "item_id"]
    texts = [column for column in others if is_text(column)]
    titles = [column for column in texts if "title" in column.lower() or "name" in column.lower()]
    attributes = [column for column in others if column not in texts]
    found = []
    for row, name in enumerate(table["item_id"]):
        fields = {
            "id": name,
            "title": " ".join(table[column][row] for column in titles).strip(),
            "description": " ".join(
                table[column][row] for column in texts if column not in titles
            ).strip(),
            "attributes": atomic_attributes(table, types, attributes, row),
        }
        found.append(build_item(fields, table, row))
    return tuple(found), rows, []


def _users(path: Path) -> tuple[tuple[User, ...], dict[str, int]]:
    if not path.is_file():
        return (), {}
    table, types = read_atomic(path, ("user_id",))
    rows = check_ids(table, "user_id")
    columns = [
        column
        for column in table.columns
        if column != "user_id" and not any(word in column.lower() for word in PERSONAL)
    ]
    users = [
        build_user(
            {"id": name, "demographics": atomic_attributes(table, types, columns, row)}, table, row
        )
        for row, name in enumerate(table["user_id"])
    ]
    return tuple(users), rows
