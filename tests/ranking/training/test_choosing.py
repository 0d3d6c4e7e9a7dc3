"""What training chooses: a block that says nothing is left out, and a choice can be kept."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from domain.vectors import BlockMap
from ranking.quality import ndcg
from ranking.training import (
    Recipe,
    Ridge,
    Setting,
    Statistics,
    TrainingData,
    choose,
    fit_projection,
    item_gram,
    solve,
)
from ranking.training.solve import Sums, metric_of

DIM, NOISE = 6, 40


def block(name: str, start: int, dim: int) -> BlockMap:
    projection = np.diag(np.linspace(1.0, 3.0, dim)).astype(np.float32)
    return BlockMap(name, np.zeros(dim, dtype=np.float32), projection, 1.0, start, start + dim)


def data(users: int = 150, items: int = 200, noise: int = NOISE, seed: int = 0) -> TrainingData:
    """Users who choose by the first block; the second, where there is one, is noise."""
    rng = np.random.default_rng(seed)
    content = rng.standard_normal((items, DIM))
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    tastes = rng.standard_normal((users, DIM))
    taken = (tastes @ content.T + 0.5 * rng.standard_normal((users, items))) > 1.0
    taken[np.arange(users), rng.integers(items, size=users)] = True
    blocks = [block("text", 0, DIM)]
    if noise:
        beside = rng.standard_normal((items, noise))
        beside /= np.linalg.norm(beside, axis=1, keepdims=True)
        content = np.column_stack([content, beside]) / np.sqrt(2.0)
        blocks.append(block("image", DIM, noise))
    return TrainingData(blocks, content.astype(np.float32), csr_matrix(taken.astype(np.float32)))


def cold_quality(made: TrainingData, cold: np.ndarray, setting: Setting | None = None) -> float:
    """NDCG@20 on items that training never saw taken."""
    rest = made.without_items(cold)
    fitted = fit_projection(rest, {}, setting=setting)
    queries = fitted.queries(rest, np.arange(made.interactions.shape[0]), rest.interactions)
    return ndcg(queries @ made.items[cold].T, made.interactions[:, cold].toarray() > 0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_block_of_noise_is_scaled_down_and_the_answer_is_no_worse_for_it(seed: int) -> None:
    made = data(items=400, seed=seed)
    cold = np.arange(400) >= 300
    setting, scores = choose(made.without_items(cold), {})
    text, image = setting.ridge.blocks
    assert image < text
    as_it_was = replace(setting, ridge=replace(setting.ridge, blocks=()))
    chosen = cold_quality(made, cold, setting)
    assert chosen >= cold_quality(made, cold, as_it_was) - 0.002
    assert chosen >= cold_quality(data(items=400, noise=0, seed=seed), cold) - 0.01
    assert max(scores.values()) > 0.5


@pytest.mark.parametrize("shrinks", [True, False])
def test_of_a_block_scaled_to_nothing_a_has_what_the_prior_says_and_no_more(shrinks: bool) -> None:
    made = data()
    statistics = Statistics.of(made, Recipe())
    gram = item_gram(made.items, np.ones(len(made.items)))
    width = made.items.shape[1]
    prior = {"history": np.eye(width, dtype=np.float32)}
    ridge = Ridge(prior=shrinks, blocks=(1.0, 0.0))
    found = solve(made.blocks, statistics, gram, prior, ridge)
    assert all(np.isfinite(matrix).all() for matrix in found.values())
    history = found["history"]
    stays = history[DIM + 1, DIM + 1]
    assert (stays > 0.0) == shrinks
    np.testing.assert_allclose(history[DIM:, DIM:], stays * np.eye(NOISE), atol=1e-12)
    np.testing.assert_allclose(history[:DIM, DIM:], 0.0, atol=1e-12)
    np.testing.assert_allclose(history[DIM:, :DIM], 0.0, atol=1e-12)
    np.testing.assert_allclose(found["one"][:, DIM:], 0.0, atol=1e-12)
    assert np.abs(history[:DIM, :DIM]).max() > 0.0


@pytest.mark.parametrize("shrinks", [True, False])
def test_a_is_the_closed_form_written_out(shrinks: bool) -> None:
    made = data(noise=4)
    statistics = Statistics.of(made, Recipe())
    gram = item_gram(made.items, np.ones(len(made.items)))
    width = made.items.shape[1]
    prior = np.random.default_rng(5).standard_normal((statistics.layout.dim, width))
    ridge = Ridge(users=0.7, items=2.0, metric=0.5, prior=shrinks, blocks=(1.0, 0.4))
    metric = metric_of(made.blocks, ridge)
    sums = Sums(statistics, gram, prior)
    left, right = np.diag(sums.left(metric)), np.diag(np.append(metric, 1.0))
    g, h = left @ statistics.gram @ left, right @ gram @ right
    known = np.column_stack([prior, np.zeros(len(prior))])
    residual = statistics.cross - shrinks * sums.scale * statistics.gram @ known @ gram
    inner = np.linalg.inv(g + 0.7 * np.trace(g) / len(g) * np.eye(len(g)))
    outer = np.linalg.inv(h + 2.0 * np.eye(len(h)))
    expected = left @ inner @ left @ residual @ right @ outer @ right
    expected += shrinks * sums.scale * known
    np.testing.assert_allclose(sums.solve(ridge, metric), expected[:, :-1], atol=1e-9)


def test_a_setting_survives_json_and_one_without_scales_is_read() -> None:
    made = data()
    fitted = fit_projection(made, {}, setting=Setting(ridge=Ridge(blocks=(1.0, 0.25))))
    report = json.loads(json.dumps(fitted.report()))
    assert Ridge(**report["ridge"]) == fitted.setting.ridge
    assert Recipe(**report["recipe"]) == fitted.setting.recipe
    before = {name: value for name, value in report["ridge"].items() if name != "blocks"}
    assert Ridge(**before) == replace(fitted.setting.ridge, blocks=())


def test_scales_that_do_not_fit_the_blocks_are_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        metric_of(data().blocks, Ridge(blocks=(1.0,)))
