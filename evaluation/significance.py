"""How sure a figure is: intervals over seeds, and paired tests between methods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from domain.errors import RejectedError

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and where it lies.

    Attributes:
        mean: of the values.
        low, high: t-interval at LEVEL; both are NaN where one value says nothing of the spread.
        deviation: standard deviation of the values (n - 1), NaN for one value.
        n: number of values.
    """

    mean: float
    low: float
    high: float
    deviation: float
    n: int

    def __str__(self) -> str:
        if math.isnan(self.low):
            return f"{self.mean:.4f}"
        return f"{self.mean:.4f} ± {self.high - self.mean:.4f}"


def interval(values: Sequence[float] | NDArray[np.float64], level: float = LEVEL) -> Interval:
    """Student's t-interval of the mean of values, one per seed.

    Raises:
        RejectedError: no values, or one is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if not len(array) or not np.isfinite(array).all():
        raise RejectedError(f"{len(array)} values, finite ones are needed", field="interval")
    mean, n = float(array.mean()), len(array)
    if n == 1:
        return Interval(mean, math.nan, math.nan, math.nan, 1)
    deviation = float(array.std(ddof=1))
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * deviation / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, deviation, n)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Method A against method B on one metric, user by user on the same splits.

    Attributes:
        difference: mean over seeds of A - B, with its interval.
        relative: difference of the means divided by B's mean; NaN where that is 0.
        p_seeds: paired t-test over seeds (n = seeds; NaN with fewer than two seeds).
        p_users: paired t-test over users, where a user's difference is first averaged over the
            seeds in which they occur, so that a user counts once.
        p_wilcoxon: signed-rank test on the same differences of users.
        wins, losses: users for whom A is better, worse, on average over seeds.
        users, seeds: how many of each.
    """

    difference: Interval
    relative: float
    p_seeds: float
    p_users: float
    p_wilcoxon: float
    wins: int
    losses: int
    users: int
    seeds: int


PerUser = tuple[NDArray[np.int32], NDArray[np.float64]]
"""Rows of users [n], and the metric's value for each [n]."""


def compare(a: Mapping[int, PerUser], b: Mapping[int, PerUser]) -> Comparison:
    """Paired comparison of two methods by seed.

    Args:
        a, b: seed -> the users and their values; both methods must have ranked for the same users.

    Raises:
        RejectedError: the seeds or users differ, or there are none.
    """
    if not a or a.keys() != b.keys():
        raise RejectedError(
            f"seeds {sorted(a)} against {sorted(b)}",
            field="compare",
            remedy="run both methods on the same seeds",
        )
    differences, of_seed, base = [], [], []
    for seed in sorted(a):
        if not np.array_equal(a[seed][0], b[seed][0]):
            raise RejectedError(
                f"the methods ranked for different users in seed {seed}", field="compare"
            )
        difference = a[seed][1] - b[seed][1]
        differences.append(difference)
        of_seed.append(float(difference.mean()))
        base.append(float(b[seed][1].mean()))
    users, where = np.unique(np.concatenate([a[s][0] for s in sorted(a)]), return_inverse=True)
    by_user = np.bincount(where, np.concatenate(differences)) / np.bincount(where)
    reference = float(np.mean(base))
    return Comparison(
        difference=interval(of_seed),
        relative=float(np.mean(of_seed)) / reference if reference else math.nan,
        p_seeds=paired_t(np.asarray(of_seed)),
        p_users=paired_t(by_user),
        p_wilcoxon=signed_rank(by_user),
        wins=int((by_user > 0).sum()),
        losses=int((by_user < 0).sum()),
        users=len(users),
        seeds=len(of_seed),
    )


def paired_t(differences: NDArray[np.float64]) -> float:
    """Two-sided p of a paired t-test; NaN for fewer than two, 1 if all are 0, 0 if all alike."""
    if len(differences) < 2:
        return math.nan
    if np.ptp(differences) == 0:
        return 0.0 if differences[0] else 1.0
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def signed_rank(differences: NDArray[np.float64]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; users without a difference are left out."""
    found = differences[differences != 0]
    return float(stats.wilcoxon(found).pvalue) if len(found) else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for several comparisons (Holm 1979), in the order given; NaN stays."""
    array = np.asarray(p_values, dtype=np.float64)
    adjusted = array.copy()
    known = np.flatnonzero(~np.isnan(array))
    order = known[np.argsort(array[known], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(array[order] * factors), 1.0)
    return [float(p) for p in adjusted]
