"""Who took what, as a matrix: read from the ledger or from a file, and what was left out of it."""

from __future__ import annotations

import csv
import math
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from catalog import START, Catalog, Cursor, Taken
from domain.errors import RejectedError
from domain.users import LEAST_WEIGHT, MOST_WEIGHT

PAGE = 20_000

MOST_PER_USER = 2_000
"""Of a user who took more, the latest so many are learned from: one user with a million
interactions would outweigh a thousand others, and cost as much."""

LEAST_FLOAT, MOST_FLOAT = 1e-18, 1e18
"""Training computes in float32, where the square of a weight beyond these is 0 or infinite. A
ledger holds sums of many weights, and perhaps some of before they had bounds."""

COLUMNS = ("user", "item", "weight", "time")

SHOWN_LINES = 5


@dataclass
class LeftOut:
    """What was not learned from, and why; counts.

    Attributes:
        unknown_items: interactions with items that are not indexed.
        bad_weights: weights that are NaN or not within bounds, of a file those of an event.
        malformed: lines that could not be read; the first few are in `lines`.
        duplicates: interactions added to an earlier one of the same user and item.
        future: interactions dated in the future; they are learned from as if they were now.
        capped_users, capped: users with more than MOST_PER_USER items, and what that cost them.
    """

    unknown_items: int = 0
    bad_weights: int = 0
    malformed: int = 0
    duplicates: int = 0
    future: int = 0
    capped_users: int = 0
    capped: int = 0
    lines: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Those that are not 0."""
        return {name: number for name, number in vars(self).items() if name != "lines" and number}

    def told(self) -> str:
        """The same for people, with the first lines that could not be read; empty where there is
        nothing to tell."""
        said = [f"{number} {name.replace('_', ' ')}" for name, number in self.counts().items()]
        return ", ".join(said) + (f" ({'; '.join(self.lines)})" if self.lines else "")


@dataclass(frozen=True)
class Interactions:
    """Who took what.

    Attributes:
        users: user ids in order of row.
        matrix: [users, items] float32, the sum of a pair's weights.
        left_out: what is not in it.
        read: how many interactions were read.
        cursor: up to where in the ledger; None where a file was read.
    """

    users: list[str]
    matrix: csr_matrix
    left_out: LeftOut
    read: int
    cursor: Cursor | None = None


class Collector:
    """Collects interactions one at a time in a few bytes each.

    Args:
        rows: {item id: column}; other items are left out.
        width: columns of the matrix; by default as many as there are items.
        bounds: (least, most) of a weight; others are left out.
    """

    def __init__(
        self,
        rows: Mapping[str, int],
        width: int | None = None,
        now: float | None = None,
        bounds: tuple[float, float] = (LEAST_FLOAT, MOST_FLOAT),
    ) -> None:
        self._bounds = bounds
        self._columns = rows
        self._width = len(rows) if width is None else width
        self._now = time.time() if now is None else now
        self._users: dict[str, int] = {}
        self._user, self._item = array("l"), array("l")
        self._weight, self._time = array("d"), array("d")
        self.left_out = LeftOut()
        self.read = 0

    def expect(self, users: Sequence[str]) -> None:
        """The first rows belong to these users, whether they took anything or not."""
        for user in users:
            self._users.setdefault(user, len(self._users))

    def add(self, user: str, item: str, weight: float, at: float) -> None:
        """One interaction; `at` in seconds since 1970, NaN where unknown."""
        self.read += 1
        column = self._columns.get(item)
        if column is None:
            self.left_out.unknown_items += 1
            return
        if not self._bounds[0] <= weight <= self._bounds[1]:
            self.left_out.bad_weights += 1
            return
        if at > self._now:
            self.left_out.future += 1
            at = self._now
        self._user.append(self._users.setdefault(user, len(self._users)))
        self._item.append(column)
        self._weight.append(weight)
        self._time.append(at if math.isfinite(at) else 0.0)

    def done(self, cursor: Cursor | None = None) -> Interactions:
        """The matrix: weights of a pair added up, at most MOST_PER_USER items of a user."""
        user = np.frombuffer(self._user, dtype=np.int64)
        item = np.frombuffer(self._item, dtype=np.int64)
        order = np.lexsort((item, user))
        user, item = user[order], item[order]
        first = np.ones(len(order), dtype=bool)
        first[1:] = (user[1:] != user[:-1]) | (item[1:] != item[:-1])
        starts = np.flatnonzero(first)
        self.left_out.duplicates = len(order) - len(starts)
        weight = _reduced(np.add, np.frombuffer(self._weight)[order], starts)
        at = _reduced(np.maximum, np.frombuffer(self._time)[order], starts)
        user, item = user[starts], item[starts]
        kept = self._kept(user, at)
        matrix = csr_matrix(
            (weight[kept].astype(np.float32), (user[kept], item[kept])),
            shape=(len(self._users), self._width),
        )
        matrix.sort_indices()
        return Interactions(list(self._users), matrix, self.left_out, self.read, cursor)

    def _kept(self, user: NDArray[np.int64], at: NDArray[np.float64]) -> NDArray[np.int64]:
        counts = np.bincount(user, minlength=len(self._users))
        over = counts > MOST_PER_USER
        if not over.any():
            return np.arange(len(user))
        self.left_out.capped_users = int(over.sum())
        self.left_out.capped = int((counts[over] - MOST_PER_USER).sum())
        latest = np.lexsort((-at, user))
        place = np.arange(len(user)) - (np.cumsum(counts) - counts)[user[latest]]
        return np.sort(latest[place < MOST_PER_USER])


def from_ledger(catalog: Catalog, rows: Mapping[str, int]) -> Interactions:
    """All interactions in the ledger. Raises RetryableError."""
    collector, cursor = Collector(rows), START
    while page := catalog.interactions(cursor, PAGE):
        for one in page:
            collector.add(one.user, one.item, one.weight, one.time)
        cursor = page[-1].cursor
    return collector.done(cursor)


def of_users(
    users: Sequence[str], taken: Sequence[Taken], rows: Mapping[str, int], width: int
) -> Interactions:
    """What the ledger has of some users, as `Catalog.taken_by` tells it; a row for each user in
    their order, empty where there is nothing."""
    collector = Collector(rows, width)
    collector.expect(users)
    for one in taken:
        collector.add(one.user, one.item, one.weight, one.time)
    return collector.done()


def from_file(path: Path, rows: Mapping[str, int]) -> Interactions:
    """A CSV file with a header: user, item, and perhaps weight and time.

    Weight is 1 where it is left out; time is seconds since 1970 or ISO 8601. What cannot be
    used is counted, and the rest is learned from.

    Raises:
        RejectedError: there is no such file, it is not text, it has no column user or item or one
            twice, or its quotes do not fit together, so that nobody can tell where a line ends.
    """
    collector = Collector(rows, bounds=(LEAST_WEIGHT, MOST_WEIGHT))
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            for number, line in _lines(file, path):
                _read(collector, number, line)
    except OSError as error:
        raise RejectedError(
            f"cannot be read ({error})",
            field=str(path),
            remedy="name a CSV file that this user may read",
        ) from None
    except UnicodeDecodeError as error:
        raise RejectedError(
            f"cannot be read ({error})", field=str(path), remedy="save it as CSV in UTF-8"
        ) from None
    return collector.done()


def too_few(read: Interactions, least: int) -> RejectedError:
    """What was read is not enough to learn from, and why so little of it was of use."""
    told = read.left_out.told()
    unknown = ", and publish the unknown items first" if read.left_out.unknown_items else ""
    return RejectedError(
        f"{read.matrix.nnz} interactions with indexed items, training needs {least}"
        + (f"; of what was read: {told}" if told else ""),
        remedy=("publish more" if read.cursor else "name a file with more")
        + f"{unknown}; until then what serves goes on serving",
    )


def _lines(file: Iterator[str], path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    records = _records(file, path)
    _, first = next(records, (1, []))
    header = [name.strip().lower() for name in first]
    for name in COLUMNS:
        if name in ("user", "item") and name not in header:
            raise RejectedError(
                f"has no column {name!r}",
                field=str(path),
                remedy="begin it with a line such as user,item,weight,time",
            )
        if header.count(name) > 1:
            raise RejectedError(
                f"has {header.count(name)} columns {name!r}",
                field=str(path),
                remedy="name in its first line each of user,item,weight,time once",
            )
    for number, fields in records:
        if fields:
            yield number, dict(zip(header, fields, strict=False))


def _records(file: Iterator[str], path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each record and the number of the line on which it begins."""
    reader = csv.reader(file, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise RejectedError(
                f"line {number} cannot be read ({error})",
                field=str(path),
                remedy="close the quote that is open there; within quotes, write a quote twice",
            ) from None
        if fields is None:
            return
        yield number, fields


def _read(collector: Collector, number: int, line: Mapping[str, str]) -> None:
    try:
        user, item = line["user"].strip(), line["item"].strip()
        if not user or not item:
            raise ValueError("user or item is empty")
        said = line.get("weight", "").strip()
        weight = float(said) if said else 1.0
        at = _seconds(line.get("time", "").strip())
    except (KeyError, ValueError, OverflowError) as error:
        left_out = collector.left_out
        left_out.malformed += 1
        if len(left_out.lines) < SHOWN_LINES:
            left_out.lines.append(f"line {number}: {error}"[:200])
        return
    collector.add(user, item, weight, at)


def _seconds(said: str) -> float:
    if not said:
        return math.nan
    try:
        return float(said)
    except ValueError:
        found = datetime.fromisoformat(said)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _reduced(
    how: np.ufunc, values: NDArray[np.float64], starts: NDArray[np.int64]
) -> NDArray[np.float64]:
    found: NDArray[np.float64] = how.reduceat(values, starts) if len(starts) else values[:0]
    return found
