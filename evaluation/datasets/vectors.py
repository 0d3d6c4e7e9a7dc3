"""Precomputed vectors of items."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from domain.errors import RejectedError
from domain.vectors import Matrix
from encoders.attributes import ATTRIBUTES
from evaluation.datasets.tables import open_text
from evaluation.graph_block import GRAPH, PERMUTED

MADE = (ATTRIBUTES, GRAPH, PERMUTED)
"""Features that no file of vectors can be: they are fitted per split."""


def load_matrix(path: Path) -> Matrix:
    """[n, dim] float32 of a .npy file; nothing in it is unpickled.

    Raises:
        RejectedError: not a .npy file of numbers in two dimensions.
    """
    try:
        with path.open("rb") as file:
            matrix = np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, OSError, EOFError) as problem:
        raise RejectedError(
            f"not a readable .npy file ({problem})",
            field=str(path),
            remedy="save it with numpy.save(path, array of float32)",
        ) from None
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or matrix.dtype.kind not in "fiu":
        shape = getattr(matrix, "shape", None)
        raise RejectedError(
            f"shape {shape}, numbers in two dimensions are needed",
            field=str(path),
            remedy="save one row per item",
        )
    return np.ascontiguousarray(matrix, dtype=np.float32)


def read_vectors(
    folder: Path, item_rows: Mapping[str, int]
) -> tuple[dict[str, tuple[NDArray[np.int32], Matrix]], list[str]]:
    """NAME.npy of the folder with NAME.ids.txt, else ids.txt, else in the order of the items.

    Rows of items that are not known, or with NaN or infinity, are left out and counted.

    Returns:
        {NAME: (rows of items, their vectors)} and notes.

    Raises:
        RejectedError: other numbers of rows and ids, an id that is there twice, or one of MADE
            for a name.
    """
    found: dict[str, tuple[NDArray[np.int32], Matrix]] = {}
    notes: list[str] = []
    for path in sorted(folder.glob("*.npy")):
        if path.stem in MADE:
            raise RejectedError(
                f"{path.stem!r} is the name of a feature that is made from the data",
                field=str(path),
                remedy="give the file another name, such as my-" + path.name,
            )
        matrix = load_matrix(path)
        ids, source = _ids(path, list(item_rows))
        if len(ids) != len(matrix):
            raise RejectedError(
                f"{len(matrix)} rows, but {len(ids)} ids in {source}",
                field=str(path),
                remedy=f"write {path.stem}.ids.txt with one id per row",
            )
        if len(set(ids)) != len(ids):
            twice = next(one for one in ids if ids.count(one) > 1)
            raise RejectedError(
                f"{twice!r} is there twice", field=source, remedy="give every item one vector"
            )
        rows = np.array([item_rows.get(one, -1) for one in ids], dtype=np.int32)
        finite = np.isfinite(matrix).all(axis=1)
        for bad, why in (
            (rows < 0, "the item is not among the items"),
            ((rows >= 0) & ~finite, "NaN or infinity"),
        ):
            if bad.any():
                notes.append(f"vectors/{path.name}: {int(bad.sum())} rows left out: {why}")
        kept = (rows >= 0) & finite
        if not kept.any():
            raise RejectedError(
                f"none of {len(matrix)} rows can be used",
                field=str(path),
                remedy="give finite vectors of items of the items file",
            )
        found[path.stem] = rows[kept], matrix[kept]
    return found, notes


def _ids(path: Path, items: Sequence[str]) -> tuple[list[str], str]:
    for name in (f"{path.stem}.ids.txt", "ids.txt"):
        listed = path.parent / name
        if listed.is_file():
            return read_ids(listed), str(listed)
    return list(items), "the items file"


def read_ids(path: Path) -> list[str]:
    """One id per line; empty lines are skipped. Raises RejectedError if it cannot be read."""
    try:
        with open_text(path) as stream:
            return [line.strip() for line in stream if line.strip()]
    except UnicodeDecodeError:
        raise RejectedError(
            "not UTF-8", field=str(path), remedy="save the file as UTF-8, one id per line"
        ) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
        raise RejectedError(
            f"not a whole gzip file ({problem})", field=str(path), remedy="pack it again"
        ) from None
