"""What A is trained on, checked once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.errors import RejectedError
from domain.modality_gates import ModalityGates
from domain.vectors import BlockMap, Matrix
from ranking.layout import PARTS, part_dims, rank_dim
from ranking.training.users import user_layout, user_rows
from ranking.user import profile_rows

Sparse: TypeAlias = csr_matrix
"""[n_users, n_items] float32 weights > 0, indices in order, no pair twice."""

Double: TypeAlias = NDArray[np.float64]

PROFILE_PARTS = tuple(part for part in PARTS if part not in ("history", "one"))


@dataclass(frozen=True)
class TrainingData:
    """Items, who took them, and what is known of the users.

    Attributes:
        blocks: of the fusion that made the items.
        items: [n_items, d] float32, the fused content vectors c_i; a row of zeros has no content.
        interactions: [n_users, n_items] float32 weights > 0.
        profiles: {part: [n_users, d_part] float32}, raw embeddings of what users say; a row of
            zeros where a user says nothing.
        k0: how slowly history takes over from the profile, as it is served.
    """

    blocks: Sequence[BlockMap]
    items: Matrix
    interactions: Sparse
    profiles: Mapping[str, Matrix] = field(default_factory=dict)
    k0: float = 3.0

    def check(self) -> None:
        """Whether the parts fit together.

        Raises:
            RejectedError: a wrong shape, NaN or infinity, a weight that is not above 0.
        """
        users, items = self.interactions.shape
        if self.items.shape != (items, rank_dim(self.blocks)):
            raise RejectedError(
                f"{list(self.items.shape)}, expected {[items, rank_dim(self.blocks)]}",
                field="items",
            )
        weights = self.interactions.data
        if not (np.isfinite(weights).all() and (weights > 0).all()):
            raise RejectedError(
                "a weight is NaN, infinite or not above 0",
                field="interactions",
                remedy="leave such interactions out",
            )
        if not np.isfinite(self.items).all():
            raise RejectedError("holds NaN or infinity", field="items")
        dims = part_dims(self.blocks)
        for part, matrix in self.profiles.items():
            if part not in PROFILE_PARTS:
                raise RejectedError(
                    "no such part of the user vector",
                    field=f"profiles.{part}",
                    remedy=f"use {', '.join(PROFILE_PARTS)}",
                )
            shape = (users, dims.get(part, matrix.shape[-1]))
            if matrix.shape != shape or not np.isfinite(matrix).all():
                raise RejectedError(
                    f"{list(matrix.shape)}, expected {list(shape)}, all finite",
                    field=f"profiles.{part}",
                )

    def popularity(self) -> NDArray[np.int64]:
        """How many users took each item, [n_items]."""
        return np.bincount(self.interactions.indices, minlength=len(self.items))

    def gated(self, gates: ModalityGates) -> TrainingData:
        """The same with the items' vectors behind gates."""
        return replace(self, items=gates.apply(self.blocks, self.items))

    def of_users(self, rows: NDArray[np.int64]) -> TrainingData:
        """Only these users, [n] rows."""
        return replace(
            self,
            interactions=csr_matrix(self.interactions[rows]),
            profiles={part: matrix[rows] for part, matrix in self.profiles.items()},
        )

    def sampled(self, most: int, seed: int) -> TrainingData:
        """At most so many interactions, by whole users drawn by lot; itself where there are no
        more."""
        if self.interactions.nnz <= most:
            return self
        order = np.random.default_rng(seed).permutation(self.interactions.shape[0])
        counts = np.diff(self.interactions.indptr)[order]
        return self.of_users(np.sort(order[np.cumsum(counts) <= most]))

    def user_rows(self, users: NDArray[np.int64], history: csr_matrix) -> Double:
        """z of some users, [n, d_u] float64, with other histories than they are trained with.

        Args:
            users: [n] rows.
            history: [n, n_items], what is known of each.
        """
        said = {part: matrix[users] for part, matrix in self.profiles.items()}
        return user_rows(
            self.blocks,
            user_layout(self.blocks, self.profiles),
            profile_rows(self.blocks, said),
            history @ self.items,
            np.diff(history.indptr).astype(np.float64),
            self.k0,
        )

    def without_items(self, dropped: NDArray[np.bool_]) -> TrainingData:
        """The same with nobody having taken the items marked, [n_items] bool."""
        kept = csr_matrix(self.interactions.multiply(~dropped[None, :]))
        kept.eliminate_zeros()
        return replace(self, interactions=kept.astype(np.float32))
