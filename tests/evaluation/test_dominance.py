"""In one ranking content and collaborative part together are no worse than either, however few took
its young items."""

from __future__ import annotations

import numpy as np
import pytest

from domain.items import Item
from domain.settings import Settings
from domain.users import User
from evaluation.dataset import Dataset
from evaluation.features import Features
from evaluation.methods import chosen
from evaluation.plan import Plan, protocols
from evaluation.results import Run
from evaluation.run import Evaluator
from evaluation.significance import interval
from evaluation.splits.warm_up import REVEALED

USERS, ITEMS, DIM = 300, 400, 8
SEEDS = (0, 1, 2)
PARENTS = ("bilinear", "ease")

pytestmark = pytest.mark.timeout(900)  # 54 fits, once for all tests here
QUESTION, METRIC = "overall", "ndcg@20"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Content tells which of two kinds an item is, only interactions which circle within it."""
    random = np.random.default_rng(3)
    kind, circle = np.arange(ITEMS) % 2, np.arange(ITEMS) // 2 % 4
    mine, friends = np.arange(USERS) % 2, random.integers(4, size=USERS)
    alike = mine[:, None] == kind
    taken = np.where(alike, 0.1, 0.03) + 0.3 * (alike & (friends[:, None] == circle))
    user_index, item_index = np.nonzero(random.random((USERS, ITEMS)) < taken)
    content = random.standard_normal((ITEMS, DIM))
    content[:, 0] += np.where(kind == 0, 1.5, -1.5)
    dataset = Dataset(
        name="circles",
        items=tuple(Item(id=f"i{row}", title="a title") for row in range(ITEMS)),
        users=tuple(User(id=f"u{row}") for row in range(USERS)),
        user_index=user_index.astype(np.int32),
        item_index=item_index.astype(np.int32),
        weights=np.ones(len(user_index), dtype=np.float32),
    )
    asked = protocols()["warm-up"]
    plan = Plan(
        protocol="warm-up",
        splits=asked.splits,
        questions=asked.questions,
        methods=chosen([*PARENTS, "hybrid"]),
        features=("text",),
        seeds=SEEDS,
        ablation=False,
    )
    folder = tmp_path_factory.mktemp("circles")
    features = Features({"text": content.astype(np.float32)})
    return list(Evaluator(dataset, features, plan, Settings(data_dir=folder), folder).run().runs)


@pytest.mark.parametrize("number", REVEALED)
def test_in_one_ranking_the_hybrid_is_at_least_the_better_parent_within_the_noise_of_seeds(
    runs: list[Run], number: int
) -> None:
    found = {
        (run.method, run.seed): run.metrics[QUESTION][METRIC]
        for run in runs
        if run.split == f"N={number}"
    }
    over = interval(
        [found["hybrid", seed] - max(found[name, seed] for name in PARENTS) for seed in SEEDS]
    )
    noise = over.high - over.mean
    assert over.mean >= -noise
    assert over.mean >= -0.01, "the noise is no excuse for this much"
    assert over.mean >= 0.01 or number, "new items and warm ones together are what it is for"
