"""What every protocol promises: nothing that is asked was shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.errors import RejectedError
from domain.items import Item
from domain.users import User
from evaluation.dataset import TEST, TRAIN, VALIDATION, Dataset, GivenSplit
from evaluation.splits import (
    PROTOCOLS,
    UNDRAWN,
    Split,
    default_protocol,
    given,
    item_cold_start,
    temporal,
    user_cold_start,
    warm_up,
)


def pairs(matrix: csr_matrix) -> set[tuple[int, int]]:
    coo = matrix.tocoo()
    return set(zip(coo.row.tolist(), coo.col.tolist(), strict=True))


def with_given(dataset: Dataset, cold: NDArray[np.bool_] | None = None) -> Dataset:
    if cold is not None:
        return replace(dataset, given=GivenSplit(cold, None, "cold_items.txt"))
    part = np.random.default_rng(5).choice(3, dataset.n_interactions, p=[0.8, 0.1, 0.1])
    part[dataset.item_index == 3] = TEST
    return replace(dataset, given=GivenSplit(None, part.astype(np.int8), "train.csv, test.csv"))


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_no_target_is_trained_on_masked_in_the_history_or_outside_the_candidates(
    protocol: str, small_dataset: Dataset
) -> None:
    dataset = with_given(small_dataset) if protocol == "given" else small_dataset
    everything = pairs(dataset.matrix())
    for split in PROTOCOLS[protocol](dataset, 3):
        assert pairs(split.train) <= everything
        assert not pairs(split.train) & pairs(split.test)
        assert not pairs(split.train) & pairs(split.validation)
        assert not pairs(split.validation) & pairs(split.test)
        assert {one.stage for one in split.evaluations} == {"validation", "test"}
        for one in split.evaluations:
            targets, masked = pairs(one.targets), pairs(one.masked)
            held_out = split.validation if one.stage == "validation" else split.test
            assert targets
            assert targets <= pairs(held_out)
            assert not targets & (pairs(split.train) | pairs(one.history) | masked)
            assert masked <= everything
            assert all(one.candidates[item] for _, item in targets | masked)
            assert one.users.tolist() == sorted({user for user, _ in targets})
            assert one.users.dtype == np.int32


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_a_seed_always_draws_the_same(protocol: str, small_dataset: Dataset) -> None:
    dataset = with_given(small_dataset) if protocol == "given" else small_dataset
    first, again = PROTOCOLS[protocol](dataset, 1), PROTOCOLS[protocol](dataset, 1)
    for a, b in zip(first, again, strict=True):
        assert pairs(a.train) == pairs(b.train)
        assert pairs(a.test) == pairs(b.test)
        assert a.facts == b.facts
    other = PROTOCOLS[protocol](dataset, 2)
    assert (pairs(first[0].test) == pairs(other[0].test)) == (protocol in UNDRAWN)


def test_item_cold_start_is_the_reference_protocol(small_dataset: Dataset) -> None:
    split = item_cold_start(small_dataset, 0)
    # 57 items have pairs: 11 cold, half and half; items without a pair are in no ranking
    assert (int(split.cold_validation.sum()), int(split.cold_test.sum())) == (5, 6)
    assert not (split.cold_validation & split.cold_test).any()
    assert split.train.getnnz(axis=0)[split.cold].sum() == 0
    cold = split.evaluation("cold")
    assert np.array_equal(cold.candidates, split.cold)
    assert all(split.cold_test[item] for _, item in pairs(cold.targets))
    everything = {p for p in pairs(small_dataset.matrix()) if split.cold[p[1]]}
    asked = set(cold.users.tolist())
    assert pairs(cold.masked) == {p for p in everything if p[0] in asked} - pairs(cold.targets)
    warm = split.evaluation("warm")
    assert np.array_equal(warm.candidates, split.warm)
    overall = split.evaluation("overall")
    assert np.array_equal(overall.candidates, split.warm | split.cold)
    assert not overall.candidates[57:].any()
    assert pairs(overall.targets) == pairs(cold.targets) | pairs(warm.targets) == pairs(split.test)
    n = split.facts
    warm_pairs = n["train_pairs"] + n["validation_warm_pairs"] + n["test_warm_pairs"]
    assert abs(n["test_warm_pairs"] / warm_pairs - 0.1) < 0.03
    assert (
        sum(n[f"{s}_{k}_pairs"] for s in ("validation", "test") for k in ("warm", "cold"))
        + n["train_pairs"]
        + n["cold_pairs_dropped"]
        == small_dataset.n_interactions
    )


def test_held_out_pairs_of_users_and_items_that_training_lacks_are_moved_to_it() -> None:
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(60), 2).astype(np.int64)
    items = rng.integers(0, 40, 120)
    keys = np.unique(users * 40 + items)
    base = _bare(keys // 40, keys % 40, 60, 40)
    split = item_cold_start(base, 0)
    assert split.facts["moved_to_train"]
    trained = split.train.getnnz(axis=1) > 0
    for one in split.evaluations:
        assert trained[one.users].all()
    assert split.facts["cold_pairs_dropped"]
    for item in {item for _, item in pairs(split.test)} - set(np.flatnonzero(split.cold)):
        assert split.train.getnnz(axis=0)[item]


def _bare(
    users: NDArray[np.int64], items: NDArray[np.int64], n_users: int, n_items: int
) -> Dataset:
    return Dataset(
        name="bare",
        items=tuple(Item(id=str(i), title="t") for i in range(n_items)),
        users=tuple(User(id=str(u)) for u in range(n_users)),
        user_index=users.astype(np.int32),
        item_index=items.astype(np.int32),
        weights=np.ones(len(users), dtype=np.float32),
    )


def test_named_cold_items_are_honoured(small_dataset: Dataset) -> None:
    cold = np.zeros(60, dtype=bool)
    cold[[1, 5, 9, 58]] = True  # 58 has no interaction
    split = item_cold_start(with_given(small_dataset, cold), 0)
    assert np.flatnonzero(split.cold).tolist() == [1, 5, 9]


def test_a_given_split_is_kept_as_it_is(small_dataset: Dataset) -> None:
    dataset = with_given(small_dataset)
    assert dataset.given is not None
    assert dataset.given.part is not None
    assert default_protocol(dataset) == "given"
    assert default_protocol(small_dataset) == "item-cold"
    split = given(dataset, 0)
    for code, matrix in ((TRAIN, split.train), (VALIDATION, split.validation), (TEST, split.test)):
        assert pairs(matrix) == pairs(dataset.matrix(dataset.given.part == code))
    assert np.flatnonzero(split.cold_test).tolist() == [3]
    assert pairs(split.evaluation("cold").targets) == {p for p in pairs(split.test) if p[1] == 3}
    with pytest.raises(RejectedError, match="no split came with the data"):
        given(small_dataset, 0)


def test_new_users_are_held_out_wholly_and_their_known_items_are_nested_and_earliest(
    small_dataset: Dataset,
) -> None:
    split = user_cold_start(small_dataset, 0)
    assert small_dataset.times is not None
    times = {
        (int(u), int(i)): t
        for u, i, t in zip(
            small_dataset.user_index, small_dataset.item_index, small_dataset.times, strict=True
        )
    }
    before: set[tuple[int, int]] = set()
    for k in (0, 1, 3, 5):
        one = split.evaluation(f"k={k}")
        assert np.array_equal(one.users, split.evaluation("k=0").users)
        assert split.train[one.users].nnz == 0
        known, wanted = pairs(one.history), pairs(one.targets)
        assert known == pairs(one.masked)
        assert before <= known
        before = known
        for user in one.users.tolist():
            shown = [times[p] for p in known if p[0] == user]
            assert len(shown) == k
            rest = [times[p] for p in wanted if p[0] == user]
            assert max(shown, default=0) <= min(rest)
            assert k + len(rest) == (small_dataset.user_index == user).sum()
        folded = split.folded(one)
        assert pairs(folded.train) == pairs(split.train) | known
        assert folded.evaluations == (one,)
    new = set(split.evaluation("k=0").users.tolist())
    assert not new & set(split.evaluation("k=0", "validation").users.tolist())


def test_without_profile_draws_the_same_users(small_dataset: Dataset) -> None:
    (with_profile,) = PROTOCOLS["user-cold"](small_dataset, 0)
    (without,) = PROTOCOLS["user-cold-without-profile"](small_dataset, 0)
    assert (with_profile.profiles, without.profiles) == (True, False)
    assert pairs(with_profile.test) == pairs(without.test)


def test_warm_up_reveals_n_more_of_every_cold_item_and_asks_the_same(
    small_dataset: Dataset,
) -> None:
    splits = warm_up(small_dataset, 0, revealed=(0, 1, 3))
    assert [split.facts["revealed"] for split in splits] == [0, 1, 3]
    first = splits[0]
    before: set[tuple[int, int]] = set()
    for split, n in zip(splits, (0, 1, 3), strict=True):
        counts = split.train.getnnz(axis=0)
        assert set(counts[split.cold].tolist()) == {n}
        assert before <= pairs(split.train)
        before = pairs(split.train)
        for a, b in zip(first.evaluations, split.evaluations, strict=True):
            assert pairs(a.targets) == pairs(b.targets)
            assert pairs(a.masked) == pairs(b.masked)
            assert np.array_equal(a.candidates, b.candidates)
            assert pairs(b.history) == pairs(split.train)
    with pytest.raises(RejectedError, match="no cold item has more than 1000"):
        warm_up(small_dataset, 0, revealed=(0, 1000))


def test_in_time_nothing_of_the_future_is_known(small_dataset: Dataset) -> None:
    split = temporal(small_dataset, 0)
    assert small_dataset.times is not None
    first, second = split.facts["train_until"], split.facts["validation_until"]
    for matrix, low, high in (
        (split.train, 0, first),
        (split.validation, first, second),
        (split.test, second, np.inf),
    ):
        when = [
            t
            for u, i, t in zip(
                small_dataset.user_index, small_dataset.item_index, small_dataset.times, strict=True
            )
            if matrix[u, i]
        ]
        assert low < min(when)
        assert max(when) <= high
    for one in split.of("validation"):
        assert not pairs(one.masked) & pairs(split.test)
        known = split.warm | split.cold_validation
        assert not (one.candidates & ~known & ~split.cold_test).any()


def test_pairs_without_a_time_are_left_out_of_a_temporal_split(small_dataset: Dataset) -> None:
    assert small_dataset.times is not None
    times = small_dataset.times.copy()
    times[::7] = np.nan
    split = temporal(replace(small_dataset, times=times), 0)
    assert split.facts["without_time"] == len(times[::7])
    used = split.train.nnz + split.validation.nnz + split.test.nnz
    assert used == len(times) - len(times[::7])
    with pytest.raises(RejectedError, match="no interaction has a time"):
        temporal(replace(small_dataset, times=None), 0)


def _timed(moments: list[float], counts: list[int]) -> Dataset:
    """As many pairs of each moment, spread over 20 users and 40 items."""
    n = sum(counts)
    keys = np.sort(np.random.default_rng(3).permutation(800)[:n])
    dataset = _bare(keys // 40, keys % 40, 20, 40)
    times = np.random.default_rng(4).permutation(np.repeat(moments, counts))
    return replace(dataset, times=times)


@pytest.mark.parametrize(
    ("moments", "counts", "parts"),
    [
        ([1, 2, 3, 4, 5], [80] * 5, (240, 80, 80)),  # five equal years
        ([1, 2], [340, 60], (340, 0, 60)),
        ([1, 2], [60, 340], (60, 0, 340)),
        ([1, 2, 3], [40, 40, 320], (80, 0, 320)),  # training keeps half, or nothing is validated
        ([1, 2, 3], [200, 150, 50], (200, 150, 50)),
        ([1, 2, 3, 4], [320, 20, 20, 40], (320, 40, 40)),  # as the quantiles say
    ],
)
def test_coarse_times_are_cut_between_moments(
    moments: list[float], counts: list[int], parts: tuple[int, int, int]
) -> None:
    split = temporal(_timed(moments, counts), 0)
    assert (split.train.nnz, split.validation.nnz, split.test.nnz) == parts


def test_times_that_are_all_equal_are_refused_with_what_to_do() -> None:
    with pytest.raises(RejectedError, match="all times are equal; choose another protocol"):
        temporal(_timed([7], [400]), 0)


def test_a_pair_without_a_time_is_no_target_and_not_masked(small_dataset: Dataset) -> None:
    assert small_dataset.times is not None
    times = small_dataset.times.copy()
    times[::7] = np.nan
    untimed = {
        (int(small_dataset.user_index[row]), int(small_dataset.item_index[row]))
        for row in range(0, len(times), 7)
    }
    for one in temporal(replace(small_dataset, times=times), 0).evaluations:
        assert not pairs(one.masked) & untimed
        assert not pairs(one.targets) & untimed


def test_too_little_data_is_refused_in_words() -> None:
    tiny = _bare(np.array([0, 0, 1]), np.array([0, 1, 0]), 2, 2)
    with pytest.raises(RejectedError, match="at least two items must be cold"):
        item_cold_start(tiny, 0)
    with pytest.raises(RejectedError, match="more than 5 items can be new") as raised:
        user_cold_start(tiny, 0)
    assert "choose another protocol" in str(raised.value)
    few = _timed([1, 2], [100, 100])
    with pytest.raises(RejectedError, match="no cold item has more than 10") as raised:
        warm_up(few, 0)
    assert "choose another protocol, such as item-cold" in str(raised.value)


def test_an_unknown_question_names_those_there_are(small_dataset: Dataset) -> None:
    split: Split = item_cold_start(small_dataset, 0)
    with pytest.raises(RejectedError, match="take one of: cold, warm, overall"):
        split.evaluation("lukewarm")
