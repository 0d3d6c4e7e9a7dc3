"""Protocols: what a method may learn from, and what it is then asked.

`PROTOCOLS` names them for the command line; all but those in `UNDRAWN` are drawn by a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from evaluation.dataset import Dataset
from evaluation.splits.by_part import given, temporal
from evaluation.splits.item_cold import item_cold_start
from evaluation.splits.split import SEEDS, Evaluation, Split
from evaluation.splits.user_cold import user_cold_start
from evaluation.splits.warm_up import warm_up

__all__ = [
    "PROTOCOLS",
    "SEEDS",
    "UNDRAWN",
    "Evaluation",
    "Split",
    "default_protocol",
    "given",
    "item_cold_start",
    "temporal",
    "user_cold_start",
    "warm_up",
]


def _one(
    protocol: Callable[[Dataset, int], Split], dataset: Dataset, seed: int
) -> tuple[Split, ...]:
    return (protocol(dataset, seed),)


PROTOCOLS: Mapping[str, Callable[[Dataset, int], tuple[Split, ...]]] = {
    "item-cold": partial(_one, item_cold_start),
    "user-cold": partial(_one, user_cold_start),
    "user-cold-without-profile": partial(_one, partial(user_cold_start, profiles=False)),
    "temporal": partial(_one, temporal),
    "warm-up": warm_up,
    "given": partial(_one, given),
}
"""Name -> (data set, seed) -> the splits to fit on: one, or one per number of revealed pairs."""

UNDRAWN = frozenset({"temporal", "given"})
"""Protocols that have one split, whatever the seed."""


def default_protocol(dataset: Dataset) -> str:
    """The split that came with the data where there is one, else item cold start."""
    brings_parts = dataset.given is not None and dataset.given.part is not None
    return "given" if brings_parts else "item-cold"
