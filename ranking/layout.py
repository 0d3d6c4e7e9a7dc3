"""Where each modality's block lies in the fused vector, and how long each part of a user is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from domain.vectors import DEMOGRAPHICS_DIM, BlockMap

PARTS = ("text", "image_text", "profile", "demographics", "history", "one")
"""The parts of the user vector u = [text; image_text; profile; demographics; history; 1]."""

SOURCE_BLOCKS = {"text": "text", "image_text": "image"}
"""Which block a profile part reaches without training: the one whose encoder shares its space."""

Layout: TypeAlias = dict[str, tuple[int, int]]
"""{block name: (start, stop)} in the fused vector, in order of start."""


class FusionLike(Protocol):
    """What ranking needs to know of a fusion."""

    @property
    def version(self) -> str:
        """Changes whenever the fused vectors change."""

    @property
    def blocks(self) -> tuple[BlockMap, ...]:
        """The blocks that make up the fused vector."""


def layout_of(blocks: Sequence[BlockMap]) -> Layout:
    """The span of every block, in order of position."""
    return {
        block.name: (block.start, block.stop)
        for block in sorted(blocks, key=lambda block: block.start)
    }


def rank_dim(blocks: Sequence[BlockMap]) -> int:
    """Length of the fused vector."""
    return sum(block.dim for block in blocks)


def part_dims(blocks: Sequence[BlockMap]) -> Mapping[str, int]:
    """Length of every part of u that follows from the fusion; "profile" is the user model's own."""
    raw = {block.name: block.mean.shape[0] for block in blocks}
    reached = {part: raw[name] for part, name in SOURCE_BLOCKS.items() if name in raw}
    return {
        **reached,
        "demographics": DEMOGRAPHICS_DIM,
        "history": rank_dim(blocks),
        "one": 1,
    }
