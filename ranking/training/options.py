"""Learned options beside the ridge: each gives an A of the same shape from the same features, and
gated fusion the gates of the items' modalities besides.

Of an option there are several recipes, and they are chosen as the penalties are, on the same items
held out. Whether the best of them takes the ridge's place is another question, asked on other
items (`ranking.training.contest`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TypeAlias

import numpy as np

from domain.modality_gates import ModalityGates
from domain.vectors import Matrix
from ranking.training.cold import ColdSplit
from ranking.training.data import Double, TrainingData
from ranking.training.distillation import Distillation, distilled, taught
from ranking.training.factors import EASE_ITEMS
from ranking.training.gated import GatedFusion, fit_gates
from ranking.training.infonce import InfoNce, fit_infonce, mixed
from ranking.training.solve import Ridge, Sums, item_gram, metric_of, stacked
from ranking.training.statistics import Recipe, Statistics

Option: TypeAlias = InfoNce | Distillation | GatedFusion

INFONCE, DISTILLATION, GATED = "infonce", "ease-distillation", "gated-fusion"

RECIPES: Mapping[str, Sequence[Option]] = {
    INFONCE: tuple(InfoNce(decay, mix=mix) for decay in (1e-4, 1e-2) for mix in (1.0, 0.5)),
    DISTILLATION: tuple(
        Distillation(strength, mix) for strength in (100.0, 1000.0) for mix in (0.25, 0.5, 1.0)
    ),
    GATED: tuple(GatedFusion(mix=mix) for mix in (1.0, 0.5)),
}
"""What each option is chosen from. Those that share a teacher or a descent stand together."""


@dataclass(frozen=True)
class Made:
    """An option that was fitted.

    Attributes:
        option: by this recipe.
        a: stacked by the parts of z, [d_u, d].
        gates: that the items' vectors have to be behind for it; None where they stay as they are.
        sums: behind the gates; None without.
    """

    option: Option
    a: Double = field(repr=False)
    gates: ModalityGates | None = None
    sums: Sums | None = field(default=None, repr=False)


def name_of(option: Option) -> str:
    """As it is called in settings and reports."""
    if isinstance(option, GatedFusion):
        return GATED
    return INFONCE if isinstance(option, InfoNce) else DISTILLATION


def impossible(name: str, data: TrainingData) -> str:
    """Why an option cannot be tried on these data; empty where it can."""
    taken = len(np.unique(data.interactions.indices))
    if name == DISTILLATION and taken > EASE_ITEMS:
        return f"EASE inverts a matrix of {taken:,} items, the limit is {EASE_ITEMS:,}"
    if name == GATED and len(data.blocks) < 2:
        return "items have one modality alone"
    return ""


def sums_of(data: TrainingData, recipe: Recipe, prior: Mapping[str, Matrix]) -> Sums:
    """What the ridge is solved from; the options start from it, too.

    Args:
        prior: A0 by part.
    """
    statistics, gram = summed(data, recipe)
    return Sums(statistics, gram, stacked(statistics.layout, prior, data.items.shape[1]))


def summed(data: TrainingData, recipe: Recipe) -> tuple[Statistics, Double]:
    """G and M of the pairs, and H of the items that the data have."""
    gram = item_gram(data.items, recipe.weights(data.popularity()))
    return Statistics.of(data, recipe), gram


def fit_options(
    options: Sequence[Option], data: TrainingData, sums: Sums, ridge: Ridge, *, seed: int = 0
) -> Iterator[Made]:
    """Fit them, one after the other.

    Args:
        sums: `sums_of` the data.
        ridge: the penalties that the ridge was given.
    """
    for shared, group in groupby(options, key=_shared):
        if isinstance(shared, InfoNce):
            descended = fit_infonce(data, sums.prior, shared, seed=seed)
            for option in group:
                yield Made(option, mixed_with_ridge(descended, option, data, sums, ridge))
        elif isinstance(shared, GatedFusion):
            gates, descended = fit_gates(data, sums.prior, shared, seed=seed)
            behind = data.gated(gates)
            theirs = Sums(*summed(behind, sums.statistics.recipe), sums.prior)
            for option in group:
                yield Made(
                    option,
                    mixed_with_ridge(descended, option, behind, theirs, ridge),
                    gates,
                    theirs,
                )
        else:
            teacher = taught(data, sums.statistics, shared)
            for option in group:
                yield Made(option, distilled(sums, teacher, option.mix, ridge, data))


def mixed_with_ridge(
    descended: Double, option: Option, data: TrainingData, sums: Sums, ridge: Ridge
) -> Double:
    """A of an option that is descended, in its share, [d_u, d]; the rest is the ridge's.

    Args:
        descended: by the same recipe with a share of 1.
    """
    if option.mix == 1.0:
        return descended
    closed = sums.solve(ridge, metric_of(data.blocks, ridge))
    return mixed(closed, descended, option.mix, sums)


def _shared(option: Option) -> InfoNce | GatedFusion | float:
    """What options that differ in their mix alone have in common: a descent, or a teacher."""
    return option.strength if isinstance(option, Distillation) else replace(option, mix=1.0)


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
        for one in fit_options(RECIPES[name], split.rest, made(split), ridge, seed=seed):
            scores[one.option].append(split.judge(one.a, one.gates))
    means = {option: float(np.mean(values)) for option, values in scores.items()}
    return max(means, key=means.__getitem__), {
        described(option): mean for option, mean in means.items()
    }


def described(option: Option) -> str:
    """The parts of a recipe that are chosen."""
    if isinstance(option, Distillation):
        return f"strength={option.strength:g} mix={option.mix:g}"
    return f"decay={option.decay:g} mix={option.mix:g}"
