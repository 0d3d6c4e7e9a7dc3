"""Arrays with one row per item, found by item id, read from disk as they are needed."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from domain.errors import RejectedError

KEYS = "keys"
CHUNK = 65_536


class Digest(Protocol):
    """A hash that takes bytes."""

    def update(self, data: bytes, /) -> None:
        """Add them."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of items. A million of them cost no Python object: ids are kept as 64-bit hashes in
    order, and the arrays stay on disk (memory-mapped) where they were loaded from a folder.

    Two ids among a million share a hash with probability 3e-8; both are left out then.

    Attributes:
        keys: [n] uint64, strictly ascending.
        arrays: {name: [n, ...] float32}.
        folder: where they lie, None before they were saved.
    """

    keys: NDArray[np.uint64] = field(repr=False)
    arrays: Mapping[str, NDArray[np.float32]] = field(repr=False)
    folder: Path | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def of(cls, ids: Sequence[str], arrays: Mapping[str, NDArray[np.float32]]) -> Self:
        """Rows in the order of `ids`, each id once."""
        keys = keys_of(ids)
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        alone = np.ones(len(keys), dtype=bool)
        if len(keys) > 1:
            twice = ordered[1:] == ordered[:-1]
            alone[1:] &= ~twice
            alone[:-1] &= ~twice
        order = order[alone]
        chosen = {
            name: np.ascontiguousarray(array[order], dtype=np.float32)
            for name, array in arrays.items()
        }
        return cls(ordered[alone], chosen)

    def find(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """The row of each id, -1 where there is none."""
        wanted = keys_of(ids)
        if not len(self.keys):
            return np.full(len(wanted), -1, dtype=np.int64)
        places = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where(self.keys[places] == wanted, places, -1)

    def take(self, name: str, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Rows of one array, [len(places), ...] float32; zeros for -1."""
        array = self.arrays[name]
        found = np.zeros((len(places), *array.shape[1:]), dtype=np.float32)
        known = places >= 0
        found[known] = array[places[known]]
        return found

    def save(self, folder: Path) -> None:
        """Write into a folder that is made here; linked, not copied, where they lie on disk."""
        if self.folder is not None:
            _link(self.folder, folder)
            return
        folder.mkdir()
        np.save(folder / f"{KEYS}.npy", self.keys)
        for name, array in self.arrays.items():
            np.save(folder / f"{name}.npy", array)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Map what `save` wrote.

        Raises:
            OSError, ValueError: a file is missing or damaged.
        """
        arrays = {
            path.stem: np.load(path, mmap_mode="r", allow_pickle=False)
            for path in sorted(folder.glob("*.npy"))
        }
        return cls(np.asarray(arrays.pop(KEYS)), arrays, folder)

    def check(
        self, name: str, shapes: Mapping[str, tuple[int, ...]], needed: Collection[str]
    ) -> None:
        """Whether the arrays are these, {array: shape of one row}, and `needed` are among them.

        Raises:
            RejectedError: another array or shape, one that is needed is missing, NaN or infinity,
                keys out of order.
        """
        if self.keys.dtype != np.uint64 or (self.keys[1:] <= self.keys[:-1]).any():
            raise RejectedError("not in order", field=f"{name}.{KEYS}", remedy="train it again")
        if self.arrays.keys() - shapes.keys():
            unknown = ", ".join(sorted(self.arrays.keys() - shapes.keys()))
            raise RejectedError("no such array", field=f"{name}.{unknown}")
        for array_name, array in self.arrays.items():
            expected = (len(self.keys), *shapes[array_name])
            if array.shape != expected or array.dtype != np.float32:
                raise RejectedError(
                    f"{array.dtype} {list(array.shape)}, expected float32 {list(expected)}",
                    field=f"{name}.{array_name}",
                    remedy="train it again",
                )
            for start in range(0, len(array), CHUNK):
                if not np.isfinite(array[start : start + CHUNK]).all():
                    raise RejectedError(
                        "holds NaN or infinity",
                        field=f"{name}.{array_name}",
                        remedy="train it again",
                    )
        for missing in sorted(set(needed) - self.arrays.keys()):
            raise RejectedError("is missing", field=f"{name}.{missing}", remedy="train it again")

    def digest(self, into: Digest) -> None:
        """Add the content to a hash."""
        into.update(np.ascontiguousarray(self.keys).tobytes())
        for name in sorted(self.arrays):
            into.update(name.encode())
            array = self.arrays[name]
            for start in range(0, len(array), CHUNK):
                into.update(np.ascontiguousarray(array[start : start + CHUNK]).tobytes())


def keys_of(ids: Sequence[str]) -> NDArray[np.uint64]:
    """The key of each id: the first 64 bits of its BLAKE2b."""
    digests = b"".join(hashlib.blake2b(one.encode(), digest_size=8).digest() for one in ids)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def _link(source: Path, target: Path) -> None:
    try:
        shutil.copytree(source, target, copy_function=os.link)
    except (OSError, shutil.Error):
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
