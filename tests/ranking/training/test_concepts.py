"""A through K concepts is the best rank-K stand-in in the metric of its predictions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from domain.errors import RejectedError
from domain.vectors import BlockMap
from ranking.training import Setting, TrainingData, fit_projection, low_rank, solve


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


def crowd(
    users: int = 80, items: int = 120, dim: int = 8
) -> tuple[TrainingData, dict[str, np.ndarray]]:
    """Who takes twelve items each, near to their taste."""
    random = np.random.default_rng(0)
    content = random.normal(size=(items, dim)).astype(np.float32)
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    wanted = random.normal(size=(users, dim)) @ content.T
    taken = np.zeros((users, items), dtype=np.float32)
    np.put_along_axis(taken, np.argsort(-wanted, axis=1)[:, :12], 1.0, axis=1)
    block = BlockMap("text", np.zeros(dim, np.float32), np.eye(dim, dtype=np.float32), 1.0, 0, dim)
    prior = {"history": np.eye(dim, dtype=np.float32)}
    return TrainingData([block], content, csr_matrix(taken)), prior


def test_a_training_through_concepts_has_their_number_as_its_rank_and_so_has_what_is_solved_later():
    data, prior = crowd()
    whole = fit_projection(data, prior)
    for k in (1, 3):
        found = fit_projection(data, prior, concepts=k, options=["ease-distillation"])
        stacked = np.concatenate([found.matrices["history"], found.matrices["one"]])
        values = np.linalg.svd(stacked, compute_uv=False)
        assert values[k] < 1e-5 * values[0]
        assert values[k - 1] > 1e-3 * values[0]
        assert 0.0 < found.report()["kept"] < 1.0
        assert found.report()["options"]["chosen"] == "ridge"
        again = solve(data.blocks, found.statistics, found.gram, prior, found.setting.ridge)
        for part, matrix in found.matrices.items():
            np.testing.assert_allclose(again[part], matrix, atol=1e-6)
    every = fit_projection(data, prior, concepts=9)
    for part, matrix in whole.matrices.items():
        np.testing.assert_allclose(every.matrices[part], matrix, atol=1e-4 * np.abs(matrix).max())
    assert whole.report()["kept"] == 1.0


def test_more_concepts_keep_more_of_what_is_predicted():
    data, prior = crowd()
    kept = [fit_projection(data, prior, setting=with_concepts(k)).kept for k in (1, 2, 4, 8)]
    assert kept == sorted(kept)
    assert kept[-1] > 0.99


def with_concepts(k: int) -> Setting:
    return replace(Setting(), ridge=replace(Setting().ridge, concepts=k))
