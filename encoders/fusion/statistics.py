"""Mean and soft whitening of one block, from sums over the catalogue."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from domain.vectors import BlockMap, Matrix, Vector
from encoders.fusion.blocks import Double

MIN_ITEMS = 16
"""Below this many vectors a block has no statistics worth the name and passes through."""

_CONSTANT = 1e-10
"""Variance below this share of the squared mean is rounding: the block passes through."""


@dataclass(slots=True)
class Moments:
    """Running sums of one block around a fixed shift, in float64."""

    dim: int
    count: int = 0
    shift: Double = field(default_factory=lambda: np.zeros(0))
    total: Double = field(default_factory=lambda: np.zeros(0))
    outer: Double = field(default_factory=lambda: np.zeros((0, 0)))

    def add(self, rows: Matrix) -> None:
        """Count rows [n, dim] in. The first rows set the shift, which keeps sums small."""
        wide = rows.astype(np.float64)
        if self.count == 0:
            self.shift = wide.mean(axis=0)
            self.total = np.zeros(self.dim)
            self.outer = np.zeros((self.dim, self.dim))
        wide -= self.shift
        self.count += len(wide)
        self.total += wide.sum(axis=0)
        self.outer += wide.T @ wide

    def mean(self) -> Double:
        """[dim] mean."""
        mean: Double = self.shift + self.total / self.count
        return mean

    def covariance(self) -> Double:
        """[dim, dim] maximum-likelihood covariance."""
        around = self.total / self.count
        covariance: Double = self.outer / self.count - np.outer(around, around)
        return covariance


def shrinkage(covariance: Double, count: int) -> float:
    """Share of the spherical target that the OAS estimator mixes in, 0 to 1.

    Chen, Wiesel, Eldar, Hero, "Shrinkage algorithms for MMSE covariance estimation", IEEE
    Transactions on Signal Processing 58(10), 2010, eq. 23.
    """
    dim = len(covariance)
    trace = float(np.trace(covariance))
    # relative to the mean variance, so that no scale of the data can over- or underflow
    relative = covariance * (dim / trace)
    square = float(np.einsum("ij,ij->", relative, relative))
    numerator = (1 - 2 / dim) * square + dim**2
    denominator = (count + 1 - 2 / dim) * (square - dim)
    return 1.0 if denominator <= 0 else float(np.clip(numerator / denominator, 0.0, 1.0))


def soft_whitening(covariance: Double, count: int, block_dim: int) -> Matrix:
    """The map x -> eigenvectors^T x * eigenvalue^-0.25, reduced to the strongest dimensions.

    The whole is scaled so that the catalogue's centred vectors leave it with a root mean square
    norm of 1. Each eigenvector's sign is fixed, so that the same sums give the same map.

    Returns:
        projection [dim, min(dim, block_dim)] float32.
    """
    dim = len(covariance)
    rho = shrinkage(covariance, count)
    level = float(np.trace(covariance)) / dim
    relative = covariance * ((1 - rho) / level)
    relative[np.diag_indices(dim)] += rho
    values, vectors = np.linalg.eigh(relative)
    kept = slice(None, -min(dim, block_dim) - 1, -1)
    values, vectors = values[kept], vectors[:, kept]
    values = np.maximum(values, 1e-12 * values[0])
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])
    norm = np.sqrt(level * np.sqrt(values).sum())
    projection: Matrix = (vectors * (values**-0.25 / norm)).astype(np.float32)
    return projection


def fitted_block(
    moments: Moments, name: str, block_dim: int, weight: float, start: int
) -> BlockMap | None:
    """The block's map, or None where there is too little to fit one from."""
    if moments.count < MIN_ITEMS:
        return None
    mean, covariance = moments.mean(), moments.covariance()
    if float(np.trace(covariance)) <= _CONSTANT * float(mean @ mean):
        return None
    projection = soft_whitening(covariance, moments.count, block_dim)
    if not np.isfinite(projection).all():
        return None
    stop = start + projection.shape[1]
    return BlockMap(name, mean.astype(np.float32), projection, weight, start, stop)


def passthrough_block(name: str, raw_dim: int, weight: float, start: int) -> BlockMap:
    """The block as it is: no centring, no whitening, no reduction."""
    mean: Vector = np.zeros(raw_dim, dtype=np.float32)
    identity: Matrix = np.eye(raw_dim, dtype=np.float32)
    return BlockMap(name, mean, identity, weight, start, start + raw_dim)
