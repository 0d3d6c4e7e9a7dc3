"""The SQLite file of one training's sums: the tables, and how each thing is kept in them.

Three tables: `facts` (the sums, what they are solved with, up to where the ledger is in them),
`items` (the column of each item) and `users` (each user's own row of items, weights and profile).
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from catalog import Cursor
from domain.vectors import Matrix
from ranking.training import Recipe, Ridge, Statistics, UserLayout

WAIT_S = 60.0

SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE items (id TEXT PRIMARY KEY, place INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE users (
    id TEXT PRIMARY KEY, items BLOB NOT NULL, weights BLOB NOT NULL, profile BLOB
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class People:
    """What some users add.

    Attributes:
        ids: [n] user ids.
        interactions: [n, n_items] over the items of the training.
        profiles: {part: [n, d_part]} raw, zero rows where nothing is said.
    """

    ids: Sequence[str]
    interactions: csr_matrix
    profiles: Mapping[str, Matrix]


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Up to where the ledger is in the sums.

    Attributes:
        cursor: the last interaction; None where a file was read.
        erased_at, erased_id: the last deleted user that was looked at.
    """

    cursor: Cursor | None
    erased_at: float = 0.0
    erased_id: str = ""

    def erased(self, user: str, at: float) -> Watermarks:
        """The same once this deleted user was looked at."""
        return replace(self, erased_at=at, erased_id=user)


def profile_dims(layout: UserLayout) -> dict[str, int]:
    """{part: d_part} of the parts of a user's row that a profile gives."""
    return {
        part: stop - start
        for part, (start, stop) in layout.spans.items()
        if part not in ("history", "one")
    }


class SumsFile:
    """An open file of sums. Everything is read and written within `reading` or `writing`.

    Raises:
        sqlite3.DatabaseError: from every method, where the file is locked for long or damaged.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[SumsFile]:
        """Open a file, made if absent; closed on the way out."""
        with closing(sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=FULL")
            # a user who is forgotten leaves no pages behind
            database.execute("PRAGMA secure_delete=ON")
            yield cls(database)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One view of the file, whatever others write meanwhile."""
        self._database.execute("BEGIN")
        try:
            yield
        finally:
            self._database.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """All that is written is kept, or, after an error, none of it. One writer at a time."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def make_tables(self) -> None:
        """Once, in a new file."""
        self._database.executescript(SCHEMA)

    # -- facts

    def totals(self) -> tuple[int, int]:
        """(users, interactions)."""
        found = self._json("totals")
        return int(found["users"]), int(found["interactions"])

    def layout(self) -> UserLayout:
        """Of the users' rows."""
        spans = self._json("layout")
        return UserLayout({part: (int(a), int(b)) for part, (a, b) in spans.items()})

    def statistics(self) -> Statistics:
        """The sums, in memory of their own."""
        layout = self.layout()
        users, interactions = self.totals()
        return Statistics(
            layout=layout,
            recipe=Recipe(**self._json("recipe")),
            damping=self._array("damping", np.float32),
            gram=self._array("gram", np.float64).reshape(layout.dim, layout.dim).copy(),
            cross=self._array("cross", np.float64).reshape(layout.dim, -1).copy(),
            users=users,
            interactions=interactions,
        )

    def put_statistics(self, statistics: Statistics) -> None:
        """Replace the sums; layout, recipe and damping stay as `put_constants` wrote them."""
        self._put("gram", statistics.gram.astype(np.float64).tobytes())
        self._put("cross", statistics.cross.astype(np.float64).tobytes())
        totals = {"users": statistics.users, "interactions": statistics.interactions}
        self._put("totals", json.dumps(totals).encode())

    def item_gram(self) -> NDArray[np.float64]:
        """H, [d + 1, d + 1] with the column of the bias."""
        found = self._array("item_gram", np.float64)
        width = math.isqrt(len(found))
        return found.reshape(width, width)

    def ridge(self) -> Ridge:
        """The penalties that were chosen."""
        return Ridge(**self._json("ridge"))

    def prior(self) -> dict[str, Matrix]:
        """What A shrinks toward: {part: [d_part, d] float32}."""
        width = len(self.item_gram()) - 1
        return {
            str(name).removeprefix("prior."): np.frombuffer(value, np.float32).reshape(-1, width)
            for name, value in self._database.execute(
                "SELECT name, value FROM facts WHERE name LIKE 'prior.%'"
            )
        }

    def put_prior(self, prior: Mapping[str, Matrix]) -> None:
        """Replace what A shrinks toward."""
        self._database.execute("DELETE FROM facts WHERE name LIKE 'prior.%'")
        for part, matrix in prior.items():
            self._put(f"prior.{part}", matrix.astype(np.float32).tobytes())

    def put_constants(
        self,
        statistics: Statistics,
        gram: NDArray[np.float64],
        ridge: Ridge,
        prior: Mapping[str, Matrix],
    ) -> None:
        """What a training fixes and no change of a user touches. gram: H."""
        for name, value in (
            ("layout", {part: list(span) for part, span in statistics.layout.spans.items()}),
            ("recipe", asdict(statistics.recipe)),
            ("ridge", asdict(ridge)),
        ):
            self._put(name, json.dumps(value).encode())
        self._put("damping", statistics.damping.astype(np.float32).tobytes())
        self._put("item_gram", gram.astype(np.float64).tobytes())
        self.put_prior(prior)

    def marks(self) -> Watermarks:
        """Up to where the ledger is in it."""
        found = self._json("marks")
        cursor = found.pop("cursor")
        return Watermarks(Cursor(int(cursor[0]), str(cursor[1])) if cursor else None, **found)

    def put_marks(self, marks: Watermarks) -> None:
        """Say up to where the ledger is in it."""
        self._put("marks", json.dumps(asdict(marks)).encode())

    def unsolved(self) -> list[str] | None:
        """Items of users who are out of it while the A that serves may still know them; None where
        there are no such users."""
        query = "SELECT value FROM facts WHERE name = 'unsolved'"
        row = self._database.execute(query).fetchone()
        return None if row is None else [str(one) for one in json.loads(row[0])]

    def put_unsolved(self, item_ids: Sequence[str]) -> None:
        """Some more users are out of it, who took these."""
        known = dict.fromkeys([*(self.unsolved() or ()), *item_ids])
        self._put("unsolved", json.dumps(list(known)).encode())

    def solved(self) -> None:
        """A without these users serves."""
        self._database.execute("DELETE FROM facts WHERE name = 'unsolved'")

    # -- items

    def places(self, item_ids: Sequence[str]) -> dict[str, int]:
        """{item id: column} of those that are in it."""
        found: dict[str, int] = {}
        for item_id in item_ids:
            row = self._database.execute(
                "SELECT place FROM items WHERE id = ?", (item_id,)
            ).fetchone()
            if row is not None:
                found[item_id] = int(row[0])
        return found

    def item_ids(self, places: set[int]) -> list[str]:
        """The items at these columns."""
        if not places:
            return []
        return [
            str(item_id)
            for item_id, place in self._database.execute("SELECT id, place FROM items")
            if place in places
        ]

    def put_items(self, item_ids: Sequence[str]) -> None:
        """The items, in the order of their columns."""
        self._database.executemany(
            "INSERT INTO items VALUES (?, ?)",
            ((item_id, place) for place, item_id in enumerate(item_ids)),
        )

    # -- users

    def has(self, user: str) -> bool:
        """Whether this user is in it."""
        row = self._database.execute("SELECT 1 FROM users WHERE id = ?", (user,)).fetchone()
        return row is not None

    def people(self, ids: Sequence[str], layout: UserLayout, item_count: int) -> People:
        """What these users added, those that are in it."""
        dims = profile_dims(layout)
        found: list[str] = []
        indptr = [0]
        indices, weights = [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.float32)]
        profiles = []
        for user in ids:
            row = self._database.execute(
                "SELECT items, weights, profile FROM users WHERE id = ?", (user,)
            ).fetchone()
            if row is None:
                continue
            found.append(user)
            indices.append(np.frombuffer(row[0], dtype="<i4"))
            weights.append(np.frombuffer(row[1], dtype="<f4"))
            indptr.append(indptr[-1] + len(indices[-1]))
            said = row[2] or bytes(4 * sum(dims.values()))
            profiles.append(np.frombuffer(said, dtype="<f4"))
        matrix = csr_matrix(
            (np.concatenate(weights), np.concatenate(indices), np.array(indptr)),
            shape=(len(found), item_count),
        )
        said = np.stack(profiles) if profiles else np.zeros((0, sum(dims.values())), np.float32)
        split, start = {}, 0
        for part, dim in dims.items():
            split[part] = said[:, start : start + dim]
            start += dim
        return People(found, matrix, split)

    def put_people(self, people: People, layout: UserLayout) -> None:
        """Keep what these users add, those that add anything."""
        dims = profile_dims(layout)
        matrix = people.interactions

        def rows() -> Iterator[tuple[str, bytes, bytes, bytes | None]]:
            for at, user in enumerate(people.ids):
                start, stop = matrix.indptr[at], matrix.indptr[at + 1]
                if start == stop:
                    continue
                said = [people.profiles[part][at] for part in dims if part in people.profiles]
                profile = np.concatenate(said) if said and len(said) == len(dims) else None
                yield (
                    user,
                    matrix.indices[start:stop].astype("<i4").tobytes(),
                    matrix.data[start:stop].astype("<f4").tobytes(),
                    profile.astype("<f4").tobytes()
                    if profile is not None and profile.any()
                    else None,
                )

        self._database.executemany("INSERT OR REPLACE INTO users VALUES (?, ?, ?, ?)", rows())

    def remove_people(self, ids: Sequence[str]) -> None:
        """Nothing of these users is left in the table."""
        self._database.executemany("DELETE FROM users WHERE id = ?", ((one,) for one in ids))

    # -- values

    def _put(self, name: str, value: bytes) -> None:
        self._database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def _value(self, name: str) -> bytes:
        row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise sqlite3.DatabaseError(f"no {name}")
        return bytes(row[0])

    def _json(self, name: str) -> Any:
        return json.loads(self._value(name))

    def _array(self, name: str, dtype: Any) -> NDArray[Any]:
        return np.frombuffer(self._value(name), dtype=dtype)
