"""Learned options: what each computes, and when one takes the ridge's place."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from domain.vectors import BlockMap
from ranking.training import Recipe, Ridge, Setting, Statistics, TrainingData, fit_projection
from ranking.training.choosing import FOLDS
from ranking.training.cold import ColdSplit, cold_splits
from ranking.training.contest import LOST, SEEDS, Attempt, Contest, compete
from ranking.training.distillation import Distillation, taught
from ranking.training.factors import item_item
from ranking.training.infonce import Batch, InfoNce, contrast, fit_infonce
from ranking.training.options import (
    DISTILLATION,
    INFONCE,
    RECIPES,
    Made,
    fit_options,
    impossible,
    name_of,
    sums_of,
)
from ranking.training.solve import metric_of

DIM = 8
PRIOR = {"history": np.eye(DIM, dtype=np.float32)}
BOTH = (INFONCE, DISTILLATION)


def made(taken: np.ndarray, content: np.ndarray) -> TrainingData:
    dim = content.shape[1]
    block = BlockMap("text", np.zeros(dim, np.float32), np.eye(dim, dtype=np.float32), 1.0, 0, dim)
    unit = content / np.linalg.norm(content, axis=1, keepdims=True)
    return TrainingData([block], unit.astype(np.float32), csr_matrix(taken.astype(np.float32)))


def crowd(users: int, items: int, each: int, noise: int = 0, seed: int = 0) -> TrainingData:
    """Users who take so many of the items near to their taste, by lot; content says what they go
    by in DIM coordinates, and nothing in the others."""
    rng = np.random.default_rng(seed)
    content = rng.standard_normal((items, DIM))
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    tastes = rng.standard_normal((users, DIM))
    tastes /= np.linalg.norm(tastes, axis=1, keepdims=True)
    lots = 8.0 * tastes @ content.T - np.log(-np.log(rng.random((users, items))))
    taken = np.zeros((users, items))
    np.put_along_axis(taken, np.argsort(-lots, axis=1)[:, :each], 1.0, axis=1)
    beside = rng.standard_normal((items, noise))
    return made(taken, np.column_stack([content, beside]))


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return crowd(300, 220, 20)


# -- what each computes -------------------------------------------------------------------------


def test_the_gradient_is_what_automatic_differentiation_finds() -> None:
    rng = np.random.default_rng(0)
    shapes = ((7, 6), (7, 4), (5, 4))
    rows, wanted, others = (rng.standard_normal(one).astype(np.float32) for one in shapes)
    own = rng.random((7, 5)) < 0.3
    a = rng.standard_normal((6, 4)).astype(np.float32)
    by_a, by_scale = contrast(Batch(rows, wanted, others, own), a, 0.7)
    weights = torch.tensor(a, requires_grad=True)
    log_scale = torch.tensor(0.7, requires_grad=True)
    mapped = torch.tensor(rows) @ weights
    found = (mapped * torch.tensor(wanted)).sum(dim=1, keepdim=True)
    scores = torch.hstack([found, mapped @ torch.tensor(others).T]) * log_scale.exp()
    scores[:, 1:] = scores[:, 1:].masked_fill(torch.tensor(own), -torch.inf)
    loss = torch.nn.functional.cross_entropy(scores, torch.zeros(7, dtype=torch.long))
    loss.backward()
    np.testing.assert_allclose(by_a, weights.grad.numpy(), atol=1e-5)
    assert by_scale == pytest.approx(log_scale.grad.item(), rel=1e-4)


def test_infonce_starts_at_the_prior_learns_and_is_the_same_for_the_same_seed(
    data: TrainingData,
) -> None:
    split = next(cold_splits(data, first=0, count=1))
    sums = sums_of(split.rest, Recipe(), PRIOR)
    still = fit_infonce(split.rest, sums.prior, InfoNce(epochs=0))
    np.testing.assert_array_equal(still, sums.prior)
    recipe = InfoNce(decay=1e-4, learning_rate=0.01)
    learned = fit_infonce(split.rest, sums.prior, recipe, seed=1)
    assert split.judge(learned) > split.judge(np.random.default_rng(0).permuted(sums.prior))
    assert split.judge(learned) >= split.judge(sums.prior)
    np.testing.assert_array_equal(learned, fit_infonce(split.rest, sums.prior, recipe, seed=1))
    held = fit_infonce(split.rest, sums.prior, replace(recipe, decay=1e3), seed=1)
    assert np.abs(held - sums.prior).max() < np.abs(learned - sums.prior).max()


def test_the_teachers_sums_are_those_of_eases_predictions(data: TrainingData) -> None:
    recipe = Recipe(alpha=0.5, dropout=0)
    statistics = Statistics.of(data, recipe)
    found = taught(data, statistics, 50.0)
    seen = data.interactions.toarray()
    warm = np.flatnonzero(statistics.damping > 0)
    model = np.zeros((seen.shape[1],) * 2)
    model[np.ix_(warm, warm)] = item_item((seen.T @ seen)[np.ix_(warm, warm)], 50.0)
    predicted = seen @ model
    counts = seen.sum(axis=1)
    active = counts > 0
    ones = np.column_stack([data.items, np.ones(len(data.items))])
    targets = (predicted * statistics.damping) @ ones / np.maximum(counts, 1)[:, None]
    rows = data.user_rows(np.arange(len(seen)), data.interactions) * counts[:, None]
    np.testing.assert_allclose(found.cross, rows[active].T @ targets[active], rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(found.gram, statistics.gram)


def test_a_teacher_that_counts_for_nothing_leaves_the_ridge(data: TrainingData) -> None:
    sums, ridge = sums_of(data, Recipe(), PRIOR), Ridge()
    [one] = fit_options([Distillation(mix=0.0)], data, sums, ridge)
    np.testing.assert_allclose(one.a, sums.solve(ridge, metric_of(data.blocks, ridge)), atol=1e-9)


def test_a_mix_weighs_what_ridge_and_descent_predict_as_equals(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums, ridge = sums_of(data, Recipe(), PRIOR), Ridge()
    descents: list[InfoNce] = []

    def counted(data: TrainingData, start: np.ndarray, recipe: InfoNce, *, seed: int) -> np.ndarray:
        descents.append(recipe)
        return 100.0 * fit_infonce(data, start, recipe, seed=seed)

    monkeypatch.setattr("ranking.training.options.fit_infonce", counted)
    recipes = [InfoNce(1e-2, epochs=2, mix=mix) for mix in (1.0, 0.5, 1e-9)]
    descended, half, nearly_none = (one.a for one in fit_options(recipes, data, sums, ridge))
    assert descents == [replace(recipes[0], mix=1.0)]
    closed = sums.solve(ridge, metric_of(data.blocks, ridge))
    np.testing.assert_allclose(nearly_none, closed, atol=1e-6)
    # the share of the descent spreads a user's scores as far as the ridge's does
    rows = data.user_rows(np.arange(len(data.interactions.toarray())), data.interactions)
    spread = [
        np.sqrt(np.mean((rows @ a @ data.items.T).var(axis=1)))
        for a in (0.5 * closed, half - 0.5 * closed)
    ]
    assert spread[1] == pytest.approx(spread[0], rel=0.1)
    assert spread[0] < np.sqrt(np.mean((rows @ descended @ data.items.T).var(axis=1)))


def test_with_too_many_items_there_is_no_teacher(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert impossible(DISTILLATION, data) == ""
    monkeypatch.setattr("ranking.training.options.EASE_ITEMS", 100)
    assert "the limit is 100" in impossible(DISTILLATION, data)
    assert impossible(INFONCE, data) == ""
    found = compete(data, PRIOR, Setting(), [DISTILLATION])
    assert found.winner is None
    assert "the limit is 100" in found.report()[DISTILLATION]["not_tried"]


# -- the rule -----------------------------------------------------------------------------------


def attempt(gains: list[float], name: str = INFONCE) -> Attempt:
    return Attempt(name, RECIPES[name][0], ndcg=[0.3] * len(gains), gains=gains)


@pytest.mark.parametrize(
    ("gains", "wins"),
    [
        ([0.01, 0.011, 0.009, 0.012, 0.01], True),
        ([0.01, 0.01, 0.01, 0.01, 0.01], True),
        ([0.03, -0.01, 0.02, -0.02, 0.01], False),  # positive, within the noise
        ([-0.01, -0.011, -0.009, -0.012, -0.01], False),
        ([0.0] * 5, False),
        ([0.01, 0.011, 0.009], False),  # too few splits
        ([], False),
    ],
)
def test_an_option_wins_by_two_standard_errors_over_all_splits(
    gains: list[float], wins: bool
) -> None:
    assert attempt(gains).wins == wins


def test_the_threshold_is_two_standard_errors_of_the_paired_differences() -> None:
    gains = np.array([0.0, 0.01, 0.02, 0.03, 0.04])
    error = gains.std(ddof=1) / math.sqrt(5)
    just = gains - gains.mean() + 2.001 * error
    not_quite = gains - gains.mean() + 1.999 * error
    assert attempt(just.tolist()).wins
    assert not attempt(not_quite.tolist()).wins


def test_of_several_winners_the_one_that_gains_most_serves() -> None:
    less, more = attempt([0.01] * 5), attempt([0.02] * 5, DISTILLATION)
    assert Contest([0.3] * 5, [less, more]).winner == more.recipe
    assert Contest([0.3] * 5, [less, attempt([-0.02] * 5, DISTILLATION)]).winner == less.recipe
    assert Contest([0.3] * 5, []).winner is None


def test_the_splits_hold_out_other_items_than_the_penalties_were_chosen_on(
    data: TrainingData,
) -> None:
    splits = list(cold_splits(data, first=0, count=FOLDS + SEEDS))
    assert len(splits) == FOLDS + SEEDS
    items = [{row.tobytes() for row in split.candidates} for split in splits]
    assert len(set.union(*items)) == sum(map(len, items))
    again = list(cold_splits(data, first=0, count=FOLDS))
    for one, other in zip(again, splits, strict=False):
        np.testing.assert_array_equal(one.candidates, other.candidates)


def test_a_few_items_decide_nothing() -> None:
    few = crowd(30, 12, 3)
    found = compete(few, PRIOR, Setting(), BOTH)
    assert found.winner is None
    assert all(one.reason for one in found.attempts)


@pytest.mark.parametrize(
    ("users", "items", "reason"),
    [(400, 100, "10 items held out"), (45, 240, r"users who took one, .* below 20 and 50")],
)
def test_on_tiny_data_no_option_wins_not_even_one_that_would_win_on_more(
    users: int, items: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = crowd(users, items, 8, noise=24)
    prior = {"history": np.eye(DIM + 24, dtype=np.float32)}
    fitted = fit_projection(few, prior, options=BOTH)
    assert fitted.setting.option is None
    assert fitted.contest is not None
    told = fitted.contest.report()["told"]
    assert told.startswith("ridge serves; infonce not tried: ")
    assert re.search(reason, told)
    monkeypatch.setattr("ranking.training.contest.LEAST_CANDIDATES", 2)
    monkeypatch.setattr("ranking.training.contest.LEAST_ASKED", 1)
    assert compete(few, prior, fitted.setting, [DISTILLATION]).winner is not None


@pytest.mark.parametrize("seed", [0, 1])
def test_a_teacher_wins_where_interactions_are_few_and_content_is_mostly_noise(seed: int) -> None:
    noisy = crowd(400, 240, 8, noise=24, seed=seed)
    prior = {"history": np.eye(DIM + 24, dtype=np.float32)}
    fitted = fit_projection(noisy, prior, options=BOTH)
    assert isinstance(fitted.setting.option, Distillation)
    assert fitted.contest is not None
    won = {one.name: one for one in fitted.contest.attempts}[DISTILLATION]
    assert won.gain > 0.03
    assert min(won.gains) > 0.0
    [one] = fit_options(
        [fitted.setting.option],
        noisy,
        sums_of(noisy, fitted.setting.recipe, prior),
        fitted.setting.ridge,
    )
    np.testing.assert_allclose(fitted.matrices["history"], one.a[:-1], atol=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_ridge_stays_where_it_has_all_it_needs(seed: int) -> None:
    fitted = fit_projection(crowd(400, 220, 20, seed=seed), PRIOR, options=BOTH)
    assert fitted.setting.option is None
    assert fitted.contest is not None
    assert all(one.gains and not one.wins for one in fitted.contest.attempts)


def test_what_loses_the_first_two_splits_is_not_asked_on_the_others(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = {
        "ridge": iter([0.5] * SEEDS),
        INFONCE: iter([0.4, 0.5]),
        DISTILLATION: iter([0.6] * 9),
    }
    asked: list[str] = []

    def fitted(options, *_, **__):  # type: ignore[no-untyped-def]
        for option in options:
            asked.append(name_of(option))
            yield Made(option, name_of(option))

    def judge(split: ColdSplit, a: object, gates: object = None) -> float:
        return next(judged[a if isinstance(a, str) else "ridge"])

    monkeypatch.setattr(
        "ranking.training.contest.choose_recipe", lambda name, *_, **__: (RECIPES[name][0], {})
    )
    monkeypatch.setattr("ranking.training.contest.fit_options", fitted)
    monkeypatch.setattr(ColdSplit, "judge", judge)
    found = compete(data, PRIOR, Setting(), BOTH)
    assert asked.count(INFONCE) == LOST
    assert asked.count(DISTILLATION) == SEEDS
    lost, won = found.attempts
    assert lost.out
    assert not lost.wins
    assert won.wins
    assert "infonce out after 2 splits (-0.1000 and +0.0000)" in str(found)
    report = json.loads(json.dumps(found.report()))
    assert report[INFONCE]["interval"] is None
    assert report[INFONCE]["by_split"] == [0.4, 0.5]
    assert report["chosen"] == DISTILLATION


def test_when_all_are_out_no_split_is_asked_for_nothing(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ColdSplit, "judge", lambda *_: 0.3)  # level with the ridge
    found = compete(data, PRIOR, Setting(), [DISTILLATION])
    assert len(found.ridge) == LOST
    assert found.winner is None


def test_the_report_says_what_each_won_by(data: TrainingData) -> None:
    fitted = fit_projection(data, PRIOR, options=BOTH)
    report = json.loads(json.dumps(fitted.report()))["options"]
    ridge = np.array(report["ridge"]["by_split"])
    for name in BOTH:
        one = report[name]
        gains = np.array(one["by_split"]) - ridge[: len(one["by_split"])]
        if one["interval"] is None:
            assert len(gains) == LOST
            assert gains.max() <= 0.0
            continue
        assert one["gain"] == pytest.approx(gains.mean())
        half = 2 * gains.std(ddof=1) / math.sqrt(SEEDS)
        assert one["interval"] == pytest.approx([gains.mean() - half, gains.mean() + half])
        assert one["wins"] == (one["interval"][0] > 0)
        assert name in report["told"]
    best = max(BOTH, key=lambda name: report[name]["gain"])
    assert report["chosen"] == (best if report[best]["wins"] else "ridge")
    assert report["told"].startswith(f"{report['chosen']} serves")


def test_where_a_setting_has_an_option_it_is_fitted_and_the_sums_are_the_ridges(
    data: TrainingData,
) -> None:
    plain = fit_projection(data, PRIOR, setting=Setting())
    other = fit_projection(data, PRIOR, setting=Setting(option=Distillation(50.0, 1.0)))
    np.testing.assert_array_equal(plain.statistics.cross, other.statistics.cross)
    assert not np.allclose(plain.matrices["history"], other.matrices["history"])
