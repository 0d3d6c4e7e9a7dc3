"""One block: checked raw vectors in, unit vectors of the block out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from domain.errors import PermanentError, RejectedError
from domain.vectors import BlockMap, Matrix, Vector
from encoders.attributes import ATTRIBUTES

Double: TypeAlias = NDArray[np.float64]
"""float64, any shape: what sums and norms are taken in."""

DEFAULT_WEIGHTS = {ATTRIBUTES: 0.7}
"""Of blocks that do not count 1 (docs/fusion.md has the measurement)."""

_CANCELLED = 1e-6
"""A centred vector this small beside the raw one is rounding, not direction (float32: 6e-8)."""


def check_dims(dims: Mapping[str, int]) -> None:
    """Refuse an empty layout or a block without dimensions.

    Raises:
        RejectedError: always with the block's name.
    """
    if not dims:
        raise RejectedError("a fusion needs at least one block")
    for name, dim in dims.items():
        if not name or dim < 1:
            raise RejectedError(f"block {name!r} has {dim} dimensions")


def check_weights(weights: Mapping[str, float], dims: Mapping[str, int]) -> dict[str, float]:
    """The weight of every block, its default where none is set.

    Raises:
        RejectedError: a weight names no block, or is not a positive finite number.
    """
    for name, weight in weights.items():
        if name not in dims:
            raise RejectedError(
                f"weight for an unknown block {name!r}",
                field="FIRSTLIGHT_FUSION_WEIGHTS",
                remedy=f"the blocks are {', '.join(dims)}",
            )
        if not (np.isfinite(weight) and weight > 0):
            raise RejectedError(
                f"the weight of block {name!r} is {weight}",
                field="FIRSTLIGHT_FUSION_WEIGHTS",
                remedy="a weight is a finite number above 0",
            )
    return {name: float(weights.get(name, DEFAULT_WEIGHTS.get(name, 1.0))) for name in dims}


def stack(name: str, dim: int, vectors: Sequence[Vector]) -> Matrix:
    """The raw vectors of one block as [n, dim] float32.

    Raises:
        PermanentError: a vector has another shape, or NaN, inf or nothing but zeros in it.
    """
    for position, vector in enumerate(vectors):
        if vector.shape != (dim,):
            raise PermanentError(
                f"raw vector {position} has shape {vector.shape}, not ({dim},)", field=name
            )
    rows = np.asarray(vectors, dtype=np.float32)
    good = np.isfinite(rows).all(axis=1) & rows.any(axis=1)
    if not good.all():
        position = int(np.argmin(good))
        raise PermanentError(f"raw vector {position} is zero, NaN or infinite", field=name)
    return rows


def unit_rows(rows: Double) -> Double:
    """Rows over their norms; a zero row stays zero."""
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    norms[norms == 0] = 1.0
    scaled: Double = rows / norms[:, None]
    return scaled


def _peaks(rows: Double) -> Double:
    peaks: Double = np.abs(rows).max(axis=1)
    return peaks


def _to_unit_peak(rows: Double) -> Matrix:
    """Rows scaled so that their largest entry is 1: no product over- or underflows."""
    peaks = _peaks(rows)
    peaks[peaks == 0] = 1.0
    return (rows / peaks[:, None]).astype(np.float32)


def project(block: BlockMap, raw: Matrix, *, identity: bool = False) -> Double:
    """normalise((raw - mean) @ projection), never a zero row.

    A vector that equals the mean has no direction once centred: it keeps its uncentred one, and
    where the projection drops that too, the constant one.

    Args:
        block: the map.
        raw: [n, raw_dim] float32, finite, no zero row.
        identity: the map is a pass-through, so that the product can be left out.

    Returns:
        [n, dim] float64, unit norm.
    """
    plain = raw.astype(np.float64)
    if identity:
        return unit_rows(plain / _peaks(plain)[:, None])
    centred = plain - block.mean
    still = _peaks(centred) <= _CANCELLED * _peaks(plain)
    centred[still] = plain[still]
    mapped = (_to_unit_peak(centred) @ block.projection).astype(np.float64)
    peaks = _peaks(mapped)
    lost = peaks <= _CANCELLED * float(np.abs(block.projection).max(initial=0.0))
    mapped[lost] = 1.0
    peaks[lost] = 1.0
    return unit_rows(mapped / peaks[:, None])
