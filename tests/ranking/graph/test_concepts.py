"""A through K concepts is the best rank-K stand-in in the metric of its predictions."""

from __future__ import annotations

import numpy as np
import pytest

from domain.errors import RejectedError
from ranking.graph import low_rank


@pytest.fixture(scope="module")
def spaces():
    random = np.random.default_rng(0)
    users = random.normal(size=(300, 12)) @ np.diag(np.geomspace(10, 0.1, 12))
    items = random.normal(size=(200, 9)) @ np.diag(np.geomspace(0.05, 5, 9))
    return users, items, random.normal(size=(12, 9)).astype(np.float32)


def error(users, items, exact, tried) -> float:
    return float(((users @ (exact - tried) @ items.T) ** 2).sum())


def test_all_concepts_give_a_back(spaces):
    users, items, matrix = spaces
    found = low_rank(matrix, users.T @ users, items.T @ items, 9)
    assert found.matrix == pytest.approx(matrix, abs=1e-4)
    assert found.kept == pytest.approx(1.0)


def test_the_error_is_the_smallest_of_any_rank_k_map(spaces):
    users, items, matrix = spaces
    scores = users @ matrix @ items.T
    values = np.linalg.svd(scores, compute_uv=False)
    for k in (1, 3, 6):
        found = low_rank(matrix, users.T @ users, items.T @ items, k)
        best = float((values[k:9] ** 2).sum())
        assert error(users, items, matrix, found.matrix) == pytest.approx(best, rel=1e-3)
        assert found.kept == pytest.approx(
            float((values[:k] ** 2).sum() / (values**2).sum()), rel=1e-6
        )


def test_an_svd_of_a_itself_is_worse(spaces):
    users, items, matrix = spaces
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    naive = (u[:, :3] * s[:3]) @ vt[:3]
    ours = low_rank(matrix, users.T @ users, items.T @ items, 3).matrix
    assert error(users, items, matrix, ours) < 0.5 * error(users, items, matrix, naive)


def test_a_singular_moment_is_no_obstacle(spaces):
    users, items, matrix = spaces
    users = users.copy()
    users[:, 0] = 0
    found = low_rank(matrix, users.T @ users, items.T @ items, 9)
    assert users @ found.matrix @ items.T == pytest.approx(users @ matrix @ items.T, abs=1e-3)


def test_shapes_that_do_not_fit_are_refused(spaces):
    users, items, matrix = spaces
    with pytest.raises(RejectedError, match="moments"):
        low_rank(matrix, items.T @ items, users.T @ users, 2)
    with pytest.raises(RejectedError, match="0 concepts"):
        low_rank(matrix, users.T @ users, items.T @ items, 0)
