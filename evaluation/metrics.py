"""Full rankings and what they are worth.

All candidates of a user are ranked, in blocks of users, so that memory is bounded by one block of
scores. Equal scores are ordered at random by (seed, user, item): no item gains by its row number,
and the order does not depend on the block size.

With K places, hit_r = 1 where place r holds a target, and T the number of targets:

    Recall@K    = sum hit_r / T
    Precision@K = sum hit_r / K
    NDCG@K      = sum hit_r / log2(r + 1)  /  sum over r <= min(T, K) of 1 / log2(r + 1)
    MRR@K       = 1 / (first r with a hit), 0 without one

(binary relevance; Jarvelin and Kekalainen 2002 with the log2 discount). They are means over
users. Of all users' top K together: coverage (share of the candidates that anyone is shown),
Gini (of how often each candidate is shown; 0 = all alike), cold share (share of places held by
cold items), and intra-list distance (mean cosine distance of the pairs within a list).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from domain.errors import RejectedError
from domain.vectors import Matrix
from evaluation.splits.split import Evaluation, Mask, Sparse

Scores: TypeAlias = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Rows of users [n] -> scores of all items [n, n_items], higher is better, not NaN."""

KS = (10, 20)
BLOCK_BYTES = 64 * 2**20
LOWEST = np.iinfo(np.int64).min
ABSENT = -1
"""In a ranking: no candidate was left for this place."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One method on one evaluation.

    Attributes:
        evaluation: its name.
        users: [n] int32, rows of the users that were ranked for.
        per_user: {"recall@20": [n] float64, ...}, in the order of `users`.
        lists: {"coverage@20": value, ...}, of all lists together.
        top: [n, max K] int32, the ranking: rows of items, ABSENT where the candidates ran out.
    """

    evaluation: str
    users: NDArray[np.int32]
    per_user: Mapping[str, NDArray[np.float64]]
    lists: Mapping[str, float]
    top: NDArray[np.int32]

    def mean(self, metric: str) -> float:
        """A metric's mean over users, or its value where it is one of all lists."""
        if metric in self.lists:
            return self.lists[metric]
        return float(self.per_user[metric].mean())

    def means(self) -> dict[str, float]:
        """Every metric."""
        return {name: self.mean(name) for name in (*self.per_user, *self.lists)}


def evaluate(
    scores: Scores,
    evaluation: Evaluation,
    *,
    ks: Sequence[int] = KS,
    seed: int = 0,
    cold: Mask | None = None,
    vectors: Matrix | None = None,
) -> Measured:
    """Rank all candidates for all users of the evaluation and measure.

    Args:
        scores: the method.
        ks: list lengths.
        seed: orders equal scores.
        cold: [n_items] bool, for the share of cold items.
        vectors: [n_items, d], for the intra-list distance; a zero row counts for nothing.

    Raises:
        RejectedError: scores of the wrong shape or NaN.
    """
    (measured,) = evaluate_all(scores, [evaluation], ks=ks, seed=seed, cold=cold, vectors=vectors)
    return measured


def evaluate_all(
    scores: Scores,
    evaluations: Sequence[Evaluation],
    *,
    ks: Sequence[int] = KS,
    seed: int = 0,
    cold: Mask | None = None,
    vectors: Matrix | None = None,
) -> list[Measured]:
    """`evaluate` for several questions, in their order; a user is scored once for all of them."""
    tops = rank_all(scores, evaluations, k=max(ks), seed=seed)
    return [
        measure(top, one, ks=ks, cold=cold, vectors=vectors)
        for top, one in zip(tops, evaluations, strict=True)
    ]


def rank_all(
    scores: Scores, evaluations: Sequence[Evaluation], *, k: int, seed: int = 0
) -> list[NDArray[np.int32]]:
    """Per evaluation [its users, k] rows of items, best first; ABSENT past the last candidate."""
    for one in evaluations:
        if not len(one.users):
            raise RejectedError(
                "no user has a target", field=one.name, remedy="use more data or another seed"
            )
    n_items = len(evaluations[0].candidates)
    lots = np.random.default_rng(seed).permutation(n_items).astype(np.uint32)
    tops = [np.full((len(one.users), k), ABSENT, dtype=np.int32) for one in evaluations]
    columns = [np.flatnonzero(one.candidates) for one in evaluations]
    everyone = np.unique(np.concatenate([one.users for one in evaluations])).astype(np.int64)
    block = max(1, BLOCK_BYTES // (8 * n_items))
    for start in range(0, len(everyone), block):
        rows = everyone[start : start + block]
        found = np.asarray(scores(rows), dtype=np.float32)
        if found.shape != (len(rows), n_items):
            raise RejectedError(
                f"scores of shape {found.shape}, expected {(len(rows), n_items)}",
                field=evaluations[0].name,
            )
        if np.isnan(found).any():
            raise RejectedError("a score is NaN", field=evaluations[0].name)
        keys = _ordered(found, lots, rows)
        for one, candidates, top in zip(evaluations, columns, tops, strict=True):
            here = np.isin(one.users, rows)
            mine = np.searchsorted(rows, one.users[here])
            top[here] = _top(keys[mine], one.masked[one.users[here]], candidates, k)
    return tops


def _top(
    keys: NDArray[np.int64], masked: Sparse, candidates: NDArray[np.int64], k: int
) -> NDArray[np.int32]:
    """[n, k] rows of items with the largest keys [n, n_items], the masked ones left out."""
    out = masked.tocoo()
    keys[out.row, out.col] = LOWEST
    keys = keys[:, candidates]
    best = _largest(keys, min(k, len(candidates)))
    top = np.full((len(keys), k), ABSENT, dtype=np.int32)
    chosen = candidates[best]
    chosen[np.take_along_axis(keys, best, axis=1) == LOWEST] = ABSENT
    top[:, : chosen.shape[1]] = chosen
    return top


def _ordered(
    scores: NDArray[np.float32], lots: NDArray[np.uint32], users: NDArray[np.int64]
) -> NDArray[np.int64]:
    """[n, m] integers in the order of the scores; equal scores in an order of each user's own.

    The upper 32 bits are the float's bits made monotone, the lower 32 the item's lot mixed with
    the user: the mixing (of MurmurHash3) is one to one, so all are different within a row.
    """
    bits = (scores + np.float32(0)).view(np.int32)  # + 0 turns -0.0 into 0.0
    bits = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)
    mixed = _mix(lots[None, :] ^ _mix(users.astype(np.uint32) + np.uint32(1))[:, None])
    return (bits.astype(np.int64) << 32) | mixed.astype(np.int64)


def _mix(values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    values = (values ^ (values >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    values = (values ^ (values >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return values ^ (values >> np.uint32(16))


def _largest(keys: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """[n, k] columns of the k largest keys, largest first."""
    if k < keys.shape[1]:
        best = np.argpartition(keys, keys.shape[1] - k, axis=1)[:, keys.shape[1] - k :]
    else:
        best = np.broadcast_to(np.arange(keys.shape[1]), keys.shape).copy()
    order = np.argsort(np.take_along_axis(keys, best, axis=1), axis=1)[:, ::-1]
    return np.take_along_axis(best, order, axis=1)


def measure(
    top: NDArray[np.int32],
    evaluation: Evaluation,
    *,
    ks: Sequence[int] = KS,
    cold: Mask | None = None,
    vectors: Matrix | None = None,
) -> Measured:
    """What a ranking [n_users, >= max(ks)] of `evaluation.users` is worth; see `evaluate`."""
    hits = _hits(top, evaluation)
    wanted = evaluation.targets.getnnz(axis=1)[evaluation.users].astype(np.float64)
    discount = 1.0 / np.log2(np.arange(2, top.shape[1] + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])
    per_user: dict[str, NDArray[np.float64]] = {}
    lists: dict[str, float] = {}
    for k in ks:
        found = hits[:, :k]
        total = found.sum(axis=1)
        first = np.where(total > 0, found.argmax(axis=1) + 1, 0)
        per_user[f"recall@{k}"] = total / wanted
        per_user[f"ndcg@{k}"] = (found @ discount[:k]) / ideal[np.minimum(wanted, k).astype(int)]
        per_user[f"precision@{k}"] = total / k
        per_user[f"mrr@{k}"] = np.divide(1.0, first, out=np.zeros(len(first)), where=first > 0)
        lists |= _of_lists(top[:, :k], k, evaluation.candidates, cold)
        if vectors is not None:
            lists[f"distance@{k}"] = intra_list_distance(top[:, :k], vectors)
    return Measured(evaluation.name, evaluation.users, per_user, lists, top)


def _hits(top: NDArray[np.int32], evaluation: Evaluation) -> Mask:
    width = len(evaluation.candidates)
    targets = evaluation.targets[evaluation.users].tocoo()
    keys = targets.row.astype(np.int64) * width + targets.col
    places = np.arange(len(top), dtype=np.int64)[:, None] * width + top
    return np.asarray(np.isin(places, keys) & (top != ABSENT))


def _of_lists(
    top: NDArray[np.int32], k: int, candidates: Mask, cold: Mask | None
) -> dict[str, float]:
    shown = top[top != ABSENT]
    exposure = np.bincount(shown, minlength=len(candidates))[candidates]
    found = {
        f"coverage@{k}": float((exposure > 0).mean()) if len(exposure) else 0.0,
        f"gini@{k}": gini(exposure),
    }
    if cold is not None:
        found[f"cold_share@{k}"] = float(cold[shown].mean()) if len(shown) else 0.0
    return found


def gini(exposure: NDArray[np.int64]) -> float:
    """Gini coefficient of counts [n]: 0 when all are equal, (n - 1) / n when one has them all.

    With x ascending: G = sum over i of (2 i - n - 1) x_i / (n sum x), i from 1.
    """
    total = float(exposure.sum())
    if not total:
        return 0.0
    n = len(exposure)
    ranks = 2 * np.arange(1, n + 1) - n - 1
    return float((ranks * np.sort(exposure)).sum() / (n * total))


def intra_list_distance(top: NDArray[np.int32], vectors: Matrix) -> float:
    """Mean over lists of the mean cosine distance (1 - cosine) between the items of a list.

    The sum over all ordered pairs of unit vectors is |sum of them|^2, of which m are an item with
    itself, so a list costs one sum. Items with a zero vector are left out; lists with fewer than
    two items left have no distance and are left out of the mean (0 if none has one).
    """
    norms = np.linalg.norm(vectors, axis=1)
    units = vectors / np.where(norms > 0, norms, 1)[:, None]
    distances = []
    for start in range(0, len(top), 1024):
        rows = top[start : start + 1024]
        usable = (rows != ABSENT) & (norms[rows] > 0)
        sums = np.einsum("nkd,nk->nd", units[rows], usable.astype(np.float32))
        m = usable.sum(axis=1).astype(np.float64)
        enough = m >= 2
        squared = (sums[enough].astype(np.float64) ** 2).sum(axis=1)
        distances.append(1 - (squared - m[enough]) / (m[enough] * (m[enough] - 1)))
    flat = np.concatenate(distances) if distances else np.zeros(0)
    return float(flat.mean()) if len(flat) else 0.0
