"""Fitted fusion against pass-through, on real features: `python -m benchmarks.fusion_quality`.

TikTok's image and audio features (6,710 videos) from FIRSTLIGHT_TEST_DATA. Nothing is trained on
interactions: a user is the mean of the fused vectors of what they watched, all other videos are
ranked by inner product, and the videos of the test split are what should come first.
"""

from __future__ import annotations

import csv
import gzip
import os
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from domain.vectors import Matrix, Vector
from encoders.fusion import Fusion

TOP = 20
DIMS = {"image": 128, "audio": 128}


def data_folder() -> Path:
    """Where real data lie: FIRSTLIGHT_TEST_DATA, by default ../shared/data beside the checkout."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("FIRSTLIGHT_TEST_DATA", default))


def pairs(path: Path) -> dict[int, list[int]]:
    """Items of each user."""
    found: dict[int, list[int]] = defaultdict(list)
    with gzip.open(path, "rt") as file:
        for user, item in list(csv.reader(file))[1:]:
            found[int(user)].append(int(item))
    return found


def features(folder: Path) -> list[dict[str, Vector]]:
    """Raw vectors of every item; a video without sound has an all-zero row, which is left out."""
    rows = {name: np.load(folder / f"{name}_feat.npy").astype(np.float32) for name in DIMS}
    return [
        {name: rows[name][at] for name in DIMS if rows[name][at].any()}
        for at in range(len(rows["image"]))
    ]


def without(items: list[dict[str, Vector]], share: float) -> list[dict[str, Vector]]:
    """The same items, a share of which lost one of two modalities, the same ones every time."""
    made = np.random.default_rng(0)
    kept = []
    for item in items:
        lost = made.choice(list(DIMS)) if made.random() < share else None
        kept.append({n: v for n, v in item.items() if n != lost or len(item) == 1})
    return kept


def quality(
    vectors: Matrix, history: dict[int, list[int]], wanted: dict[int, list[int]]
) -> tuple[float, float]:
    """Mean over users of R@20 and NDCG@20."""
    users = [user for user in wanted if user in history]
    discounts = 1 / np.log2(np.arange(TOP) + 2)
    recalls, gains = [], []
    for start in range(0, len(users), 512):
        block = users[start : start + 512]
        queries = np.stack([vectors[history[user]].mean(axis=0) for user in block])
        scores = queries @ vectors.T
        for row, user in zip(scores, block, strict=True):
            row[history[user]] = -np.inf
            best = np.argpartition(-row, TOP)[:TOP]
            best = best[np.argsort(-row[best])]
            hits = np.isin(best, wanted[user])
            most = min(TOP, len(wanted[user]))
            recalls.append(hits.sum() / len(wanted[user]))
            gains.append((hits * discounts).sum() / discounts[:most].sum())
    return float(np.mean(recalls)), float(np.mean(gains))


def compare(folder: Path) -> list[tuple[str, float, float]]:
    """(what, R@20, NDCG@20) of each way to make the vectors."""
    history, wanted = pairs(folder / "trn_pairs.csv.gz"), pairs(folder / "tst_pairs.csv.gz")
    items = features(folder)
    plain = Fusion.passthrough(DIMS, {})
    fitted = Fusion.fit(items, DIMS, block_dim=256, weights={})
    partial = without(items, 0.5)
    learned = Fusion.fit(partial, DIMS, block_dim=256, weights={})
    masking = Fusion(learned.blocks, (), learned.items)
    ways = [
        ("image alone, pass-through", plain, _only(items, "image")),
        ("audio alone, pass-through", plain, _only(items, "audio")),
        ("both, pass-through", plain, items),
        ("image alone, fitted", Fusion(fitted.blocks, (), fitted.items), _only(items, "image")),
        ("audio alone, fitted", Fusion(fitted.blocks, (), fitted.items), _only(items, "audio")),
        ("both, fitted", fitted, items),
        ("half of the items lost one: pass-through", plain, partial),
        ("half of the items lost one: fitted, masked", masking, partial),
        ("half of the items lost one: fitted, imputed", learned, partial),
    ]
    return [(name, *quality(f.fuse_many(i), history, wanted)) for name, f, i in ways]


def _only(items: list[dict[str, Vector]], name: str) -> list[dict[str, Vector]]:
    return [{name: item[name]} if name in item else item for item in items]


def main() -> None:
    """Print the table."""
    folder = data_folder() / "tiktok-features"
    if not folder.is_dir():
        sys.exit(f"skipped: no {folder}; set FIRSTLIGHT_TEST_DATA")
    print(f"{'':46}{'R@20':>8}{'NDCG@20':>9}")
    for name, recall, gain in compare(folder):
        print(f"{name:46}{recall:8.4f}{gain:9.4f}")


if __name__ == "__main__":
    main()
