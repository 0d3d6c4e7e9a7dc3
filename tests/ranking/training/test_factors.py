"""EASE in factors, held against the closed form written out; items folded into it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from ranking.collaborative import FEW, FOLD_USERS
from ranking.training.factors import HELD_OUT, FactorRecipe, fit_factors
from ranking.training.pairs import hold_out, only

USERS, ITEMS = 400, 40


@pytest.fixture(scope="module")
def taken() -> csr_matrix:
    """Two tastes: users take mostly items of their own half; the last item is young."""
    random = np.random.default_rng(0)
    likes = np.where((np.arange(USERS)[:, None] % 2) == (np.arange(ITEMS)[None, :] % 2), 0.45, 0.08)
    dense = random.random((USERS, ITEMS)) < likes
    dense[:, -1] = False
    dense[np.arange(1, 2 * (FEW - 5), 2), -1] = True
    return csr_matrix(dense.astype(np.float32))


def ease(taken: csr_matrix, strength: float) -> np.ndarray:
    x = taken.toarray().astype(np.float64)
    inverse = np.linalg.inv(x.T @ x + strength * np.eye(x.shape[1]))
    model = -inverse / np.diag(inverse)[None, :]
    np.fill_diagonal(model, 0.0)
    return x @ model


def test_with_all_its_factors_ease_predicts_what_the_closed_form_does(taken: csr_matrix) -> None:
    known = csr_matrix(taken[:, :-1])
    found = fit_factors(known, ITEMS - 2, recipes=[FactorRecipe("ease", 30.0)])
    assert found is not None
    wanted = ease(known, 30.0)
    scores = found.people(known) @ found.items.T
    # one of the 39 axes is left out: the one that the predictions need least
    assert np.linalg.norm(scores - wanted) < 0.05 * np.linalg.norm(wanted)


def test_fewer_factors_are_the_nearest_to_the_predictions(taken: csr_matrix) -> None:
    known = csr_matrix(taken[:, :-1])
    found = fit_factors(known, 4, recipes=[FactorRecipe("ease", 30.0)])
    assert found is not None
    wanted = ease(known, 30.0)
    error = np.linalg.norm(found.people(known) @ found.items.T - wanted)
    _, values, _ = np.linalg.svd(wanted)
    assert error == pytest.approx(np.sqrt((values[4:] ** 2).sum()), rel=1e-3)


def test_where_no_item_is_well_known_the_better_known_say_how_long_factors_are(
    taken: csr_matrix,
) -> None:
    some = csr_matrix(taken[:100])
    assert np.diff(some.tocsc().indptr).max() < FOLD_USERS
    found = fit_factors(some, 8, recipes=[FactorRecipe("ease", 30.0)])
    assert found is not None
    own = (found.people(some) @ found.items[-1])[some[:, -1].toarray().ravel() > 0].mean()
    assert own == pytest.approx(found.side.level * np.sqrt(some[:, -1].nnz / FOLD_USERS), rel=1e-3)
    assert own > 0


def test_an_item_with_few_users_is_liked_by_those_like_them(taken: csr_matrix) -> None:
    found = fit_factors(taken, 8, recipes=[FactorRecipe("ease", 30.0)])
    assert found is not None
    scores = found.people(taken) @ found.items[-1]
    assert scores[1::2].mean() > 2 * scores[0::2].mean()
    own = scores[taken[:, -1].toarray().ravel() > 0].mean()
    count = taken[:, -1].nnz
    assert own == pytest.approx(found.side.level * np.sqrt(count / FOLD_USERS), rel=1e-3)
    folded = found.side.fold_in_item(
        found.people(taken)[taken[:, -1].toarray().ravel() > 0], np.ones(count)
    )
    np.testing.assert_allclose(folded, found.items[-1], rtol=1e-3, atol=1e-5)


def test_the_recipe_that_finds_hidden_pairs_best_is_taken(taken: csr_matrix) -> None:
    found = fit_factors(taken, 8)
    assert found is not None
    best = max(found.scores, key=found.scores.__getitem__)
    assert best == f"ease strength={found.recipe.strength:g}"
    assert len(found.scores) > 1


def test_turned_factors_say_the_same_of_everybody(taken: csr_matrix) -> None:
    found = fit_factors(taken, 8, recipes=[FactorRecipe("ease", 30.0)])
    assert found is not None
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))
    other = found.turned(turn.astype(np.float32))
    for made in (found, other):
        made.side.check(8)
    np.testing.assert_allclose(
        found.people(taken) @ found.items.T, other.people(taken) @ other.items.T, atol=1e-4
    )
    query = found.people(taken)[0]
    np.testing.assert_allclose(
        found.side.moments.of_scores(query),
        other.side.moments.of_scores(other.people(taken)[0]),
        rtol=1e-3,
    )


def test_als_takes_over_where_it_is_asked_for(taken: csr_matrix) -> None:
    found = fit_factors(taken, 8, recipes=[FactorRecipe("als", 1.0, 5.0)])
    assert found is not None
    assert found.sources is None
    scores = found.people(taken) @ found.items.T
    assert scores[1::2, 1::2].mean() > 2 * scores[1::2, 0::2].mean()


def test_too_little_makes_no_factors() -> None:
    assert fit_factors(csr_matrix(np.eye(5, dtype=np.float32)), 8) is None


def test_where_nobody_took_two_items_there_are_no_factors() -> None:
    ones = csr_matrix(np.eye(60, dtype=np.float32)[np.arange(70) % 60])
    assert fit_factors(ones, 8) is None
    assert fit_factors(ones, 8, recipes=[FactorRecipe("ease", 30.0)]) is None


def test_one_pair_taken_together_is_enough_also_where_it_is_hidden_from_the_choice() -> None:
    taken = np.eye(60, dtype=np.float32)[np.arange(70) % 60]
    taken[0, 1] = 1.0
    some = csr_matrix(taken)
    rest, hidden = hold_out(some, HELD_OUT, np.random.default_rng(1))
    assert hidden.nnz == 1
    assert fit_factors(rest, 8, recipes=[FactorRecipe("ease", 30.0)]) is None
    found = fit_factors(some, 8, seed=1)
    assert found is not None
    assert set(found.scores.values()) == {0.0}
    found.side.check(8)


def test_hidden_pairs_and_the_rest_are_all_there_was_and_nobody_is_left_with_none(
    taken: csr_matrix,
) -> None:
    rest, hidden = hold_out(taken, 0.5, np.random.default_rng(3))
    assert (rest + hidden - taken).nnz == 0
    assert rest.multiply(hidden).nnz == 0
    assert 0.3 < hidden.nnz / taken.nnz < 0.6
    assert (np.diff(rest.indptr) > 0).sum() == (np.diff(taken.indptr) > 0).sum()
    assert only(taken, np.zeros(taken.nnz, dtype=bool)).nnz == 0
