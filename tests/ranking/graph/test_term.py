"""The graph term serves when it beats its control, and never otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from domain.errors import RejectedError
from ranking.graph import (
    GraphTerm,
    Question,
    fit_graph_term,
    no_term,
    permuted,
    shared_degrees,
    spectral,
    user_graph_vectors,
)
from ranking.graph.term import ndcg, standardised

COLD = np.arange(90, 120)


@pytest.fixture(scope="module")
def setting(planted):
    """Training on the first 90 items, the rest cold, a base that knows nothing."""
    train = planted.interactions.tolil()
    train[:, COLD] = 0
    train = csr_matrix(train)
    train.eliminate_zeros()
    fitted = spectral(planted.graph, planted.nodes[:90], 16)
    pi = fitted.embed(planted.graph, planted.nodes)
    relevant = planted.interactions[:, COLD].toarray() > 0
    random = np.random.default_rng(0)
    base = random.normal(size=relevant.shape).astype(np.float32)
    asked = relevant.any(axis=1)
    question = Question(train[asked], COLD, base[asked], relevant[asked])
    return train, pi, shared_degrees(planted.graph, planted.nodes), question


def test_a_graph_that_knows_more_is_kept_and_told_beside_its_control(setting):
    train, pi, degrees, question = setting
    term, report = fit_graph_term(train, pi, degrees, [question], permutations=3)
    assert report.kept
    assert term.beta > 0
    assert len(report.control) == len(report.shuffled) == 3
    assert report.gain > 2 * max(*report.control, *report.shuffled) > 0
    assert report.linked == report.linked_candidates == 1.0
    assert "permuted" in str(report)
    assert f"{report.base:.4f} without, {report.base + report.gain:.4f} with it" in str(report)
    for mean, deviation in report.controls.values():
        assert report.base < mean < report.base + report.gain
        assert f"{mean:.4f} (deviation {deviation:.4f})" in str(report)


def test_a_graph_of_chance_gets_no_weight(setting):
    train, pi, degrees, question = setting
    chance = permuted(pi, [np.arange(len(pi))], np.random.default_rng(11))
    term, report = fit_graph_term(train, chance, degrees, [question], permutations=4)
    assert not report.kept
    assert term.beta == 0.0
    assert not term.query(pi[0]).any()
    assert "beta = 0" in str(report)


def test_a_graph_without_items_says_what_to_do(setting):
    train, pi, degrees, question = setting
    term, report = fit_graph_term(train, np.zeros_like(pi), degrees, [question])
    assert term.beta == 0.0
    assert str(report).startswith("0% of items have a place in it: beta = 0")
    assert "`firstlight graph link`" in str(report)


def test_the_query_part_gives_the_formula(setting):
    train, pi, degrees, question = setting
    term, _ = fit_graph_term(train, pi, degrees, [question], permutations=1)
    history = train[:5]
    pi_u = user_graph_vectors(history, pi)
    for user in range(5):
        scores = pi_u[user] @ term.matrix @ pi.T
        spread = np.sqrt(pi_u[user] @ term.matrix @ term.covariance @ term.matrix.T @ pi_u[user])
        wanted = term.beta * (scores / spread + pi @ term.bias)
        assert pi @ term.query(pi_u[user]) == pytest.approx(wanted, abs=1e-4)


def test_an_item_without_a_link_gets_nothing_from_the_graph(setting):
    train, pi, degrees, question = setting
    term, _ = fit_graph_term(train, pi, degrees, [question], permutations=1)
    assert np.zeros(16) @ term.query(pi[3]) == 0.0


def test_a_user_without_history_gets_what_the_graph_says_of_popularity(setting):
    term = GraphTerm(
        0.5, np.eye(2, dtype=np.float32), np.array([1, -1], np.float32), np.eye(2, dtype=np.float32)
    )
    assert term.query(None).tolist() == [0.5, -0.5]
    assert term.query(np.zeros(2, np.float32)).tolist() == [0.5, -0.5]


def test_without_links_or_questions_there_is_no_term(setting):
    train, pi, degrees, question = setting
    for embedded, questions in ((np.zeros_like(pi), [question]), (pi, [])):
        term, report = fit_graph_term(train, embedded, degrees, questions)
        assert term.beta == 0.0
        assert not report.kept


def test_a_permutation_moves_embeddings_within_their_group_only(setting):
    pi = setting[1]
    groups = [np.arange(0, 40), np.arange(40, 100)]
    moved = permuted(pi, groups, np.random.default_rng(1))
    for group in groups:
        assert sorted(map(tuple, moved[group])) == sorted(map(tuple, pi[group]))
    assert np.array_equal(moved[100:], pi[100:])
    assert not np.array_equal(moved[:40], pi[:40])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("matrix", np.eye(3, dtype=np.float32)),
        ("bias", np.full(2, np.nan, dtype=np.float32)),
        ("covariance", np.full((2, 2), np.inf, dtype=np.float32)),
        ("beta", float("nan")),
        ("beta", -1.0),
    ],
)
def test_a_term_of_the_wrong_shape_or_with_nan_is_refused(field, value):
    good = no_term(2)
    good.check(2)
    with pytest.raises(RejectedError, match=f"graph.{field}"):
        replace(good, **{field: value}).check(2)


def test_standardised_queries_score_with_deviation_one():
    random = np.random.default_rng(2)
    pi = random.normal(size=(500, 6)) @ random.normal(size=(6, 6))
    covariance = np.cov(pi.T, ddof=0).astype(np.float32)
    queries = np.vstack([random.normal(size=(3, 6)), np.zeros((1, 6))]).astype(np.float32)
    scores = standardised(queries, covariance) @ pi.T
    assert scores[:3].std(axis=1) == pytest.approx(np.ones(3), abs=1e-3)
    assert not scores[3].any()


def test_ndcg_agrees_with_a_case_by_hand():
    scores = np.array([[0.9, 0.1, 0.8, 0.2]], dtype=np.float32)
    relevant = np.array([[True, False, False, True]])
    wanted = (1 + 1 / np.log2(4)) / (1 + 1 / np.log2(3))
    assert ndcg(scores, relevant, 3) == pytest.approx(wanted)
