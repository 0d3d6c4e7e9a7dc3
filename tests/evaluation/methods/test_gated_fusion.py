"""Gated fusion in the harness is the product's."""

from __future__ import annotations

import numpy as np
import pytest

from domain.settings import Settings
from evaluation.dataset import Dataset
from evaluation.features import embed, fuse
from evaluation.methods import Task
from evaluation.methods.gated_fusion import GatedFusion
from evaluation.splits import item_cold_start


@pytest.fixture(scope="module")
def task(planted_dataset: Dataset, tiny_settings: Settings) -> Task:
    split = item_cold_start(planted_dataset, 0)
    features = embed(planted_dataset, tiny_settings, ["text", "attributes"])
    fusion, items, raw = fuse(
        planted_dataset, features, ("text", "attributes"), split.warm, tiny_settings
    )
    return Task(planted_dataset, split, items, fusion, raw, features.profiles, seed=split.seed)


def test_users_and_items_are_scored_behind_the_gates(task: Task) -> None:
    method = GatedFusion(epochs=3)
    method.fit(task)
    assert method.gates is not None
    items = method.gates.apply(task.blocks, task.items)
    assert np.abs(items - task.items).max() > 1e-3
    users = np.arange(6)
    rows = method._data.user_rows(users, task.train[users])
    np.testing.assert_array_equal(method._data.items, items)
    found = method.scores(users, task.train[users])
    np.testing.assert_allclose(found, rows @ method._a @ items.T, atol=1e-4)
