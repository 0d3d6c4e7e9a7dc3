"""The same-features rule: a learned option serves only where it beats the ridge on other items.

Five times a tenth of the items is held out as if it had just arrived, none of them an item that a
penalty or a recipe was chosen on. On each split the ridge and every option learn from the same
features of the same interactions, and NDCG@20 is compared split by split. An option is taken if its
mean gain over the ridge is above 0 and above two standard errors of the paired differences; of
several, the one with the largest gain. One that loses on the first two splits is out and is not
fitted again: of one whose mean passes, at most one split in five is lost (normal distribution), and
the first two one time in thirty. Where splits are so small that chance would decide, none is tried.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from domain.vectors import Matrix
from ranking.training.choosing import FOLDS, SELECTION_INTERACTIONS, Setting
from ranking.training.cold import ColdSplit, cold_splits
from ranking.training.data import TrainingData
from ranking.training.options import (
    Option,
    choose_recipe,
    fit_options,
    impossible,
    name_of,
    sums_of,
)
from ranking.training.solve import Sums, metric_of

SEEDS = 5

CHOSEN_ON = 1
"""Of the splits that penalties are chosen on, so many choose an option's recipe."""

STANDARD_ERRORS = 2.0
"""By so many the mean gain has to be above 0."""

LOST = 2
"""Splits: an option that is no better than the ridge on the first ones, so many, is out."""

LEAST_CANDIDATES = 20
LEAST_ASKED = 50
"""A split with fewer items, or fewer users who took one of them, does not tell options apart."""

RIDGE = "ridge"


@dataclass(frozen=True)
class Attempt:
    """An option beside the ridge.

    Attributes:
        name: of the option.
        recipe: the one that was chosen; None where it was not tried.
        validation: {recipe: NDCG@20} it was chosen by.
        ndcg: of the option on each split; fewer than SEEDS of one that was out before.
        gains: over the ridge on each of these.
        reason: why it was not tried.
    """

    name: str
    recipe: Option | None = None
    validation: Mapping[str, float] = field(default_factory=dict)
    ndcg: Sequence[float] = ()
    gains: Sequence[float] = ()
    reason: str = ""

    @property
    def gain(self) -> float:
        """The mean over the splits."""
        return float(np.mean(self.gains)) if self.gains else 0.0

    @property
    def error(self) -> float:
        """The standard error of that mean."""
        if len(self.gains) < SEEDS:
            return math.inf
        return float(np.std(self.gains, ddof=1) / math.sqrt(len(self.gains)))

    @property
    def wins(self) -> bool:
        """Whether it may serve."""
        return self.gain > max(0.0, STANDARD_ERRORS * self.error)

    def after(self, ndcg: float, ridge: float) -> Attempt:
        """With one split more: NDCG@20 of the option and of the ridge on it."""
        return replace(self, ndcg=[*self.ndcg, ndcg], gains=[*self.gains, ndcg - ridge])

    @property
    def out(self) -> bool:
        """Whether it lost so early that the other splits were not asked."""
        return len(self.gains) == LOST and max(self.gains) <= 0

    def report(self) -> dict[str, Any]:
        """For JSON; without an interval where the other splits were not asked."""
        if self.recipe is None:
            return {"not_tried": self.reason}
        half = STANDARD_ERRORS * self.error
        return {
            "recipe": asdict(self.recipe),
            "validation_ndcg": dict(self.validation),
            "ndcg": float(np.mean(self.ndcg)),
            "by_split": list(self.ndcg),
            "gain": self.gain,
            "interval": None if self.out else [self.gain - half, self.gain + half],
            "wins": self.wins,
        }

    def __str__(self) -> str:
        if self.recipe is None:
            return f"{self.name} not tried: {self.reason}"
        if self.out:
            lost = " and ".join(f"{gain:+.4f}" for gain in self.gains)
            return f"{self.name} out after {LOST} splits ({lost})"
        half = STANDARD_ERRORS * self.error
        return f"{self.name} {np.mean(self.ndcg):.4f} ({self.gain:+.4f} ± {half:.4f})"


@dataclass(frozen=True)
class Contest:
    """What came of it.

    Attributes:
        ridge: NDCG@20 of the ridge on each split.
        attempts: the options that were named.
    """

    ridge: Sequence[float] = ()
    attempts: Sequence[Attempt] = ()

    @property
    def winner(self) -> Option | None:
        """The option that serves; None: the ridge does."""
        winners = [one for one in self.attempts if one.wins]
        return max(winners, key=lambda one: one.gain).recipe if winners else None

    def report(self) -> dict[str, Any]:
        """For JSON; `told` is one line for people."""
        winner = self.winner
        return {
            "chosen": RIDGE if winner is None else name_of(winner),
            "ridge": {
                "ndcg": float(np.mean(self.ridge)) if self.ridge else None,
                "by_split": list(self.ridge),
            },
            **{one.name: one.report() for one in self.attempts},
            "told": str(self),
        }

    def __str__(self) -> str:
        winner = self.winner
        told = [f"{RIDGE if winner is None else name_of(winner)} serves"]
        if self.ridge:
            told.append(
                f"NDCG@20 on {len(self.ridge)} times a tenth of the items: ridge"
                f" {np.mean(self.ridge):.4f}"
            )
        return "; ".join([*told, *map(str, self.attempts)])


def compete(
    data: TrainingData,
    prior: Mapping[str, Matrix],
    setting: Setting,
    names: Sequence[str],
    *,
    seed: int = 0,
) -> Contest:
    """Set the options named beside the ridge.

    Looks at no more than SELECTION_INTERACTIONS.

    Args:
        prior: A0 by part.
        setting: of the ridge, as `choose` found it with the same seed.
    """
    sample = data.sampled(SELECTION_INTERACTIONS, seed)
    parts = list(cold_splits(sample, first=0, count=FOLDS + SEEDS, seed=seed)) if names else []
    if few := _too_few(parts):
        return Contest(attempts=[Attempt(name, reason=few) for name in names])
    recipe = replace(setting.recipe, k0=data.k0)
    attempts: dict[str, Attempt] = {}

    def made(split: ColdSplit) -> Sums:
        return sums_of(split.rest, recipe, prior)

    for name in names:
        reason = impossible(name, sample)
        if reason:
            attempts[name] = Attempt(name, reason=reason)
            continue
        option, scores = choose_recipe(name, parts[:CHOSEN_ON], made, setting.ridge, seed=seed)
        attempts[name] = Attempt(name, option, scores)
    ridge: list[float] = []
    for number, split in enumerate(parts[FOLDS:]):
        running = {
            name: one.recipe
            for name, one in attempts.items()
            if one.recipe is not None and not one.out
        }
        if not running:
            break
        sums = made(split)
        ridge.append(split.judge(sums.solve(setting.ridge, metric_of(data.blocks, setting.ridge))))
        tried = list(running.values())
        for one in fit_options(tried, split.rest, sums, setting.ridge, seed=number):
            name, found = name_of(one.option), split.judge(one.a, one.gates)
            attempts[name] = attempts[name].after(found, ridge[-1])
    return Contest(ridge, list(attempts.values()))


def _too_few(splits: Sequence[ColdSplit]) -> str:
    """Why chance would decide on these splits; empty where it would not."""
    if len(splits) < FOLDS + SEEDS:
        return "too few items that somebody took"
    items = min(len(one.candidates) for one in splits)
    users = min(len(one.rows) for one in splits)
    if items >= LEAST_CANDIDATES and users >= LEAST_ASKED:
        return ""
    return (
        f"{items} items held out and {users} users who took one, chance decides below"
        f" {LEAST_CANDIDATES} and {LEAST_ASKED}"
    )
