"""Metrics against hand-worked lists and against trec_eval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pytrec_eval import RelevanceEvaluator
from scipy.sparse import csr_matrix

import evaluation.metrics as metrics
from domain.errors import RejectedError
from evaluation.dataset import Dataset
from evaluation.metrics import ABSENT, evaluate, evaluate_all, gini, intra_list_distance, rank_all
from evaluation.splits import Evaluation, item_cold_start


def question(
    targets: Sequence[Sequence[int]],
    *,
    masked: Sequence[Sequence[int]] = (),
    candidates: Sequence[int] | None = None,
    n_items: int = 6,
) -> Evaluation:
    """An evaluation of users 0, 1 ... by lists of item rows."""

    def sparse(lists: Sequence[Sequence[int]]) -> csr_matrix:
        matrix = np.zeros((len(targets), n_items), dtype=np.float32)
        for row, items in enumerate(lists):
            matrix[row, list(items)] = 1
        return csr_matrix(matrix)

    allowed = np.zeros(n_items, dtype=bool)
    allowed[list(range(n_items) if candidates is None else candidates)] = True
    wanted = sparse(targets)
    return Evaluation(
        name="test",
        stage="test",
        users=np.flatnonzero(np.diff(wanted.indptr)).astype(np.int32),
        candidates=allowed,
        masked=sparse(masked),
        history=csr_matrix(wanted.shape, dtype=np.float32),
        targets=wanted,
    )


def fixed(scores: Sequence[Sequence[float]]) -> metrics.Scores:
    table = np.array(scores, dtype=np.float32)
    return lambda users: table[users]


def test_a_list_worked_by_hand() -> None:
    # ranking of user 0: 5 4 3 2 1 0; targets 4 and 1, so hits at places 2 and 5
    asked = question([[4, 1]])
    found = evaluate(fixed([[0, 1, 2, 3, 4, 5]]), asked, ks=(1, 3, 5))
    assert found.top.tolist() == [[5, 4, 3, 2, 1]]
    assert found.mean("recall@1") == 0
    assert found.mean("recall@3") == 0.5
    assert found.mean("recall@5") == 1
    assert found.mean("precision@5") == pytest.approx(0.4)
    assert found.mean("mrr@5") == 0.5
    assert found.mean("mrr@1") == 0
    ideal = 1 / np.log2(2) + 1 / np.log2(3)
    assert found.mean("ndcg@3") == pytest.approx((1 / np.log2(3)) / ideal)
    assert found.mean("ndcg@5") == pytest.approx((1 / np.log2(3) + 1 / np.log2(6)) / ideal)


def test_ndcg_of_a_full_list_of_hits_is_one_although_more_targets_exist() -> None:
    found = evaluate(fixed([[6, 5, 4, 3, 2, 1]]), question([[0, 1, 2, 3]]), ks=(2,))
    assert found.mean("ndcg@2") == pytest.approx(1)
    assert found.mean("recall@2") == 0.5


def test_masked_items_and_items_that_are_no_candidates_are_never_ranked() -> None:
    asked = question([[1]], masked=[[5]], candidates=[0, 1, 2, 5])
    found = evaluate(fixed([[0, 1, 2, 3, 4, 5]]), asked, ks=(3,))
    assert found.top.tolist() == [[2, 1, 0]]


def test_a_list_ends_where_the_candidates_do() -> None:
    asked = question([[1]], masked=[[5]], candidates=[1, 2, 5])
    found = evaluate(fixed([[0, 1, 2, 3, 4, 5]]), asked, ks=(4,))
    assert found.top.tolist() == [[2, 1, ABSENT, ABSENT]]
    assert found.mean("precision@4") == 0.25
    assert found.mean("coverage@4") == pytest.approx(2 / 3)


def test_minus_infinity_ranks_last_but_above_nothing() -> None:
    asked = question([[0]], masked=[[5]])
    found = evaluate(fixed([[-np.inf, 1, 2, 3, 4, 5]]), asked, ks=(5,))
    assert found.top.tolist() == [[4, 3, 2, 1, 0]]


def test_negative_scores_zero_and_minus_zero_are_ordered_as_numbers() -> None:
    asked = question([[0]])
    top = rank_all(fixed([[-2.5, -1e-30, 0.0, 1e-30, -3e38, 3e38]]), [asked], k=6)[0]
    assert top.tolist() == [[5, 3, 2, 1, 0, 4]]
    ties = [
        rank_all(fixed([[-0.0, 0.0, -1, -1, -1, -1]]), [asked], k=1, seed=s)[0][0, 0]
        for s in range(20)
    ]
    assert set(ties) == {0, 1}


def test_scores_that_are_not_numbers_or_of_another_shape_are_refused() -> None:
    with pytest.raises(RejectedError, match="NaN"):
        evaluate(fixed([[np.nan, 0, 0, 0, 0, 0]]), question([[0]]))
    with pytest.raises(RejectedError, match=r"shape \(1, 5\), expected \(1, 6\)"):
        evaluate(fixed([[0, 0, 0, 0, 0]]), question([[0]]))
    with pytest.raises(RejectedError, match="no user has a target"):
        evaluate(fixed([[0, 0, 0, 0, 0, 0]]), question([[]]))


def test_equal_scores_favour_no_item_and_no_user() -> None:
    n_users, n_items = 4000, 10
    asked = question([[0]] * n_users, n_items=n_items)
    top = evaluate(lambda users: np.zeros((len(users), n_items), np.float32), asked, ks=(1,)).top
    counts = np.bincount(top[:, 0], minlength=n_items)
    assert counts.min() > 0.7 * n_users / n_items
    assert counts.max() < 1.3 * n_users / n_items


def test_the_order_of_equal_scores_depends_on_the_seed_and_not_on_the_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = question([[0]] * 50, n_items=8)

    def scores(users: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.zeros((len(users), 8), np.float32)

    whole = evaluate(scores, asked, ks=(3,), seed=1).top
    assert not np.array_equal(whole, evaluate(scores, asked, ks=(3,), seed=2).top)
    monkeypatch.setattr(metrics, "BLOCK_BYTES", 1)
    assert np.array_equal(whole, evaluate(scores, asked, ks=(3,), seed=1).top)


def test_every_question_gets_what_it_would_get_alone(small_dataset: Dataset) -> None:
    split = item_cold_start(small_dataset, 0)
    table = np.random.default_rng(0).random((80, 60)).astype(np.float32)
    together = evaluate_all(lambda users: table[users], split.of("test"), cold=split.cold)
    for asked, found in zip(split.of("test"), together, strict=True):
        alone = evaluate(lambda users: table[users], asked, cold=split.cold)
        assert np.array_equal(alone.top, found.top)
        assert alone.means() == found.means()


def test_values_agree_with_trec_eval() -> None:
    rng = np.random.default_rng(3)
    n_users, n_items = 60, 120
    wanted = [
        rng.choice(n_items, size=rng.integers(1, 40), replace=False).tolist()
        for _ in range(n_users)
    ]
    table = rng.random((n_users, n_items)).astype(np.float32)
    found = evaluate(lambda users: table[users], question(wanted, n_items=n_items), ks=(5, 20))
    relevant = {f"u{u}": {f"i{i}": 1 for i in items} for u, items in enumerate(wanted)}
    for k in (5, 20):
        judge = RelevanceEvaluator(
            relevant, {f"recall.{k}", f"P.{k}", f"ndcg_cut.{k}", "recip_rank"}
        )
        best = np.argsort(-table, axis=1)[:, :k]  # trec_eval's reciprocal rank knows no cut
        theirs = judge.evaluate(
            {f"u{u}": {f"i{i}": float(table[u, i]) for i in best[u]} for u in range(n_users)}
        )
        for ours, name in (
            ("recall", f"recall_{k}"),
            ("precision", f"P_{k}"),
            ("ndcg", f"ndcg_cut_{k}"),
            ("mrr", "recip_rank"),
        ):
            expected = [theirs[f"u{u}"][name] for u in range(n_users)]
            np.testing.assert_allclose(found.per_user[f"{ours}@{k}"], expected, atol=1e-9)


def test_gini_is_zero_when_all_are_shown_alike_and_near_one_when_one_is_shown() -> None:
    assert gini(np.array([3, 3, 3, 3])) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 8])) == pytest.approx(3 / 4)
    assert gini(np.array([1, 3])) == pytest.approx(0.25)  # mean difference 1 over twice the mean 4
    assert gini(np.array([0, 0])) == 0


def test_intra_list_distance_is_the_mean_over_pairs() -> None:
    vectors = np.array([[1, 0], [0, 2], [-3, 0], [0, 0]], dtype=np.float32)
    # distances: 0-1 1, 0-2 2, 1-2 1
    assert intra_list_distance(np.array([[0, 1, 2]], np.int32), vectors) == pytest.approx(4 / 3)
    assert intra_list_distance(np.array([[0, 0]], np.int32), vectors) == pytest.approx(0)
    # the zero vector and the empty place count for nothing; a list of one has no distance
    lists = np.array([[0, 2, 3, ABSENT], [1, 3, ABSENT, ABSENT]], np.int32)
    assert intra_list_distance(lists, vectors) == pytest.approx(2)


def test_shares_of_cold_items_and_of_the_catalogue() -> None:
    cold = np.array([True, True, False, False, False, False])
    asked = question([[0], [0]])
    found = evaluate(fixed([[6, 5, 4, 3, 2, 1], [6, 1, 5, 2, 3, 4]]), asked, ks=(2,), cold=cold)
    assert found.top.tolist() == [[0, 1], [0, 2]]
    assert found.mean("cold_share@2") == 0.75
    assert found.mean("coverage@2") == 0.5


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 8))
def test_a_ranking_is_the_sorted_list_of_what_is_allowed(seed: int, n_items: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.integers(-2, 3, (5, n_items)).astype(np.float32)
    masked = [np.flatnonzero(rng.random(n_items) < 0.3).tolist() for _ in range(5)]
    targets = [[int(rng.integers(n_items))] for _ in range(5)]
    asked = question(targets, masked=masked, n_items=n_items)
    top = rank_all(lambda users: table[users], [asked], k=k, seed=seed)[0]
    for user in range(5):
        shown = [int(item) for item in top[user] if item != ABSENT]
        allowed = [item for item in range(n_items) if item not in masked[user]]
        assert len(shown) == len(set(shown)) == min(k, len(allowed))
        assert set(shown) <= set(allowed)
        best = sorted((float(table[user, item]) for item in allowed), reverse=True)
        assert [float(table[user, item]) for item in shown] == best[: len(shown)]
