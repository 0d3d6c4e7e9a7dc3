"""Gated fusion: what it learns, that it is served as it is learned, and when it wins."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from domain.modality_gates import ModalityGates, block_lengths
from domain.vectors import BlockMap
from ranking.training import GATED, Recipe, Ridge, Setting, TrainingData, fit_projection
from ranking.training.cold import cold_splits
from ranking.training.contest import SEEDS, compete
from ranking.training.gated import GatedFusion, _Descent, fit_gates, gated
from ranking.training.infonce import InfoNce
from ranking.training.options import RECIPES, fit_options, impossible, sums_of
from ranking.training.solve import metric_of

DIM = 6
WIDE = DIM + 1
QUICK = GatedFusion(learning_rate=0.03, epochs=25)
"""A crowd this small is one step per pass."""

PRIOR = {"history": np.eye(2 * WIDE, dtype=np.float32)}


def blocks() -> list[BlockMap]:
    zero, identity = np.zeros(WIDE, np.float32), np.eye(WIDE, dtype=np.float32)
    return [
        BlockMap(name, zero, identity, 1.0, start, start + WIDE)
        for name, start in (("text", 0), ("image", WIDE))
    ]


def crowd(users: int = 250, items: int = 220, each: int = 10, seed: int = 0) -> TrainingData:
    """Of half of the items the text says what people go by and the image says anything, of the
    others the image; the last coordinate of the text says which."""
    rng = np.random.default_rng(seed)
    meaning, anything = (unit(rng.standard_normal((items, DIM))) for _ in range(2))
    told_by_text = rng.random(items) < 0.5
    kind = np.where(told_by_text, 1.0, -1.0)[:, None]
    text = unit(np.hstack([np.where(told_by_text[:, None], meaning, anything), kind]))
    image = unit(np.hstack([np.where(told_by_text[:, None], anything, meaning), 0.0 * kind]))
    tastes = unit(rng.standard_normal((users, DIM)))
    lots = 8.0 * tastes @ meaning.T - np.log(-np.log(rng.random((users, items))))
    taken = np.zeros((users, items), np.float32)
    np.put_along_axis(taken, np.argsort(-lots, axis=1)[:, :each], 1.0, axis=1)
    joined = np.hstack([text, image]) / np.sqrt(2.0)
    return TrainingData(blocks(), joined.astype(np.float32), csr_matrix(taken))


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return crowd()


def some_gates(seed: int = 0) -> ModalityGates:
    rng = np.random.default_rng(seed)
    return ModalityGates(rng.standard_normal((2 * WIDE + 2, 2)).astype(np.float32))


def test_what_is_differentiated_is_what_is_served(data: TrainingData) -> None:
    items = data.items[:40].copy()
    items[0, :WIDE] = 0.0  # no text
    items[1] = 0.0  # nothing at all
    items[2, WIDE:] *= 0.3  # a guess
    gates = some_gates()
    rows = torch.from_numpy(items)
    norms = rows.norm(dim=1, keepdim=True)
    widths = torch.tensor([WIDE, WIDE])
    found = gated(rows, torch.from_numpy(gates.weights), widths, norms).numpy()
    np.testing.assert_allclose(gates.apply(data.blocks, items), found, atol=1e-6)


def test_without_a_step_gates_are_one_and_a_is_the_prior(data: TrainingData) -> None:
    sums = sums_of(data, Recipe(), PRIOR)
    gates, a = fit_gates(data, sums.prior, GatedFusion(epochs=0))
    np.testing.assert_array_equal(a, sums.prior)
    np.testing.assert_allclose(gates.of(data.blocks, data.items), 1.0, atol=1e-6)
    np.testing.assert_allclose(gates.apply(data.blocks, data.items), data.items, atol=1e-6)


def test_it_learns_which_modality_to_trust_and_is_the_same_for_the_same_seed(
    data: TrainingData,
) -> None:
    sums = sums_of(data, Recipe(), PRIOR)
    recipe = QUICK
    gates, a = fit_gates(data, sums.prior, recipe, seed=1)
    again, same = fit_gates(data, sums.prior, recipe, seed=1)
    np.testing.assert_array_equal(gates.weights, again.weights)
    np.testing.assert_array_equal(a, same)
    found = gates.of(data.blocks, data.items)
    np.testing.assert_allclose(found.sum(axis=1), 2.0, atol=1e-5)
    told_by_text = data.items[:, DIM] > 0
    assert found[told_by_text, 0].mean() > found[told_by_text, 1].mean() + 0.2
    assert found[~told_by_text, 1].mean() > found[~told_by_text, 0].mean() + 0.2


def test_dropout_leaves_every_item_a_modality_that_it_has(data: TrainingData) -> None:
    items = data.items[:50].copy()
    items[:10, :WIDE] = 0.0
    some = TrainingData(data.blocks, items, csr_matrix(data.interactions[:, :50]))
    descent = _Descent(some, sums_of(some, Recipe(), PRIOR).prior, GatedFusion(dropout=0.9))
    rng, there = np.random.default_rng(0), block_lengths(data.blocks, items) > 0
    kept = np.stack(
        [
            block_lengths(data.blocks, descent._dropped(torch.from_numpy(items), rng).numpy()) > 0
            for _ in range(20)
        ]
    )
    assert (kept <= there).all()
    assert kept.any(axis=2).all()
    assert kept.sum() < 0.8 * 20 * there.sum()


def test_a_mix_is_with_the_ridge_of_the_gated_vectors(data: TrainingData) -> None:
    sums, ridge = sums_of(data, Recipe(), PRIOR), Ridge()
    recipes = [GatedFusion(epochs=2, mix=mix) for mix in (1.0, 1e-9)]
    descended, nearly_none = fit_options(recipes, data, sums, ridge)
    assert descended.gates is nearly_none.gates
    assert nearly_none.gates is not None
    behind = data.gated(nearly_none.gates)
    theirs = sums_of(behind, Recipe(), PRIOR)
    closed = theirs.solve(ridge, metric_of(data.blocks, ridge))
    np.testing.assert_allclose(nearly_none.a, closed, atol=1e-6)
    assert nearly_none.sums is not None
    np.testing.assert_array_equal(nearly_none.sums.statistics.gram, theirs.statistics.gram)


def test_it_wins_where_the_modality_to_trust_differs_from_item_to_item(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPES, GATED, (QUICK,))
    contest = compete(data, PRIOR, Setting(), [GATED])
    assert isinstance(contest.winner, GatedFusion)
    [won] = contest.attempts
    assert len(won.gains) == SEEDS
    assert min(won.gains) > 0.05
    report = json.loads(json.dumps(contest.report()))
    assert report["chosen"] == GATED
    fitted = fit_projection(data, PRIOR, setting=Setting(option=contest.winner))
    assert fitted.gates is not None
    option = fitted.given_gates().option
    assert isinstance(option, InfoNce)
    assert (option.decay, option.mix) == (contest.winner.decay, contest.winner.mix)
    behind = data.gated(fitted.gates)
    plain = sums_of(behind, fitted.setting.recipe, PRIOR)
    np.testing.assert_array_equal(fitted.statistics.gram, plain.statistics.gram)
    np.testing.assert_array_equal(fitted.gram, plain.gram)


def test_a_split_is_judged_behind_the_gates(data: TrainingData) -> None:
    split = next(cold_splits(data, first=0, count=1))
    a = sums_of(split.rest, Recipe(), PRIOR).prior
    gates = some_gates()
    assert split.judge(a, gates) == split.gated(gates).judge(a)
    assert split.judge(a, gates) != split.judge(a)
    items = gates.apply(data.blocks, data.items)
    np.testing.assert_allclose(split.gated(gates).candidates, items[split.cold], atol=1e-6)


def test_one_modality_has_nothing_to_weigh(data: TrainingData) -> None:
    [block, _] = data.blocks
    alone = TrainingData([block], data.items[:, :WIDE], data.interactions)
    assert impossible(GATED, alone) == "items have one modality alone"
    assert impossible(GATED, data) == ""
