"""The sums that A is solved from, on disk, with what each user added to them.

One SQLite file per training: the sums themselves, and each user's own rows, so that the very
numbers that a user added can be taken off again, whatever has become of the items or of the
profile since. A change is one transaction: the file is as before, or as after, also after a
kill. The item vectors that were learned from lie beside it (memory-mapped).
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from catalog import Cursor
from domain.errors import RejectedError, RetryableError
from domain.vectors import BlockMap, Matrix
from ranking.training import Recipe, Ridge, Statistics, UserLayout, solve

FILE, ITEMS = "sums.db", "items.npy"
WAIT_S = 60.0
USERS_AT_ONCE = 2_048

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


class SumsStore:
    """The folder of sums, one sub-folder per training."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(
        self,
        item_ids: Sequence[str],
        items: Matrix,
        people: People,
        statistics: Statistics,
        gram: NDArray[np.float64],
        ridge: Ridge,
        prior: Mapping[str, Matrix],
        marks: Watermarks,
    ) -> str:
        """Write the sums of a training; the name under which they are opened.

        Args:
            items: [n_items, d] float32, the vectors that were learned from.
            statistics: the sums of exactly these people.
            gram: H.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
        try:
            np.save(staged / ITEMS, np.ascontiguousarray(items, dtype=np.float32))
            with closing(_connect(staged / FILE)) as database:
                database.executescript(SCHEMA)
                with _transaction(database):
                    database.executemany(
                        "INSERT INTO items VALUES (?, ?)",
                        ((item_id, place) for place, item_id in enumerate(item_ids)),
                    )
                    _put_users(database, people, statistics.layout)
                    _put_constants(database, statistics, gram, ridge, prior)
                    _put_sums(database, statistics)
                    _put_marks(database, marks)
            name = uuid.uuid4().hex[:12]
            staged.rename(self._folder / name)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        return name

    def open(self, name: str | None) -> Sums | None:
        """The sums of a training, or None where there are none."""
        if not name or not (self._folder / name / FILE).is_file():
            return None
        return Sums(self._folder / name)

    def all(self) -> list[Sums]:
        """Every training's sums that are on disk."""
        return [Sums(path.parent) for path in sorted(self._folder.glob(f"[!.]*/{FILE}"))]

    def keep_only(self, name: str | None) -> None:
        """Remove all but these: what others hold of people is of no use any more."""
        for folder in self._folder.glob("*") if self._folder.is_dir() else ():
            if folder.name != name:
                shutil.rmtree(folder, ignore_errors=True)


class Sums:
    """One training's sums. Safe to use from several processes; writers wait for each other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def name(self) -> str:
        """See SumsStore.open."""
        return self._folder.name

    def marks(self) -> Watermarks:
        """Up to where the ledger is in it."""
        with self._reading() as database:
            return _marks(database)

    def totals(self) -> tuple[int, int]:
        """(users, interactions) in it."""
        with self._reading() as database:
            facts = _json(database, "totals")
        return int(facts["users"]), int(facts["interactions"])

    def layout(self) -> UserLayout:
        """Of the users' rows."""
        with self._reading() as database:
            return _layout(database)

    def places(self, item_ids: Sequence[str]) -> dict[str, int]:
        """{item id: column} of those that were learned from."""
        found: dict[str, int] = {}
        with self._reading() as database:
            for item_id in item_ids:
                row = database.execute(
                    "SELECT place FROM items WHERE id = ?", (item_id,)
                ).fetchone()
                if row is not None:
                    found[item_id] = int(row[0])
        return found

    def item_count(self) -> int:
        """How many items were learned from."""
        return len(np.load(self._folder / ITEMS, mmap_mode="r"))

    def has(self, user: str) -> bool:
        """Whether this user is in it."""
        with self._reading() as database:
            found = database.execute("SELECT 1 FROM users WHERE id = ?", (user,)).fetchone()
        return found is not None

    def replace(
        self, blocks: Sequence[BlockMap], people: People, marks: Watermarks | None = None
    ) -> list[str]:
        """Take off what these users had added and add what they add now, in one transaction.

        A user without interactions is out of it afterwards, and nothing of them is left.

        Args:
            marks: written in the same transaction.

        Returns:
            Ids of the items that users who are out of it had taken.
        """
        with self._connected() as database, _transaction(database):
            statistics = _sums(database)
            items = np.load(self._folder / ITEMS, mmap_mode="r")
            before = _people(database, people.ids, statistics.layout, len(items))
            for one, sign in ((before, -1.0), (people, 1.0)):
                if len(one.ids):
                    statistics.add(blocks, items, one.interactions, one.profiles, sign=sign)
            database.executemany("DELETE FROM users WHERE id = ?", ((one,) for one in people.ids))
            _put_users(database, people, statistics.layout)
            _put_sums(database, statistics)
            if marks is not None:
                _put_marks(database, marks)
            gone = {
                one
                for one, count in zip(people.ids, np.diff(people.interactions.indptr), strict=True)
                if count == 0
            }
            left = [at for at, one in enumerate(before.ids) if one in gone]
            taken = before.interactions[left].indices.tolist() if left else []
            return _ids(database, set(taken))

    def mark(self, marks: Watermarks) -> None:
        """Say up to where the ledger is in it."""
        with self._connected() as database, _transaction(database):
            _put_marks(database, marks)

    def without(self, layout: UserLayout, users: Sequence[str]) -> People:
        """These users with nothing at all: what `replace` takes to forget them."""
        empty = csr_matrix(np.zeros((len(users), self.item_count()), dtype=np.float32))
        profiles = {
            part: np.zeros((len(users), stop - start), dtype=np.float32)
            for part, (start, stop) in layout.spans.items()
            if part not in ("history", "one")
        }
        return People(users, empty, profiles)

    def solve(self, blocks: Sequence[BlockMap]) -> dict[str, Matrix]:
        """A of what is in it now: {part: [d_part, d] float32}."""
        with self._reading() as database:
            statistics = _sums(database)
            gram = _array(database, "item_gram", np.float64)
            gram = gram.reshape(statistics.cross.shape[1], -1)
            ridge = Ridge(**_json(database, "ridge"))
            width = statistics.cross.shape[1] - 1
            prior = {
                str(name).removeprefix("prior."): np.frombuffer(value, dtype=np.float32).reshape(
                    -1, width
                )
                for name, value in database.execute(
                    "SELECT name, value FROM facts WHERE name LIKE 'prior.%'"
                )
            }
        return solve(blocks, statistics, gram, prior, ridge)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(_connect(self._folder / FILE)) as database:
                yield database
        except sqlite3.OperationalError as error:
            raise RetryableError(f"the sums {self.name} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            raise RejectedError(
                f"the sums {self.name} are damaged: {error}", remedy="run `firstlight train --full`"
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as database:
            database.execute("BEGIN")
            try:
                yield database
            finally:
                database.execute("ROLLBACK")


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("PRAGMA secure_delete=ON")  # a user who is forgotten leaves no pages behind
    return database


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _put(database: sqlite3.Connection, name: str, value: bytes) -> None:
    database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))


def _value(database: sqlite3.Connection, name: str) -> bytes:
    found = database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    if found is None:
        raise sqlite3.DatabaseError(f"no {name}")
    return bytes(found[0])


def _json(database: sqlite3.Connection, name: str) -> Any:
    return json.loads(_value(database, name))


def _array(database: sqlite3.Connection, name: str, dtype: Any) -> NDArray[Any]:
    return np.frombuffer(_value(database, name), dtype=dtype)


def _put_constants(
    database: sqlite3.Connection,
    statistics: Statistics,
    gram: NDArray[np.float64],
    ridge: Ridge,
    prior: Mapping[str, Matrix],
) -> None:
    for name, value in (
        ("layout", {part: list(span) for part, span in statistics.layout.spans.items()}),
        ("recipe", asdict(statistics.recipe)),
        ("ridge", asdict(ridge)),
    ):
        _put(database, name, json.dumps(value).encode())
    _put(database, "damping", statistics.damping.astype(np.float32).tobytes())
    _put(database, "item_gram", gram.astype(np.float64).tobytes())
    for part, matrix in prior.items():
        _put(database, f"prior.{part}", matrix.astype(np.float32).tobytes())


def _put_sums(database: sqlite3.Connection, statistics: Statistics) -> None:
    _put(database, "gram", statistics.gram.astype(np.float64).tobytes())
    _put(database, "cross", statistics.cross.astype(np.float64).tobytes())
    totals = {"users": statistics.users, "interactions": statistics.interactions}
    _put(database, "totals", json.dumps(totals).encode())


def _put_marks(database: sqlite3.Connection, marks: Watermarks) -> None:
    _put(database, "marks", json.dumps(asdict(marks)).encode())


def _marks(database: sqlite3.Connection) -> Watermarks:
    found = _json(database, "marks")
    cursor = found.pop("cursor")
    return Watermarks(Cursor(int(cursor[0]), str(cursor[1])) if cursor else None, **found)


def _layout(database: sqlite3.Connection) -> UserLayout:
    spans = _json(database, "layout")
    return UserLayout({part: (int(a), int(b)) for part, (a, b) in spans.items()})


def _sums(database: sqlite3.Connection) -> Statistics:
    layout = _layout(database)
    totals = _json(database, "totals")
    return Statistics(
        layout=layout,
        recipe=Recipe(**_json(database, "recipe")),
        damping=_array(database, "damping", np.float32),
        gram=_array(database, "gram", np.float64).reshape(layout.dim, layout.dim).copy(),
        cross=_array(database, "cross", np.float64).reshape(layout.dim, -1).copy(),
        users=int(totals["users"]),
        interactions=int(totals["interactions"]),
    )


def _profile_parts(layout: UserLayout) -> dict[str, int]:
    return {
        part: stop - start
        for part, (start, stop) in layout.spans.items()
        if part not in ("history", "one")
    }


def _put_users(database: sqlite3.Connection, people: People, layout: UserLayout) -> None:
    parts = _profile_parts(layout)
    matrix = people.interactions

    def rows() -> Iterator[tuple[str, bytes, bytes, bytes | None]]:
        for at, user in enumerate(people.ids):
            start, stop = matrix.indptr[at], matrix.indptr[at + 1]
            if start == stop:
                continue
            said = [people.profiles[part][at] for part in parts if part in people.profiles]
            profile = np.concatenate(said) if said and len(said) == len(parts) else None
            yield (
                user,
                matrix.indices[start:stop].astype("<i4").tobytes(),
                matrix.data[start:stop].astype("<f4").tobytes(),
                profile.astype("<f4").tobytes() if profile is not None and profile.any() else None,
            )

    database.executemany("INSERT OR REPLACE INTO users VALUES (?, ?, ?, ?)", rows())


def _people(
    database: sqlite3.Connection, ids: Sequence[str], layout: UserLayout, item_count: int
) -> People:
    """What these users added, those that are in it."""
    parts = _profile_parts(layout)
    found: list[str] = []
    indptr, indices, weights = [0], [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.float32)]
    profiles = []
    for user in ids:
        row = database.execute(
            "SELECT items, weights, profile FROM users WHERE id = ?", (user,)
        ).fetchone()
        if row is None:
            continue
        found.append(user)
        indices.append(np.frombuffer(row[0], dtype="<i4"))
        weights.append(np.frombuffer(row[1], dtype="<f4"))
        indptr.append(indptr[-1] + len(indices[-1]))
        said = row[2] or bytes(4 * sum(parts.values()))
        profiles.append(np.frombuffer(said, dtype="<f4"))
    matrix = csr_matrix(
        (np.concatenate(weights), np.concatenate(indices), np.array(indptr)),
        shape=(len(found), item_count),
    )
    said = np.stack(profiles) if profiles else np.zeros((0, sum(parts.values())), np.float32)
    split, start = {}, 0
    for part, dim in parts.items():
        split[part] = said[:, start : start + dim]
        start += dim
    return People(found, matrix, split)


def _ids(database: sqlite3.Connection, wanted: set[int]) -> list[str]:
    if not wanted:
        return []
    return [
        str(item_id)
        for item_id, place in database.execute("SELECT id, place FROM items")
        if place in wanted
    ]
