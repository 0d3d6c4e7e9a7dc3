"""Drawing from who took what: pairs by lot, row by row."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ranking.training.data import Sparse

Lots: TypeAlias = NDArray[np.uint32] | NDArray[np.float64]


def owners(interactions: Sparse) -> NDArray[np.int64]:
    """[nnz] the row of each pair."""
    return np.repeat(np.arange(interactions.shape[0]), np.diff(interactions.indptr))


def turns(groups: NDArray[np.integer], lots: Lots, count: int) -> NDArray[np.int64]:
    """[n] the place, from 0, of each of n pairs within its group, in order of its lot.

    Args:
        groups: [n] below `count`.
        lots: [n] uint32, or floats from 0 to below 1; 32 bits of them count.
    """
    order = np.argsort(_keys(groups, lots))
    sizes = np.bincount(groups, minlength=count)
    found = np.empty(len(groups), dtype=np.int64)
    found[order] = np.arange(len(groups)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return found


def _keys(groups: NDArray[np.integer], lots: Lots) -> NDArray[np.uint64]:
    """One number for each pair, by which they lie by group and then by lot: sorted many times
    faster than two."""
    if lots.dtype == np.float64:
        lots = lots * (1 << 32)
    keys: NDArray[np.uint64] = groups.astype(np.uint64) << np.uint64(32)
    return keys | lots.astype(np.uint64)


def only(interactions: Sparse, kept: NDArray[np.bool_]) -> csr_matrix:
    """The pairs marked, [nnz] bool in the order of the rows."""
    before = np.concatenate([[0], np.cumsum(kept)])
    return csr_matrix(
        (interactions.data[kept], interactions.indices[kept], before[interactions.indptr]),
        shape=interactions.shape,
        dtype=np.float32,
    )


def drawn(interactions: Sparse, count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """[nnz] marks `count` pairs of each row by lot, all of a row that has no more."""
    lots = rng.random(interactions.nnz)
    return turns(owners(interactions), lots, interactions.shape[0]) < count


def shown(
    interactions: Sparse, count: int, rng: np.random.Generator
) -> tuple[csr_matrix, csr_matrix]:
    """(`count` pairs of each row by lot, the rest)."""
    marked = drawn(interactions, count, rng)
    return only(interactions, marked), only(interactions, ~marked)


def hold_out(
    interactions: Sparse, share: float, rng: np.random.Generator
) -> tuple[csr_matrix, csr_matrix]:
    """(the rest, what is hidden): a share of the pairs of users who have more than one; everybody
    keeps at least one."""
    lots = rng.random(interactions.nnz)
    active = np.diff(interactions.indptr) > 0
    least = np.ones(interactions.shape[0])
    if active.any():
        least[active] = np.minimum.reduceat(lots, interactions.indptr[:-1][active])
    hidden = (lots > 1.0 - share) & (lots > least[owners(interactions)])
    return only(interactions, ~hidden), only(interactions, hidden)
