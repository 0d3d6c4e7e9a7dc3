"""Readers of data sets; `open_dataset` recognises which one a folder needs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from domain.errors import RejectedError
from evaluation.dataset import Dataset
from evaluation.datasets.folder import is_folder, read_folder
from evaluation.datasets.movielens_1m import is_movielens_1m, read_movielens_1m
from evaluation.datasets.movielens_100k import is_movielens_100k, read_movielens_100k
from evaluation.datasets.recbole import is_recbole, read_recbole
from evaluation.datasets.tiktok import is_tiktok, read_tiktok

__all__ = [
    "data_folder",
    "open_dataset",
    "read_folder",
    "read_movielens_1m",
    "read_movielens_100k",
    "read_recbole",
    "read_tiktok",
]

LIKED = "-liked"

READERS: tuple[tuple[Callable[[Path], bool], Callable[[Path], Dataset]], ...] = (
    (is_movielens_1m, read_movielens_1m),
    (is_movielens_100k, read_movielens_100k),
    (is_tiktok, read_tiktok),
    (is_folder, read_folder),
    (is_recbole, read_recbole),
)
"""The first whose files are there reads the folder."""


def data_folder() -> Path:
    """Where data sets lie that are called by name: FIRSTLIGHT_TEST_DATA, else ../shared/data."""
    checkout = Path(__file__).resolve().parents[2]
    return Path(os.environ.get("FIRSTLIGHT_TEST_DATA", checkout.parent / "shared" / "data"))


def open_dataset(path_or_name: str | Path) -> Dataset:
    """Read a data set from its folder, or by the name of a folder in `data_folder()`.

    "-liked" after the name of a MovieLens folder keeps the pairs rated 4 or 5; otherwise every
    recorded pair is a positive.

    Raises:
        RejectedError: there is no such folder, it is of no known kind, or it cannot be read.
    """
    folder = Path(path_or_name)
    liked_only = folder.name.endswith(LIKED) and not folder.is_dir()
    if liked_only:
        folder = folder.with_name(folder.name.removesuffix(LIKED))
    if not folder.is_dir() and len(folder.parts) == 1:
        folder = data_folder() / folder
    if not folder.is_dir():
        raise RejectedError(
            "no such folder",
            field=str(path_or_name),
            remedy="give the path of a folder, or set FIRSTLIGHT_TEST_DATA to where it lies",
        )
    if liked_only:
        return _read_liked(folder)
    for recognises, read in READERS:
        if recognises(folder):
            return read(folder)
    raise RejectedError(
        "no data set that is known",
        field=str(folder),
        remedy="put items.csv and interactions.csv there (docs/evaluation.md), or RecBole's"
        " atomic files (NAME.inter ...)",
    )


def _read_liked(folder: Path) -> Dataset:
    if is_movielens_1m(folder):
        return read_movielens_1m(folder, liked_only=True)
    if is_movielens_100k(folder):
        return read_movielens_100k(folder, liked_only=True)
    raise RejectedError(
        f"{LIKED} is for the MovieLens folders",
        field=str(folder),
        remedy="leave out the interactions you do not want as positives",
    )
