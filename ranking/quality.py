"""NDCG and recall, on which everything that is trained is chosen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def ndcg(scores: NDArray[np.float32], relevant: NDArray[np.bool_], k: int = 20) -> float:
    """Mean NDCG@k over users with something relevant, full ranking of the columns.

    Args:
        scores: [n_users, n_candidates].
        relevant: [n_users, n_candidates] bool.
    """
    k = min(k, scores.shape[1])
    if not k or not relevant.any():
        return 0.0
    hits = _hits(scores, relevant, k)
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])
    wanted = relevant.sum(axis=1)
    asked = wanted > 0
    return float(((hits @ discount)[asked] / ideal[np.minimum(wanted[asked], k)]).mean())


def recall(scores: NDArray[np.float32], relevant: NDArray[np.bool_], k: int = 20) -> float:
    """Mean recall@k, the share of what is relevant that is in the first k; as `ndcg`."""
    k = min(k, scores.shape[1])
    if not k or not relevant.any():
        return 0.0
    wanted = relevant.sum(axis=1)
    asked = wanted > 0
    return float((_hits(scores, relevant, k).sum(axis=1)[asked] / wanted[asked]).mean())


def _hits(scores: NDArray[np.float32], relevant: NDArray[np.bool_], k: int) -> NDArray[np.bool_]:
    """Whether each of the first k is relevant, best first, [n_users, k]."""
    top = np.argpartition(scores, scores.shape[1] - k, axis=1)[:, -k:]
    order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1, kind="stable")
    return np.take_along_axis(relevant, np.take_along_axis(top, order, axis=1), axis=1)
