"""Learned options beside the ridge: each gives an A of the same shape from the same features.

Of an option there are several recipes, and they are chosen as the penalties are, on the same items
held out. Whether the best of them takes the ridge's place is another question, asked on other
items (`ranking.training.contest`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TypeAlias

import numpy as np

from domain.vectors import Matrix
from ranking.training.cold import ColdSplit
from ranking.training.data import Double, TrainingData
from ranking.training.distillation import Distillation, distilled, taught
from ranking.training.factors import EASE_ITEMS
from ranking.training.infonce import InfoNce, fit_infonce, mixed
from ranking.training.solve import Ridge, Sums, item_gram, metric_of, stacked
from ranking.training.statistics import Recipe, Statistics

Option: TypeAlias = InfoNce | Distillation

INFONCE, DISTILLATION = "infonce", "ease-distillation"

RECIPES: Mapping[str, Sequence[Option]] = {
    INFONCE: tuple(InfoNce(decay, mix=mix) for decay in (1e-4, 1e-2) for mix in (1.0, 0.5)),
    DISTILLATION: tuple(
        Distillation(strength, mix) for strength in (100.0, 1000.0) for mix in (0.25, 0.5, 1.0)
    ),
}
"""What each option is chosen from. Those that share a teacher or a descent stand together."""


def name_of(option: Option) -> str:
    """As it is called in settings and reports."""
    return INFONCE if isinstance(option, InfoNce) else DISTILLATION


def impossible(name: str, data: TrainingData) -> str:
    """Why an option cannot be tried on these data; empty where it can."""
    taken = len(np.unique(data.interactions.indices))
    if name == DISTILLATION and taken > EASE_ITEMS:
        return f"EASE inverts a matrix of {taken:,} items, the limit is {EASE_ITEMS:,}"
    return ""


def sums_of(data: TrainingData, recipe: Recipe, prior: Mapping[str, Matrix]) -> Sums:
    """What the ridge is solved from; the options start from it, too.

    Args:
        prior: A0 by part.
    """
    statistics = Statistics.of(data, recipe)
    gram = item_gram(data.items, recipe.weights(data.popularity()))
    return Sums(statistics, gram, stacked(statistics.layout, prior, data.items.shape[1]))


def fit_options(
    options: Sequence[Option], data: TrainingData, sums: Sums, ridge: Ridge, *, seed: int = 0
) -> Iterator[tuple[Option, Double]]:
    """(recipe, its A stacked by the parts of z, [d_u, d]), one after the other.

    Args:
        sums: `sums_of` the data.
        ridge: the penalties that the ridge was given.
    """
    for shared, group in groupby(options, key=_shared):
        if isinstance(shared, InfoNce):
            descended = fit_infonce(data, sums.prior, shared, seed=seed)
            for option in group:
                assert isinstance(option, InfoNce)
                if option.mix == 1.0:
                    yield option, descended
                else:
                    closed = sums.solve(ridge, metric_of(data.blocks, ridge))
                    yield option, mixed(closed, descended, option.mix, sums)
        else:
            teacher = taught(data, sums.statistics, shared)
            for option in group:
                assert isinstance(option, Distillation)
                yield option, distilled(sums, teacher, option.mix, ridge, data)


def _shared(option: Option) -> InfoNce | float:
    """What options that differ in their mix alone have in common: a descent, or a teacher."""
    return replace(option, mix=1.0) if isinstance(option, InfoNce) else option.strength


def choose_recipe(
    name: str,
    splits: Sequence[ColdSplit],
    made: Callable[[ColdSplit], Sums],
    ridge: Ridge,
    *,
    seed: int = 0,
) -> tuple[Option, dict[str, float]]:
    """The recipe of an option with the best mean NDCG@20; of equals the first.

    Args:
        made: the sums of a split.
    """
    scores: dict[Option, list[float]] = {option: [] for option in RECIPES[name]}
    for split in splits:
        for option, a in fit_options(RECIPES[name], split.rest, made(split), ridge, seed=seed):
            scores[option].append(split.judge(a))
    means = {option: float(np.mean(values)) for option, values in scores.items()}
    return max(means, key=means.__getitem__), {
        described(option): mean for option, mean in means.items()
    }


def described(option: Option) -> str:
    """The parts of a recipe that are chosen."""
    if isinstance(option, InfoNce):
        return f"decay={option.decay:g} mix={option.mix:g}"
    return f"strength={option.strength:g} mix={option.mix:g}"
