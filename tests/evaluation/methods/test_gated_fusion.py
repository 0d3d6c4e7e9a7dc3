"""Gated fusion: gates that start at one, read the mask, and never drop the last modality."""

from __future__ import annotations

import numpy as np
import pytest

from domain.settings import Settings
from evaluation.dataset import Dataset
from evaluation.features import embed, fuse
from evaluation.methods import Task
from evaluation.methods.bilinear import Bilinear
from evaluation.methods.gated_fusion import GatedFusion
from evaluation.splits import item_cold_start
from evaluation.tuning import METRIC, judge
from ranking import prior


@pytest.fixture(scope="module")
def task(planted_dataset: Dataset, tiny_settings: Settings) -> Task:
    split = item_cold_start(planted_dataset, 0)
    features = embed(planted_dataset, tiny_settings, ["text", "attributes"])
    fusion, items, raw = fuse(
        planted_dataset, features, ("text", "attributes"), split.warm, tiny_settings
    )
    return Task(planted_dataset, split, items, fusion, raw, features.profiles, seed=split.seed)


def test_without_a_step_it_is_the_prior_on_the_fused_vectors(task: Task) -> None:
    method = GatedFusion(epochs=0)
    method.fit(task)
    np.testing.assert_allclose(method.gates(), 1.0, atol=1e-6)
    rows = Bilinear()
    rows.fit(task)
    assert task.fusion is not None
    users = np.arange(6)
    z = rows._data.user_rows(users, task.train[users])
    layout = rows.fitted.statistics.layout
    a = np.zeros((layout.dim, task.items.shape[1]))
    for part, matrix in prior(task.fusion).matrices.items():
        if part in layout.spans:
            start, stop = layout.spans[part]
            a[start:stop] = matrix
    found = method.scores(users, task.train[users])
    np.testing.assert_allclose(found, z @ a @ task.items.T, atol=1e-4)


def test_gates_are_learned_and_share_what_there_is_to_give(task: Task) -> None:
    asked = task.split.evaluation("warm")
    values = []
    for epochs in (0, 12):
        method = GatedFusion(epochs=epochs, learning_rate=0.01)
        method.fit(task)
        values.append(judge(method, [asked], task)[0].mean(METRIC))
    assert values[1] > values[0]
    gates = method.gates()
    np.testing.assert_allclose(gates.sum(axis=1), 2.0, atol=1e-5)
    assert gates.std(axis=0).min() > 0.0
    assert gates.min() >= 0.0


def test_modality_dropout_leaves_every_item_something_that_it_has(task: Task) -> None:
    method = GatedFusion(epochs=0, dropout=0.9)
    method.fit(task)
    there = method._there.numpy()
    rng = np.random.default_rng(0)
    kept = np.stack([method._kept(rng).numpy() for _ in range(20)])
    assert set(np.unique(kept)) <= {0.0, 1.0}
    assert (kept <= there).all()
    assert (kept.sum(axis=2) >= there.any(axis=1)).all()
    assert (kept.sum(axis=2) < there.sum(axis=1)).any()
    weights = method._weights(method._kept(rng))
    np.testing.assert_allclose(
        weights.detach().numpy().sum(axis=1), (weights > 0).sum(axis=1).numpy(), atol=1e-5
    )
