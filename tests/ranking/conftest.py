"""A small fusion with known maps, and vectors to go with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from domain.vectors import BlockMap, Vector


@dataclass(frozen=True)
class SmallFusion:
    """The least that ranking asks of a fusion, and the fusing formula itself."""

    version: str
    blocks: tuple[BlockMap, ...]

    def fuse(self, vectors: dict[str, Vector]) -> Vector:
        fused = np.zeros(sum(block.dim for block in self.blocks), dtype=np.float32)
        for block in self.blocks:
            if block.name in vectors:
                mapped = (vectors[block.name] - block.mean) @ block.projection
                fused[block.start : block.stop] = block.weight * mapped / np.linalg.norm(mapped)
        return (fused / np.linalg.norm(fused)).astype(np.float32)


def make_fusion(seed: int = 0, version: str = "fit-test", *, passthrough: bool = False):
    random = np.random.default_rng(seed)
    blocks, start = [], 0
    for name, raw, dim, weight in (("text", 12, 6, 1.0), ("image", 10, 5, 0.5), ("audio", 8, 4, 1)):
        if passthrough:
            mean, matrix, dim = np.zeros(raw), np.eye(raw), raw
        else:
            mean, matrix = random.normal(size=raw) * 0.3, random.normal(size=(raw, dim))
        means = (
            {"image_text": random.normal(size=raw).astype(np.float32)} if name == "image" else {}
        )
        blocks.append(
            BlockMap(
                name=name,
                mean=mean.astype(np.float32),
                projection=matrix.astype(np.float32),
                weight=float(weight),
                start=start,
                stop=start + dim,
                query_means={} if passthrough else means,
            )
        )
        start += dim
    return SmallFusion(version, tuple(blocks))


@pytest.fixture
def fusion() -> SmallFusion:
    return make_fusion()


@pytest.fixture
def passthrough() -> SmallFusion:
    return make_fusion(version="passthrough-test", passthrough=True)
