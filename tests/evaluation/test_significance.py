"""Intervals and paired tests against hand-worked numbers and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from domain.errors import RejectedError
from evaluation.significance import PerUser, compare, holm, interval, paired_t, signed_rank


def users(*rows: int) -> np.ndarray:
    return np.array(rows, dtype=np.int32)


def test_an_interval_of_five_seeds_worked_by_hand() -> None:
    # mean .3, deviation sqrt(.025 / 4 * ...) = .0790569; t(4, .975) = 2.776445
    found = interval([0.2, 0.25, 0.3, 0.35, 0.4])
    assert found.mean == pytest.approx(0.3)
    assert found.deviation == pytest.approx(0.0790569, abs=1e-7)
    assert found.high - found.mean == pytest.approx(2.776445 * 0.0790569 / math.sqrt(5), abs=1e-6)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)
    assert str(found) == "0.3000 ± 0.0982"


def test_one_seed_has_a_mean_and_no_interval() -> None:
    found = interval([0.5])
    assert found.mean == 0.5
    assert math.isnan(found.low)
    assert math.isnan(found.deviation)
    assert str(found) == "0.5000"


@pytest.mark.parametrize("values", [[], [0.1, math.nan], [math.inf]])
def test_an_interval_of_nothing_or_of_no_number_is_refused(values: list[float]) -> None:
    with pytest.raises(RejectedError):
        interval(values)


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        found = interval(rng.normal(1.0, 0.3, 5))
        covered += found.low <= 1.0 <= found.high
    assert 0.93 < covered / 2000 < 0.97


def drawn(gain: float) -> tuple[dict[int, PerUser], dict[int, PerUser]]:
    rng = np.random.default_rng(1)
    a, b = {}, {}
    for seed in range(5):
        rows = np.sort(rng.choice(300, 200, replace=False)).astype(np.int32)
        base = rng.random(200)
        b[seed] = (rows, base)
        a[seed] = (rows, base + gain + rng.normal(0, 0.2, 200))
    return a, b


def test_a_gain_is_seen_and_no_gain_is_not() -> None:
    found = compare(*drawn(0.05))
    assert found.difference.low > 0
    assert found.p_users < 0.001
    assert found.p_wilcoxon < 0.001
    assert found.p_seeds < 0.05
    assert found.wins > found.losses
    assert found.seeds == 5
    nothing = compare(*drawn(0.0))
    assert nothing.p_users > 0.05
    assert nothing.difference.low < 0 < nothing.difference.high


def test_a_user_counts_once_however_many_seeds_they_occur_in() -> None:
    a: dict[int, PerUser] = {
        0: (users(0, 1), np.array([0.4, 0.9])),
        1: (users(0, 2), np.array([0.6, 0.1])),
    }
    b: dict[int, PerUser] = {
        0: (users(0, 1), np.array([0.2, 0.8])),
        1: (users(0, 2), np.array([0.2, 0.3])),
    }
    found = compare(a, b)
    by_user = np.array([0.3, 0.1, -0.2])
    assert found.users == 3
    assert (found.wins, found.losses) == (2, 1)
    assert found.p_users == pytest.approx(stats.ttest_1samp(by_user, 0).pvalue)
    assert found.p_wilcoxon == pytest.approx(stats.wilcoxon(by_user).pvalue)
    assert found.difference.mean == pytest.approx((0.15 + 0.1) / 2)
    assert found.relative == pytest.approx(0.125 / ((0.5 + 0.25) / 2))


def test_methods_that_ranked_for_other_users_or_seeds_are_not_compared() -> None:
    one: dict[int, PerUser] = {0: (users(0, 1), np.array([0.1, 0.2]))}
    other: dict[int, PerUser] = {0: (users(0, 2), np.array([0.1, 0.2]))}
    with pytest.raises(RejectedError, match="different users in seed 0"):
        compare(one, other)
    with pytest.raises(RejectedError, match=r"seeds \[0\] against \[1\]"):
        compare(one, {1: one[0]})
    with pytest.raises(RejectedError):
        compare({}, {})


def test_tests_of_differences_that_are_all_alike_need_no_formula() -> None:
    assert paired_t(np.zeros(5)) == 1
    assert paired_t(np.full(5, 0.1)) == 0
    assert math.isnan(paired_t(np.array([0.1])))
    assert signed_rank(np.zeros(5)) == 1


def test_holm_multiplies_the_smallest_most_and_keeps_the_order() -> None:
    # sorted .01 .02 .04: times 3, 2, 1 -> .03 .04 .04
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    known = holm([0.01, math.nan, 0.02])
    assert known[0] == pytest.approx(0.02)
    assert math.isnan(known[1])
