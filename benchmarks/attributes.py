"""What attributes and posters are worth, and their weights: `python -m benchmarks.attributes`.

MovieLens-1M from FIRSTLIGHT_TEST_DATA, strict item cold start, the validation half of the cold
items, full rankings, mean over seeds. Before training: the product of fused vectors with the sum of
a user's. After: the bilinear ridge of SCIENCE section 2 with a bias, at one strength for all. Texts
and posters are embedded once and cached in the data directory (FIRSTLIGHT_DATA_DIR). That one
strength is relative to the mean over all dimensions, so after training rows with the same blocks
compare, and rows with others do not.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.fusion_quality import data_folder
from domain.settings import Settings, load_settings
from domain.vectors import Matrix
from encoders.fusion.blocks import Double
from evaluation.datasets.movielens_1m import read_movielens_1m
from evaluation.features import embed, fuse
from evaluation.metrics import evaluate
from evaluation.splits.item_cold import item_cold_start
from evaluation.splits.split import Evaluation, Sparse, Split

SEEDS = (0, 1, 2)
WEIGHTS = (0.5, 0.7, 1.0, 1.5, 2.0)
POSTERS = (0.3, 0.5, 0.7, 1.0)
"""Weights of pictures, beside text and attributes at their defaults."""

PROFILES_RIDGE, ITEMS_RIDGE = 10.0, 0.3
"""l1 (over the mean eigenvalue) and l2 of the bilinear ridge."""


def bilinear(train: Sparse, items: Double) -> Double:
    """A^T u of every user [n_users, d]: u is the root-mean profile and 1."""
    pairs = train.copy()
    pairs.data[:] = 1.0
    counts = np.maximum(pairs.getnnz(axis=1), 1)
    popularity = np.maximum(pairs.getnnz(axis=0), 1)
    profiles = np.column_stack([(pairs @ items) / np.sqrt(counts)[:, None], np.ones(len(counts))])
    targets = pairs.multiply(1 / np.sqrt(popularity)).tocsr() @ items
    left = profiles.T @ profiles
    left[np.diag_indices_from(left)] += PROFILES_RIDGE * np.trace(left) / len(left)
    right = items.T @ items
    right[np.diag_indices_from(right)] += ITEMS_RIDGE
    learned = np.linalg.solve(right, np.linalg.solve(left, profiles.T @ targets).T).T
    asked: Double = profiles @ learned
    return asked


def quality(split: Split, vectors: Matrix) -> list[float]:
    """Recall and NDCG at 20 before training, then after."""
    (cold,) = [one for one in split.of("validation") if one.name == "cold"]
    items = vectors.astype(np.float64)
    found: list[float] = []
    for asked in (split.train.astype(bool) @ items, bilinear(split.train, items)):
        found += _measured(cold, asked, items)
    return found


def _measured(cold: Evaluation, asked: Double, items: Double) -> list[float]:
    def scores(users: NDArray[np.int64]) -> NDArray[np.float32]:
        return (asked[users] @ items.T).astype(np.float32)

    measured = evaluate(scores, cold, ks=(20,))
    return [measured.mean("recall@20"), measured.mean("ndcg@20")]


def main(seeds: Sequence[int] = SEEDS) -> None:
    """Print a table."""
    folder = data_folder() / "movielens-1m"
    if not folder.is_dir():
        sys.exit(f"no data in {folder}; set FIRSTLIGHT_TEST_DATA")
    settings = load_settings()
    dataset = read_movielens_1m(folder)
    features = embed(dataset, settings, ["text", "image"], profiles=False)
    splits = [item_cold_start(dataset, seed) for seed in seeds]
    rows: list[tuple[str, Sequence[str], dict[str, float]]] = [
        ("text", ["text"], {}),
        ("attributes", ["attributes"], {}),
        *(
            (f"text + {weight} attributes", ["text", "attributes"], {"attributes": weight})
            for weight in WEIGHTS
        ),
        *(
            (
                f"text + attributes + {weight} posters",
                ["text", "image", "attributes"],
                {"image": weight},
            )
            for weight in POSTERS
        ),
    ]
    print(f"{'R@20 / NDCG@20':34s} before training   after")
    for name, subset, weights in rows:
        weighted = _weighted(settings, weights)
        means = np.mean(
            [quality(s, fuse(dataset, features, subset, s.warm, weighted)[1]) for s in splits],
            axis=0,
        )
        print(f"{name:34s} {means[0]:.3f} / {means[1]:.3f}    {means[2]:.3f} / {means[3]:.3f}")


def _weighted(settings: Settings, weights: dict[str, float]) -> Settings:
    fusion = settings.fusion.model_copy(update={"weights": weights})
    return settings.model_copy(update={"fusion": fusion})


if __name__ == "__main__":
    main()
