"""Factors for people who took nothing yet, and the gate between content and factors."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from domain.errors import RejectedError
from domain.vectors import BlockMap
from ranking import Gate
from ranking.quality import recall
from ranking.space import rank_space
from ranking.training import TrainingData, fit_collaborative, fit_projection
from ranking.training.factors import FactorRecipe, Factors, fit_factors
from ranking.training.gate import trusted_at, tune_gate
from ranking.training.newcomers import (
    NewcomerRecipe,
    choose_newcomers,
    people_of,
    with_newcomers,
)
from ranking.training.pairs import only, shown, turns
from ranking.training.trial import _made_young, run_trial
from ranking.user import UserVector

USERS, ITEMS, DIM, F = 400, 240, 6, 12


@pytest.fixture(scope="module")
def data() -> TrainingData:
    """Two kinds of people, told by their demographics, who take items of their kind; content
    tells an item's kind, and factors tell a group within it that content knows nothing of."""
    random = np.random.default_rng(0)
    kind, group = np.arange(ITEMS) % 2, np.arange(ITEMS) // 2 % 4
    mine, circle = np.arange(USERS) % 2, random.integers(4, size=USERS)
    same = mine[:, None] == kind[None, :]
    liked = np.where(same, 0.1, 0.02) + np.where(
        same & (circle[:, None] == group[None, :]), 0.35, 0.0
    )
    taken = random.random((USERS, ITEMS)) < liked
    content = random.standard_normal((ITEMS, DIM)) * 0.7
    content[:, 0] += np.where(kind == 0, 1.5, -1.5)
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    said = np.zeros((USERS, 64), dtype=np.float32)
    said[np.arange(USERS), mine] = 1.0
    projection = np.eye(DIM, dtype=np.float32)
    block = BlockMap("text", np.zeros(DIM, dtype=np.float32), projection, 1.0, 0, DIM)
    return TrainingData(
        [block],
        content.astype(np.float32),
        csr_matrix(taken.astype(np.float32)),
        {"demographics": said},
    )


@pytest.fixture(scope="module", params=["ease", "als"])
def factors(data: TrainingData, request: pytest.FixtureRequest) -> Factors:
    recipe = {"ease": FactorRecipe("ease", 30.0), "als": FactorRecipe("als", 1.0, 5.0)}
    found = fit_factors(data.interactions, F, recipes=[recipe[request.param]])
    assert found is not None
    return found


def test_somebody_who_took_nothing_is_given_what_people_like_them_take(
    data: TrainingData, factors: Factors
) -> None:
    made = with_newcomers(factors, data, NewcomerRecipe(1.0, 0.8))
    side = made.side
    for mine in (0, 1):
        user = UserVector(
            {
                "demographics": np.eye(64, dtype=np.float32)[mine],
                "one": np.ones(1, dtype=np.float32),
            }
        )
        expected = side.person(user, None)
        assert expected is not None
        best = np.argsort(-(made.items @ expected))[:20]
        assert (best % 2 == mine).mean() >= 0.9
        rows = people_of(made, data, np.array([mine]), csr_matrix((1, ITEMS), dtype=np.float32))
        np.testing.assert_allclose(rows[0], expected, rtol=1e-4, atol=1e-6)
    assert factors.side.person(user, None) is None
    with pytest.raises(RejectedError, match="demographics"):
        side.person(UserVector({"demographics": np.ones(5, dtype=np.float32)}), None)


def test_of_somebody_whose_words_are_known_a_few_items_tell_more(
    data: TrainingData, factors: Factors
) -> None:
    """Words tell the kind, items the group within it. The users are not trained on."""
    new = np.arange(300, USERS)
    rest = data.of_users(np.arange(300))
    fitted = fit_factors(rest.interactions, F, recipes=[factors.recipe])
    assert fitted is not None
    made = with_newcomers(fitted, rest, NewcomerRecipe(1.0, 0.8))
    history, hidden = shown(csr_matrix(data.interactions[new]), 3, np.random.default_rng(0))
    nothing = csr_matrix(history.shape, dtype=np.float32)
    relevant = hidden.toarray() > 0
    by_words = recall(people_of(made, data, new, nothing) @ made.items.T, relevant)
    by_both = recall(people_of(made, data, new, history) @ made.items.T, relevant)
    assert by_both > by_words + 0.05


def test_what_newcomers_get_is_chosen_on_users_left_out(
    data: TrainingData, factors: Factors
) -> None:
    recipe, tried = choose_newcomers(data, factors)
    assert recipe is not None
    best = max(tried, key=tried.__getitem__)
    assert best == f"l={recipe.ridge:g} damping={recipe.damping:g}"
    assert len(set(tried.values())) > 1
    few = data.of_users(np.arange(30))
    assert choose_newcomers(few, factors) == (None, {})


def test_newcomers_turn_with_the_factors(data: TrainingData, factors: Factors) -> None:
    made = with_newcomers(factors, data, NewcomerRecipe())
    random = np.random.default_rng(1)
    turn = np.linalg.qr(random.standard_normal((F, F)))[0].astype(np.float32)
    users = np.arange(20)
    history, _ = shown(csr_matrix(data.interactions[users]), 3, random)
    before = people_of(made, data, users, history) @ made.items.T
    turned = made.turned(turn)
    after = people_of(turned, data, users, history) @ turned.items.T
    np.testing.assert_allclose(after, before, atol=2e-3)


def test_the_gate_beats_both_parents_in_one_ranking_and_new_items_keep_their_content(
    data: TrainingData,
) -> None:
    setting = fit_projection(data, {}).setting
    recipe = FactorRecipe("ease", 30.0)
    tried = [run_trial(data, {}, setting, recipe, NewcomerRecipe(), F, seed=n) for n in range(16)]
    trials = [one for one in tried if one is not None]
    assert len(trials) == 16
    tuned = tune_gate(trials, trusted_at(data.popularity()))
    assert tuned.gate != Gate()
    assert tuned.overall["hybrid"] >= max(tuned.overall["content"], tuned.overall["cf"])
    assert tuned.young[0]["hybrid"] == tuned.young[0]["content"]
    # a handful of items has each N: the mean over N and trials says more than any one; factors of
    # one user can tell more here than content, and with k = 4 one user counts for a fifth
    warmed = [found for number, found in tuned.young.items() if number]
    mean = {name: np.mean([one[name] for one in warmed]) for name in ("content", "cf", "hybrid")}
    assert mean["hybrid"] >= mean["content"]
    assert mean["hybrid"] >= mean["cf"] - 0.03
    # of users who were left out, the groups come to light with what they take
    assert list(tuned.newcomers) == [0, 1, 3, 5]
    assert tuned.newcomers[5]["cf"] > tuned.newcomers[5]["content"]
    assert tuned.newcomers[5]["hybrid"] > tuned.newcomers[5]["content"]
    assert json.loads(json.dumps(tuned.report()))["k"] == tuned.gate.k


def test_a_gate_is_chosen_by_the_mean_over_trials_that_draw_other_items(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting, recipe = fit_projection(data, {}).setting, FactorRecipe("ease", 30.0)
    trials = [run_trial(data, {}, setting, recipe, NewcomerRecipe(), F, seed=n) for n in (0, 1)]
    first, second = (one for one in trials if one is not None)
    assert not np.array_equal(first.scores.counts, second.scores.counts)
    both = tune_gate([first, second], 3.0)
    assert both.gate.k == 3.0
    found = [one.overall.ndcg(one.scores.hybrid(both.gate)) for one in (first, second)]
    assert both.overall["hybrid"] == pytest.approx(np.mean(found))
    seeds: list[int] = []

    def tried(*_: object, seed: int) -> None:
        seeds.append(seed)

    monkeypatch.setattr("ranking.training.collaborate.run_trial", tried)
    ids = [f"i{number}" for number in range(ITEMS)]
    learned = fit_collaborative(ids, data, {}, setting, rank_space(data.blocks, F, 0), seed=7)
    assert seeds == [7, 8, 9]
    assert learned.gate == Gate()


def test_interactions_count_for_half_at_a_tenth_of_what_is_usual_and_within_bounds() -> None:
    assert trusted_at(np.array([0, 40, 60, 0])) == 5.0  # whatever nobody took says nothing
    assert trusted_at(np.array([1, 2])) == 1.0
    assert trusted_at(np.array([10_000, 5])) == 20.0
    assert trusted_at(np.zeros(3, dtype=np.int64)) == 20.0


def test_a_trial_makes_new_what_few_wanted_as_well(data: TrainingData) -> None:
    kept = np.ones(data.interactions.nnz, dtype=bool)
    place = turns(data.interactions.indices, np.random.default_rng(1).random(kept.size), ITEMS)
    kept[(data.interactions.indices < ITEMS // 2) & (place >= 2)] = False
    seldom = replace(data, interactions=only(data.interactions, kept))
    revealed = _made_young(seldom, np.random.default_rng(0))
    new, warmed = np.flatnonzero(revealed == 0), revealed > 0
    assert 0.2 < (new < ITEMS // 2).mean() < 0.8
    assert (seldom.popularity()[warmed] > 10).all()
    assert set(revealed[warmed]) == {1, 2, 3, 5, 10}


def test_what_is_made_new_has_its_share_of_the_interactions_in_every_trial(
    data: TrainingData,
) -> None:
    kept = np.ones(data.interactions.nnz, dtype=bool)
    place = turns(data.interactions.indices, np.random.default_rng(1).random(kept.size), ITEMS)
    kept[(data.interactions.indices >= 20) & (place >= 2)] = False  # 20 items have nearly all
    skewed = replace(data, interactions=only(data.interactions, kept))
    counts = skewed.popularity()
    shares = []
    for seed in range(20):
        revealed = _made_young(skewed, np.random.default_rng(seed))
        shares.append(counts[revealed == 0].sum() / counts.sum())
    assert np.mean(shares) == pytest.approx(0.1, abs=0.02)
    assert max(shares) - min(shares) < 0.05


def test_new_items_are_hidden_only_where_that_is_worth_it(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = fit_projection(data, {}).setting
    trial = run_trial(data, {}, setting, FactorRecipe("ease", 30.0), NewcomerRecipe(), F)
    assert trial is not None
    free = tune_gate([trial], 4.0).gate
    monkeypatch.setattr("ranking.training.gate.SHOWN", 0.9 * free.kappa)
    monkeypatch.setattr("ranking.training.gate.WORTH", -1.0)
    assert tune_gate([trial], 4.0).gate == free
    monkeypatch.setattr("ranking.training.gate.WORTH", 10.0)
    bound = tune_gate([trial], 4.0).gate
    assert bound.kappa <= 0.9 * free.kappa
    assert bound.k == free.k


def test_with_too_little_to_try_on_the_gate_stays_as_it_is(data: TrainingData) -> None:
    few = data.without_items(np.arange(ITEMS) >= 6)
    setting = fit_projection(data, {}).setting
    assert run_trial(few, {}, setting, FactorRecipe(), None, F) is None
    tuned = tune_gate([], 3.0)
    assert tuned.gate == Gate()
    assert not tuned.overall


def test_what_was_learned_has_rows_of_what_was_taken_and_a_report(data: TrainingData) -> None:
    setting = fit_projection(data, {}).setting
    ids = [f"i{number}" for number in range(ITEMS)]
    space = rank_space(data.blocks, F, 0)
    learned = fit_collaborative(ids, data, {}, setting, space)
    assert learned.collaborative is not None
    assert learned.items is not None
    learned.collaborative.check(F)
    taken = np.bincount(data.interactions.indices, minlength=ITEMS)
    places = learned.items.find(ids)
    np.testing.assert_array_equal(learned.items.take("counts", places), taken)
    assert learned.report["gate"]["kappa"] == learned.gate.kappa
    json.dumps(learned.report)
    nothing = fit_collaborative(ids, data.without_items(np.arange(ITEMS) >= 5), {}, setting, space)
    assert nothing.collaborative is None
    assert nothing.items is None
