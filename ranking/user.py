"""The user vector u: profile embeddings and history, centred and scaled so that A^T u is linear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.vectors import BlockMap, Matrix, Vector
from ranking.layout import SOURCE_BLOCKS

TINY = 1e-8
"""A vector shorter than this says nothing and counts as missing."""


@dataclass(frozen=True, slots=True)
class UserVector:
    """u in R^{d_u}, by part; a part that is missing is not there (masked).

    Attributes:
        parts: {part name: [d_part] float32}; "one" = [1.0] is always there.
    """

    parts: dict[str, Vector]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known of the user but that there is one."""
        return set(self.parts) <= {"one"}


def user_vector(
    blocks: Sequence[BlockMap],
    embeddings: Mapping[str, Vector],
    history: Vector | None,
    history_count: float,
    k0: float,
) -> UserVector:
    """u_t = rho * profile parts + (1 - rho) * history, rho = k0 / (k0 + n)  (SCIENCE section 5).

    A profile part e becomes (e - mean) / |(e - mean) @ P|, P being the whitening of the block it
    reaches, so that the prior A0, which is P, sends it to the unit-length block that an item with
    the same words would have. Together the profile parts reach a vector of unit length, as
    history does, so that rho weighs equals. Where only one of the two is known, it has weight 1.
    Demographics count as profile, but by themselves they say too little to take weight from
    history.

    Args:
        embeddings: any of "text" (the items' text encoder on the profile), "image_text" (the CLIP
            text tower on it), "profile" (the user model on it), "demographics" (their hashed
            tokens), each [d_part] float32.
        history: [rank_dim] float32 of `history_vector`, or None.
        history_count: n, how many items the history holds.
        k0: how slowly history takes over from the profile, > 0.
    """
    profiles = profile_rows(blocks, {name: one[None, :] for name, one in embeddings.items()})
    past = None if history is None else history[None, :]
    rows = user_parts(blocks, profiles, past, np.array([history_count]), k0)
    parts = {name: row[0].astype(np.float32) for name, row in rows.items() if row.any()}
    parts["one"] = np.ones(1, dtype=np.float32)
    return UserVector(parts)


def profile_rows(blocks: Sequence[BlockMap], profiles: Mapping[str, Matrix]) -> dict[str, Matrix]:
    """Profile parts of n users centred and scaled, before rho: {part: [n, d_part] float32}.

    Args:
        profiles: {part: [n, d_part]}, embeddings; a row of zeros says nothing.

    Returns:
        A row of zeros where an embedding says nothing or reaches no block.
    """
    found = {}
    for name, raw in profiles.items():
        block = next((one for one in blocks if one.name == SOURCE_BLOCKS.get(name)), None)
        if name in SOURCE_BLOCKS and (block is None or block.weight <= 0):
            found[name] = np.zeros(raw.shape, dtype=np.float32)
            continue
        rows = raw if block is None else raw - source_mean(block, name)
        lengths = row_lengths(rows if block is None else rows @ block.projection)
        lengths[(lengths <= TINY) | ~raw.any(axis=1)] = np.inf
        found[name] = (rows / lengths[:, None]).astype(np.float32)
    return found


def user_parts(
    blocks: Sequence[BlockMap],
    profiles: Mapping[str, Matrix],
    history: NDArray[np.floating] | None,
    counts: NDArray[np.floating],
    k0: float,
) -> dict[str, NDArray[np.floating]]:
    """The parts of `user_vector` for n users, without "one": {part: [n, d_part]}.

    Args:
        profiles: of `profile_rows`.
        history: [n, rank_dim], rows of unit length or zeros; None: nobody has one.
        counts: [n], how many items each history holds.
    """
    number = len(counts)
    there = {name: matrix.any(axis=1) for name, matrix in profiles.items()}
    known = np.zeros(number, dtype=bool)
    if history is not None:
        known = row_lengths(history) > TINY
    rho = np.where(known, k0 / (k0 + counts), 1.0)
    said, reached = np.zeros(number, dtype=bool), np.zeros(number)
    for name, present in there.items():
        if name != "demographics":
            said |= present
        for block in blocks:
            if SOURCE_BLOCKS.get(name) == block.name:
                reached += present * block.weight**2
    to_blocks = rho / np.sqrt(np.where(reached > 0, reached, 1.0))
    parts: dict[str, NDArray[np.floating]] = {
        name: matrix * (to_blocks if name in SOURCE_BLOCKS else rho)[:, None]
        for name, matrix in profiles.items()
    }
    if history is not None:
        parts["history"] = history * (known * np.where(said, 1.0 - rho, 1.0))[:, None]
    return parts


def row_lengths(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Euclidean length of each row, [n]."""
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", rows, rows)))


def source_mean(block: BlockMap, part: str) -> Vector:
    """What centres a query-side vector: its own tower's mean, never the other tower's.

    An embedding of the block's own encoder has the block's mean. The other tower's is known once
    a fit has seen queries; until then nothing is subtracted, because the image mean lies in
    another cone than CLIP's text vectors.
    """
    if part == block.name:
        return block.mean
    return block.query_means.get(part, np.zeros_like(block.mean))


def history_vector(
    vectors: Matrix, weights: ArrayLike, ages_s: ArrayLike, half_life_s: float
) -> Vector | None:
    """The decayed mean of a user's item vectors, of unit length.

    Each item counts weight * 2^(-age / half_life); ages are taken relative to the youngest, so
    that a user who was away for a year keeps their history.

    Args:
        vectors: [n, rank_dim] float32.
        weights: [n] > 0.
        ages_s: [n] seconds; what lies in the future counts as now.

    Returns:
        [rank_dim] float32, or None where there is nothing or everything cancels.
    """
    if len(vectors) == 0:
        return None
    mean = decayed(weights, ages_s, half_life_s) @ np.asarray(vectors, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    return (mean / length).astype(np.float32) if length > TINY else None


def decayed(weights: ArrayLike, ages_s: ArrayLike, half_life_s: float) -> NDArray[np.float64]:
    """The share of each of n >= 1 interactions in a history, [n] float64 that add up to 1."""
    ages = np.maximum(np.asarray(ages_s, dtype=np.float64), 0.0)
    found = np.asarray(weights, dtype=np.float64) * np.exp2(-(ages - ages.min()) / half_life_s)
    return np.asarray(found / found.sum(), dtype=np.float64)
