"""The projection A of f(u, i) = u^T A c_i + b_i, and the prior A0 that serves before training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from domain.errors import RejectedError
from domain.vectors import BlockMap, Matrix, Vector
from ranking.layout import PARTS, SOURCE_BLOCKS, FusionLike, Layout, layout_of, part_dims, rank_dim
from ranking.query import Query
from ranking.user import UserVector

FORMAT = 1
WEIGHTS_FILE = "projection.safetensors"
FACTS_FILE = "projection.json"


@dataclass(frozen=True, slots=True)
class Projection:
    """A in R^{d_u x d_i}, kept by the parts of u; a part without a matrix has a zero block.

    Attributes:
        version: names the content.
        fusion_version: the fusion whose vectors c_i it speaks of.
        layout: where the blocks of c_i lie.
        matrices: {part: [d_part, rank_dim] float32}.
    """

    version: str
    fusion_version: str
    layout: Layout
    matrices: Mapping[str, Matrix] = field(repr=False)
    _spans: Mapping[str, slice | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        spans = {part: _span(matrix) for part, matrix in self.matrices.items()}
        object.__setattr__(self, "_spans", spans)

    @property
    def dim(self) -> int:
        """Length of c_i and of the query."""
        return max(stop for _, stop in self.layout.values())

    def query(self, user: UserVector) -> Query:
        """A^T u, part by part.

        Raises:
            RejectedError: a part of u has another length than its matrix.
        """
        by_part: dict[str, Vector] = {}
        total = np.zeros(self.dim, dtype=np.float32)
        for part in PARTS:
            vector, matrix = user.parts.get(part), self.matrices.get(part)
            if vector is None or matrix is None:
                continue
            if vector.shape != (matrix.shape[0],):
                raise RejectedError(
                    f"the user's {part} part has {vector.shape[0]} numbers, projection"
                    f" {self.version} expects {matrix.shape[0]}",
                    remedy="train the projection with the encoders that serve",
                )
            span = self._spans[part]
            if span is None:
                by_part[part] = vector
            else:
                by_part[part] = np.zeros(self.dim, dtype=np.float32)
                by_part[part][span] = vector @ matrix[:, span]
            total += by_part[part]
        return Query(total, by_part)

    def through(self, part: str, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """What rows of one part of u ask for: [n, d_part] -> [n, dim] float64."""
        matrix = self.matrices.get(part)
        found = np.zeros((len(rows), self.dim))
        if matrix is None:
            return found
        span = self._spans[part]
        if span is None:
            return rows
        found[:, span] = rows @ matrix[:, span]
        return found

    def check(self, fusion: FusionLike) -> None:
        """Whether it may serve this fusion.

        Raises:
            RejectedError: it speaks of another fusion, has a wrong shape, or holds NaN or inf.
        """
        if self.fusion_version != fusion.version:
            raise RejectedError(
                f"projection {self.version} is for fusion {self.fusion_version},"
                f" {fusion.version} is active",
                field="fusion_version",
                remedy="train it again on the active fusion",
            )
        if self.layout != layout_of(fusion.blocks):
            raise RejectedError(
                f"blocks {self.layout} differ from the fusion's {layout_of(fusion.blocks)}",
                field="layout",
                remedy="train it again on the active fusion",
            )
        dims = part_dims(fusion.blocks)
        for part, matrix in self.matrices.items():
            if part not in PARTS:
                raise RejectedError(
                    "no such part of the user vector",
                    field=f"matrices.{part}",
                    remedy=f"use {', '.join(PARTS)}",
                )
            rows = dims.get(part, matrix.shape[0] if matrix.ndim else 0)
            if matrix.shape != (rows, self.dim) or matrix.dtype != np.float32:
                raise RejectedError(
                    f"{matrix.dtype} {list(matrix.shape)}, expected float32 {[rows, self.dim]}",
                    field=f"matrices.{part}",
                    remedy="train it again with the encoders that serve",
                )
            if not np.isfinite(matrix).all():
                raise RejectedError(
                    "holds NaN or infinity",
                    field=f"matrices.{part}",
                    remedy="train it again with stronger regularisation",
                )

    def save(self, folder: Path) -> None:
        """Write the artifact into a folder that exists."""
        weights = {part: np.ascontiguousarray(matrix) for part, matrix in self.matrices.items()}
        save_file(weights, folder / WEIGHTS_FILE)
        facts = {
            "format": FORMAT,
            "version": self.version,
            "fusion_version": self.fusion_version,
            "layout": {name: list(span) for name, span in self.layout.items()},
        }
        (folder / FACTS_FILE).write_text(json.dumps(facts, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, fusion: FusionLike) -> Projection:
        """Read an artifact and check it against the fusion that serves.

        Raises:
            RejectedError: it cannot be read or `check` refuses it.
        """
        try:
            facts = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
            if facts["format"] != FORMAT:
                raise ValueError(f"format {facts['format']}, this version reads {FORMAT}")
            found = cls(
                version=str(facts["version"]),
                fusion_version=str(facts["fusion_version"]),
                layout=_layout(facts["layout"]),
                matrices=load_file(folder / WEIGHTS_FILE),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            raise RejectedError(
                f"the projection in {folder} cannot be read: {error!r}",
                remedy="publish it again",
            ) from error
        found.check(fusion)
        return found


def _span(matrix: Matrix) -> slice | None:
    """The columns that hold anything but zeros, or None for an identity.

    The prior is block-structured, and its history part, the largest, is an identity: reading the
    zeros of both would cost more than the rest of a query.
    """
    if matrix.ndim != 2:
        return slice(0, 0)
    rows, columns = matrix.shape
    if rows == columns and np.array_equal(matrix, np.eye(rows, dtype=matrix.dtype)):
        return None
    used = np.flatnonzero(matrix.any(axis=0))
    return slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)


def _layout(spans: Mapping[str, Sequence[int]]) -> Layout:
    found = {str(name): (int(start), int(stop)) for name, (start, stop) in spans.items()}
    return dict(sorted(found.items(), key=lambda entry: entry[1]))


def projection(fusion: FusionLike, matrices: Mapping[str, Matrix]) -> Projection:
    """A projection named by its content.

    Raises:
        RejectedError: a matrix has a wrong shape or holds NaN or infinity.
    """
    digest = hashlib.sha256(fusion.version.encode())
    for part in sorted(matrices):
        digest.update(part.encode())
        digest.update(np.ascontiguousarray(matrices[part]).tobytes())
    made = Projection(
        version=f"a-{digest.hexdigest()[:12]}",
        fusion_version=fusion.version,
        layout=layout_of(fusion.blocks),
        matrices=dict(matrices),
    )
    made.check(fusion)
    return made


def prior(fusion: FusionLike) -> Projection:
    """A0, which serves when nothing has been learned (SCIENCE section 1).

    Block-structured: profile text reaches the text block, CLIP text the image block, each through
    that block's own whitening and weight; history reaches the whole vector by identity; the bias
    and the user model's own embedding reach nothing until they are learned.
    """
    blocks, dim = fusion.blocks, rank_dim(fusion.blocks)
    matrices: dict[str, Matrix] = {"history": np.eye(dim, dtype=np.float32)}
    for part, name in SOURCE_BLOCKS.items():
        for block in blocks:
            if block.name == name:
                matrices[part] = _into_block(block, dim)
    return Projection(f"prior-{fusion.version}", fusion.version, layout_of(blocks), matrices)


def _into_block(block: BlockMap, dim: int) -> Matrix:
    matrix = np.zeros((block.mean.shape[0], dim), dtype=np.float32)
    matrix[:, block.start : block.stop] = block.projection * np.float32(block.weight)
    return matrix
