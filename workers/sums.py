"""The sums that A is solved from, one folder per training: opened, changed, solved, removed.

Each folder holds the item vectors that were learned from (memory-mapped) and a `SumsFile`: the
sums, and what each user added to them, so that the very numbers can be taken off again, whatever
has become of the items or of the profile since. A change is one transaction: the file is as before,
or as after, also after a kill.
"""

from __future__ import annotations

import shutil
import sqlite3
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.durable import put_folder
from domain.errors import RejectedError, RetryableError
from domain.vectors import BlockMap, Matrix
from ranking.training import Ridge, Statistics, UserLayout, solve
from workers.sums_file import People, SumsFile, Watermarks, profile_dims

__all__ = ["People", "Sums", "SumsStore", "Watermarks"]

FILE, ITEMS = "sums.db", "items.npy"


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

        def write(folder: Path) -> None:
            np.save(folder / ITEMS, np.ascontiguousarray(items, dtype=np.float32))
            with SumsFile.opened(folder / FILE) as file:
                file.make_tables()
                with file.writing():
                    file.put_items(item_ids)
                    file.put_people(people, statistics.layout)
                    file.put_constants(statistics, gram, ridge, prior)
                    file.put_statistics(statistics)
                    file.put_marks(marks)

        self._folder.mkdir(parents=True, exist_ok=True)
        name = uuid.uuid4().hex[:12]
        put_folder(self._folder / name, write)
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
        with self._reading() as file:
            return file.marks()

    def totals(self) -> tuple[int, int]:
        """(users, interactions) in it."""
        with self._reading() as file:
            return file.totals()

    def layout(self) -> UserLayout:
        """Of the users' rows."""
        with self._reading() as file:
            return file.layout()

    def places(self, item_ids: Sequence[str]) -> dict[str, int]:
        """{item id: column} of those that were learned from."""
        with self._reading() as file:
            return file.places(item_ids)

    def item_count(self) -> int:
        """How many items were learned from."""
        return len(self._items())

    def has(self, user: str) -> bool:
        """Whether this user is in it."""
        with self._reading() as file:
            return file.has(user)

    def replace(
        self, blocks: Sequence[BlockMap], people: People, marks: Watermarks | None = None
    ) -> None:
        """Take off what these users had added and add what they add now, in one transaction.

        A user without interactions is out of it afterwards, and nothing of them is left but the
        items they had taken: these are in `unsolved` until `solved` is called.

        Args:
            marks: written in the same transaction.
        """
        with self._opened() as file, file.writing():
            statistics, items = file.statistics(), self._items()
            before = file.people(people.ids, statistics.layout, len(items))
            for one, sign in ((before, -1.0), (people, 1.0)):
                if len(one.ids):
                    statistics.add(blocks, items, one.interactions, one.profiles, sign=sign)
            file.remove_people(people.ids)
            file.put_people(people, statistics.layout)
            file.put_statistics(statistics)
            if marks is not None:
                file.put_marks(marks)
            gone = {
                one
                for one, count in zip(people.ids, np.diff(people.interactions.indptr), strict=True)
                if count == 0
            }
            left = [at for at, one in enumerate(before.ids) if one in gone]
            if left:
                file.put_unsolved(file.item_ids(set(before.interactions[left].indices.tolist())))

    def unsolved(self) -> list[str] | None:
        """Items of users who were taken off, as long as no A without them serves; None where there
        are no such users. A process may have died between the two."""
        with self._reading() as file:
            return file.unsolved()

    def solved(self) -> None:
        """A without the users who were taken off serves, and their items will be counted anew."""
        with self._opened() as file, file.writing():
            file.solved()

    def ridge(self) -> Ridge:
        """The penalties that were chosen."""
        with self._reading() as file:
            return file.ridge()

    def mark(self, marks: Watermarks) -> None:
        """Say up to where the ledger is in it."""
        with self._opened() as file, file.writing():
            file.put_marks(marks)

    def begin_with(self, prior: Mapping[str, Matrix]) -> None:
        """Shrink toward this A0 from the next solution on."""
        with self._opened() as file, file.writing():
            file.put_prior(prior)

    def without(self, layout: UserLayout, users: Sequence[str]) -> People:
        """These users with nothing at all: what `replace` takes to forget them."""
        empty = csr_matrix(np.zeros((len(users), self.item_count()), dtype=np.float32))
        profiles = {
            part: np.zeros((len(users), dim), dtype=np.float32)
            for part, dim in profile_dims(layout).items()
        }
        return People(users, empty, profiles)

    def solve(self, blocks: Sequence[BlockMap]) -> dict[str, Matrix]:
        """A of what is in it now: {part: [d_part, d] float32}."""
        with self._reading() as file:
            statistics, gram = file.statistics(), file.item_gram()
            prior, ridge = file.prior(), file.ridge()
        return solve(blocks, statistics, gram, prior, ridge)

    def _items(self) -> Matrix:
        items: Matrix = np.load(self._folder / ITEMS, mmap_mode="r")
        return items

    @contextmanager
    def _opened(self) -> Iterator[SumsFile]:
        try:
            with SumsFile.opened(self._folder / FILE) as file:
                yield file
        except sqlite3.OperationalError as error:
            raise RetryableError(f"the sums {self.name} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            raise RejectedError(
                f"the sums {self.name} are damaged: {error}", remedy="run `firstlight train --full`"
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[SumsFile]:
        with self._opened() as file, file.reading():
            yield file
