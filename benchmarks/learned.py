"""What the same-features rule chooses on a public data set, and by how much.

    FIRSTLIGHT_TEST_DATA=DATA python -m benchmarks.learned [DATASET] [--features text,attributes]
        [--options infonce,ease-distillation,gated-fusion]

A learns from all interactions of the data set, as `firstlight train` does; see docs/ranking.md.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from domain.settings import settings
from evaluation.datasets import open_dataset
from evaluation.features import embed, fuse
from ranking import prior
from ranking.training import TrainingData, fit_projection


def main() -> None:
    """Print the report of the contest, and one line for people."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", nargs="?", default="movielens-1m")
    parser.add_argument("--features", default="text,attributes")
    parser.add_argument("--options", default=",".join(settings().ranking.learned_options))
    asked = parser.parse_args()
    data = open_dataset(Path(asked.dataset))
    names = tuple(asked.features.split(","))
    features = embed(data, settings(), names)
    pairs = (np.ones(len(data.user_index), np.float32), (data.user_index, data.item_index))
    taken = csr_matrix(pairs, shape=(len(data.users), data.n_items))
    warm = taken.getnnz(axis=0) > 0
    fusion, items, _ = fuse(data, features, names, warm, settings())
    learned = TrainingData(fusion.blocks, items, taken, features.profiles)
    started = time.process_time()
    fitted = fit_projection(
        learned, prior(fusion).matrices, options=list(filter(None, asked.options.split(",")))
    )
    assert fitted.contest is not None
    report = fitted.contest.report()
    print(json.dumps({**report, "cpu_seconds": round(time.process_time() - started, 1)}, indent=2))
    print(report["told"])


if __name__ == "__main__":
    main()
