"""Which prior a training begins with: another catalogue's while it helps, else A0."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from domain.vectors import BlockMap
from ranking.training import TrainingData, choose_beginning
from ranking.training.beginning import FOLDS, LEAST_USERS

DIM, ITEMS = 8, 300
BLOCK = BlockMap("text", np.zeros(DIM, np.float32), np.eye(DIM, dtype=np.float32), 1.0, 0, DIM)
LIKED = np.eye(DIM)[0]
"""A direction of content that everybody likes."""

HELPFUL = {"history": np.eye(DIM, dtype=np.float32), "one": 3.0 * LIKED[None].astype(np.float32)}
ELSEWHERE = {"history": np.roll(np.eye(DIM, dtype=np.float32), 1, axis=1)}
"""Says that people want what lies in another direction than what they took."""

A0 = {"history": np.eye(DIM, dtype=np.float32)}


def world(users: int, seed: int = 0, liked: float = 0.0) -> TrainingData:
    """Users who take 12 items near to their taste, and by `liked` those that everybody likes."""
    rng = np.random.default_rng(seed)
    content = rng.standard_normal((ITEMS, DIM))
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    tastes = rng.standard_normal((users, DIM))
    tastes /= np.linalg.norm(tastes, axis=1, keepdims=True)
    wanted = 8.0 * (tastes + liked * LIKED) @ content.T
    lots = wanted - np.log(-np.log(rng.random((users, ITEMS))))
    taken = np.zeros((users, ITEMS), dtype=np.float32)
    np.put_along_axis(taken, np.argsort(-lots, axis=1)[:, :12], 1.0, axis=1)
    return TrainingData([BLOCK], content.astype(np.float32), csr_matrix(taken))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_prior_that_knows_what_everybody_likes_is_begun_with(seed: int) -> None:
    found = choose_beginning(world(30, seed, liked=2.0), {"transferred": HELPFUL, "a0": A0})
    assert found.chosen == "transferred"
    told = json.loads(json.dumps(found.report()))
    assert told["ndcg"]["transferred"] > told["ndcg"]["a0"]
    assert [len(folds) for folds in told["by_fold"].values()] == [FOLDS, FOLDS]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_that_misleads_is_not(seed: int) -> None:
    found = choose_beginning(world(40, seed), {"transferred": ELSEWHERE, "a0": A0})
    assert found.chosen == "a0"
    assert found.report()["ndcg"]["a0"] > found.report()["ndcg"]["transferred"]


def test_too_few_users_decide_nothing() -> None:
    found = choose_beginning(world(LEAST_USERS - 1), {"transferred": ELSEWHERE, "a0": A0})
    assert (found.chosen, found.ndcg) == ("transferred", {})


def test_one_prior_is_not_compared() -> None:
    assert choose_beginning(world(60), {"a0": A0}).ndcg == {}


def test_of_equals_the_first_is_begun_with() -> None:
    same = choose_beginning(world(40), {"transferred": A0, "a0": A0})
    assert same.chosen == "transferred"
    assert same.ndcg["transferred"] == same.ndcg["a0"]
