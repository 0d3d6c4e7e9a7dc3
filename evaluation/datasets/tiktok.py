"""TikTok micro-videos: image and audio features of every video, and the split they came with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from domain.items import Item
from domain.users import User
from evaluation.dataset import TEST, TRAIN, VALIDATION, Dataset, GivenSplit
from evaluation.datasets.pairs import clean_pairs
from evaluation.datasets.tables import read_table
from evaluation.datasets.vectors import load_matrix

PAIRS = (
    ("trn_pairs.csv.gz", TRAIN),
    ("val_pairs.csv.gz", VALIDATION),
    ("tst_pairs.csv.gz", TEST),
)
FEATURES = {"image": "image_feat.npy", "audio": "audio_feat.npy"}


def is_tiktok(folder: Path) -> bool:
    """Whether the folder holds this data set."""
    names = (*(name for name, _ in PAIRS), *FEATURES.values())
    return all((folder / name).is_file() for name in names)


def read_tiktok(folder: Path) -> Dataset:
    """Read the folder. Users and videos are row numbers; there is no other content."""
    tables = [read_table(folder / name, required=("user", "item")) for name, _ in PAIRS]
    vectors = {modality: load_matrix(folder / name) for modality, name in FEATURES.items()}
    n_items = len(vectors["image"])
    users = np.concatenate([table.numbers("user", empty=-1) for table in tables]).astype(np.int64)
    items = np.concatenate([table.numbers("item", empty=-1) for table in tables]).astype(np.int64)
    items[items >= n_items] = -1
    clean = clean_pairs(
        users,
        items,
        None,
        None,
        n_items=n_items,
        source="*_pairs.csv.gz",
        part=np.concatenate(
            [
                np.full(table.rows, code, np.int8)
                for table, (_, code) in zip(tables, PAIRS, strict=True)
            ]
        ),
    )
    bare = Item(id="0", title="-").model_copy(update={"title": ""})
    return Dataset(
        name="tiktok-features",
        items=tuple(bare.model_copy(update={"id": str(row)}) for row in range(n_items)),
        users=tuple(User(id=str(row)) for row in range(int(users.max()) + 1)),
        user_index=clean.user_index,
        item_index=clean.item_index,
        weights=np.ones_like(clean.weights),
        vectors={
            modality: (np.arange(len(matrix), dtype=np.int32), matrix)
            for modality, matrix in vectors.items()
        },
        given=GivenSplit(None, clean.part, ", ".join(name for name, _ in PAIRS)),
        notes=clean.notes,
    )
