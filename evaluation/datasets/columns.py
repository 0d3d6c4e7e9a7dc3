"""Cells of a table turned into what an Item or User holds."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from pydantic import ValidationError

from domain.errors import RejectedError
from domain.fields import Scalar
from domain.items import Item
from domain.limits import UNLIMITED
from domain.users import User
from evaluation.datasets.tables import Table

LIST_SEPARATOR = "|"
LONG_TEXT_CHARS = 200
"""A column with a longer cell is text to be read, not an attribute to be matched."""

NUMERIC_CELLS = 20
"""A column with at most one cell in so many that is no number is one of numbers all the same."""

PLACEHOLDER = "-"
"""The title of an item without content while it is checked; Item demands some content."""

Values = list[Scalar | list[Scalar] | None]
"""One attribute of every row; None where the cell is empty."""


def split_list(text: str, separator: str, unknown: Iterable[str] = ("",)) -> list[str]:
    """The parts of a list, without blanks, what means unknown, and repeats."""
    left_out = set(unknown)
    parts = (part.strip() for part in text.split(separator))
    return [part for part in dict.fromkeys(parts) if part not in left_out]


def number(text: str) -> int | float | None:
    """The cell as a finite number, a whole one as int; None where it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def attribute_values(cells: Sequence[str]) -> Values:
    """Numbers where every filled cell is one or odd (`odd_rows`), lists where any cell holds a "|",
    else text."""
    numbers = [number(cell) for cell in cells]
    odd = odd_rows(cells)
    filled = sum(map(bool, cells))
    if filled and sum(one is not None for one in numbers) + len(odd) == filled:
        return list(numbers)
    if any(LIST_SEPARATOR in cell for cell in cells):
        return [list(split_list(cell, LIST_SEPARATOR)) or None for cell in cells]
    return [cell or None for cell in cells]


def odd_rows(cells: Sequence[str]) -> list[int]:
    """Rows of cells that are no number in a column of numbers, at most one in NUMERIC_CELLS.

    Empty where no cell is odd, or the column is not one of numbers: one list makes it one of lists.
    """
    filled = sum(map(bool, cells))
    odd = [row for row, cell in enumerate(cells) if cell and number(cell) is None]
    few = len(odd) * NUMERIC_CELLS <= filled
    return odd if few and not any(LIST_SEPARATOR in cells[row] for row in odd) else []


def odd_notes(table: Table, columns: Iterable[str]) -> list[str]:
    """For every column of numbers with odd cells: how many are left empty, and where one stands."""
    return [
        f"{table.path.name}: {len(odd)} cells of the numbers {column!r} are none and count as"
        f" empty (line {table.line_of(odd[0])}: {table[column][odd[0]][:40]!r})"
        for column in columns
        if (odd := odd_rows(table[column]))
    ]


def is_long(cells: Sequence[str]) -> bool:
    """Whether a column holds text to be read."""
    return max(map(len, cells), default=0) > LONG_TEXT_CHARS


def attribute_name(column: str) -> str:
    """The column's name in the letters that attribute names may have."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", column)[:64]
    return name if re.match(r"[A-Za-z_]", name) else f"_{name}"[:64]


def attribute_names(table: Table, columns: Iterable[str]) -> dict[str, str]:
    """Column -> attribute name. Raises RejectedError where two columns get the same."""
    names: dict[str, str] = {}
    for column in columns:
        name = attribute_name(column)
        if name in names.values():
            raise RejectedError(
                f"column {column!r} and another one both become the attribute {name!r}",
                field=f"{table.path} line 1",
                remedy="rename one of them",
            )
        names[column] = name
    return names


def check_ids(table: Table, column: str) -> dict[str, int]:
    """Id -> row. Raises RejectedError for an empty id or one that is there twice."""
    rows: dict[str, int] = {}
    for row, name in enumerate(table[column]):
        if not name:
            table.reject(row, column, "the id is empty", "give every row an id")
        if name in rows:
            table.reject(row, column, f"{name!r} is there twice", "give every id one row")
        rows[name] = row
    return rows


def build_item(fields: Mapping[str, Any], table: Table, row: int) -> Item:
    """An Item of any size. One without content is let through: its vectors may be given.

    Raises:
        RejectedError: what no store could hold, naming file and line.
    """
    bare = not any(fields.get(name) for name in ("title", "description", "tags"))
    try:
        item = Item.model_validate(
            {**fields, "title": PLACEHOLDER} if bare else dict(fields),
            context={"limits": UNLIMITED},
        )
    except ValidationError as problem:
        _reject(problem, table, row)
    return item.model_copy(update={"title": ""}) if bare else item


def build_user(fields: Mapping[str, Any], table: Table, row: int) -> User:
    """A User of any size. Raises RejectedError naming file and line."""
    try:
        return User.model_validate(dict(fields), context={"limits": UNLIMITED})
    except ValidationError as problem:
        _reject(problem, table, row)


def with_strangers(
    users: Sequence[User], user_rows: Mapping[str, int], tables: Sequence[tuple[Table, str]]
) -> tuple[User, ...]:
    """`users`, then one of whom only the id is known for every further row of `user_rows`.

    Raises:
        RejectedError: an id that no store could hold, naming the file and line it came from.
    """
    strangers = []
    for name in list(user_rows)[len(users) :]:
        try:
            strangers.append(User(id=name))
        except ValidationError as problem:
            table, column = next((t, c) for t, c in tables if name in t[c])
            _reject(problem, table, table[column].index(name), column)
    return (*users, *strangers)


def bare_items(
    item_rows: Mapping[str, int], tables: Sequence[tuple[Table, str]]
) -> tuple[Item, ...]:
    """An item of which only the id is known for every row; see `with_strangers`."""
    items = []
    for name in item_rows:
        try:
            items.append(Item(id=name, title=PLACEHOLDER).model_copy(update={"title": ""}))
        except ValidationError as problem:
            table, column = next((t, c) for t, c in tables if name in t[c])
            _reject(problem, table, table[column].index(name), column)
    return tuple(items)


def _reject(problem: ValidationError, table: Table, row: int, column: str = "") -> NoReturn:
    first = problem.errors()[0]
    table.reject(
        row,
        column or ".".join(map(str, first["loc"])) or "any",
        first["msg"].removeprefix("Value error, "),
        "correct the row",
    )
