"""Training: seconds of one fit of A at 100 thousand, 1 million and 10 million interactions.

The penalties are given, as a training has them after they were chosen; what is timed is the sums
over all users, the moments of the items, and the solution. Linear growth is the time at 10 million
over ten times that at 1 million.
"""

from __future__ import annotations

import resource
import time

import numpy as np
from scipy.sparse import csr_matrix

from benchmarks.report import Figure
from domain.vectors import BlockMap
from ranking.training import TrainingData, fit_projection
from ranking.training.choosing import Setting

ITEMS = 10_000
DIM = 500
PER_USER = 100
SIZES = (100_000, 1_000_000, 10_000_000)
MAX_S = 5.0
"""Of the middle size."""


def measure() -> list[Figure]:
    """Seconds at a million over the bound, and how far from linear ten times as many are."""
    fit_projection(made(SIZES[0]), {}, setting=Setting())
    taken = {size: _seconds(size) for size in SIZES}
    small, middle, large = (taken[size] for size in SIZES)
    data = f"{ITEMS:,} random items of {DIM} dimensions, {PER_USER} interactions a user"
    notes = {
        "seconds": {f"{size:,}": seconds for size, seconds in taken.items()},
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "tenfold_below": middle / small,
    }
    return [
        Figure(
            name=f"fit of A, 1M interactions, over {MAX_S:g} s",
            ratio=middle / MAX_S,
            target=1.0,
            better="lower",
            ours=middle,
            other=MAX_S,
            unit="s",
            against="the bound",
            data=data,
            notes=notes,
        ),
        Figure(
            name="fit of A, 10M interactions over 1M, per interaction",
            ratio=large / (10 * middle),
            target=1.2,
            better="lower",
            ours=large,
            other=10 * middle,
            unit="s",
            against="linear growth",
            data=data,
            notes=notes,
        ),
    ]


def _seconds(size: int) -> float:
    data = made(size)
    started = time.perf_counter()
    fit_projection(data, {}, setting=Setting())
    return time.perf_counter() - started


def made(size: int, items: int = ITEMS) -> TrainingData:
    """Users who each take items by lot, popular ones more often."""
    rng = np.random.default_rng(size)
    users = size // PER_USER
    content = rng.standard_normal((items, DIM)).astype(np.float32)
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    taken = (items * rng.random(size) ** 2).astype(np.int64)
    rows = np.repeat(np.arange(users), PER_USER)
    interactions = csr_matrix(
        (np.ones(size, dtype=np.float32), (rows, taken)), shape=(users, items), dtype=np.float32
    )
    interactions.sum_duplicates()
    interactions.data[:] = 1.0
    block = BlockMap(
        "text", np.zeros(DIM, dtype=np.float32), np.eye(DIM, dtype=np.float32), 1.0, 0, DIM
    )
    said = rng.standard_normal((users, DIM)).astype(np.float32)
    return TrainingData([block], content, interactions, {"text": said})
