"""Penalties and damping, chosen by NDCG@20 on items held out as if they had just arrived."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from domain.vectors import Matrix
from ranking.training.cold import ColdSplit, cold_splits
from ranking.training.data import Double, TrainingData
from ranking.training.options import Option
from ranking.training.solve import Ridge, Sums, item_gram, metric_of, stacked
from ranking.training.statistics import Recipe, Statistics

FOLDS = 3
"""Splits that the penalties are chosen on."""

SELECTION_INTERACTIONS = 2_000_000
"""Choosing looks at no more interactions than these; the fit looks at all."""

USER_RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
ITEM_RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
LEAST_USERS = 50
"""With fewer A shrinks toward the prior untried: they are asked about themselves, and what was
learned of a few people alone always answers them best."""

METRICS = (1.0, 0.0)
ALPHAS = (0.25, 0.0)

START = Ridge(users=3.0, items=1.0)
"""At which the metric and the prior are compared."""

SCALES = (1.0, 0.5, 0.25, 0.0)
"""Of a block: how much of it is left to the learned part of A, from all to nothing."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything that is chosen on validation.

    Attributes:
        option: what takes the ridge's place, made with the same recipe and penalties.
    """

    recipe: Recipe = field(default_factory=Recipe)
    ridge: Ridge = field(default_factory=Ridge)
    option: Option | None = None


def choose(
    data: TrainingData, prior: Mapping[str, Matrix], *, seed: int = 0
) -> tuple[Setting, dict[str, float]]:
    """The setting whose A ranks held-out items best by NDCG@20, one group after the other.

    First the metric and the prior, then l1 and l2 together, the damping, the scale of each block,
    and l1 and l2 once more near the best. A tie goes to what was tried first.
    """
    sample = data.sampled(SELECTION_INTERACTIONS, seed)
    folds = [_Fold(one, prior) for one in cold_splits(sample, first=0, count=FOLDS, seed=seed)]
    if not folds:
        return Setting(Recipe(k0=data.k0)), {}
    tried: dict[Setting, float] = {}

    def judged(setting: Setting) -> float:
        if setting not in tried:
            tried[setting] = float(np.mean([fold.judge(setting) for fold in folds]))
        return tried[setting]

    users = np.count_nonzero(np.diff(data.interactions.indptr))
    priors = (True, False) if users >= LEAST_USERS else (True,)
    best = max(_kinds(Setting(Recipe(k0=data.k0), START), priors), key=judged)
    best = max(_ridges(best, USER_RIDGES, ITEM_RIDGES), key=judged)
    best = max(_alphas(best), key=judged)
    for number in range(len(data.blocks) if len(data.blocks) > 1 else 0):
        best = max(_scales(best, number, len(data.blocks)), key=judged)
    best = max(
        _ridges(best, _near(USER_RIDGES, best.ridge.users), _near(ITEM_RIDGES, best.ridge.items)),
        key=judged,
    )
    return best, {_named(setting): score for setting, score in tried.items()}


@dataclass
class _Fold:
    """A split, and what was computed for it."""

    split: ColdSplit
    prior: Mapping[str, Matrix]

    def __post_init__(self) -> None:
        self._sums: dict[float, Sums] = {}
        self._halves: dict[Hashable, Double] = {}
        self._space: Hashable = None

    def judge(self, setting: Setting) -> float:
        """NDCG@20 of A by this setting.

        What a user and what an item bring to a score is kept for as long as the metric and the
        damping stay: each l1 and each l2 then costs one factorisation, not each pair.
        """
        ridge, sums = setting.ridge, self._sums_of(setting.recipe)
        metric = metric_of(self.split.rest.blocks, ridge)
        space = (setting.recipe, ridge.metric, ridge.blocks)
        if space != self._space:
            self._space, self._halves = space, {}
        users = self._half(
            ("users", ridge.users, ridge.prior), lambda: self.split.rows @ sums.users(ridge, metric)
        )
        items = self._half(
            ("items", ridge.items), lambda: sums.items(ridge, metric, self.split.candidates)
        )
        scores = users @ items
        if ridge.prior:
            scores += sums.scale * (self.split.rows @ sums.prior) @ self.split.candidates.T
        return self.split.ndcg(scores)

    def _half(self, key: Hashable, made: Callable[[], Double]) -> Double:
        if key not in self._halves:
            self._halves[key] = made()
        return self._halves[key]

    def _sums_of(self, recipe: Recipe) -> Sums:
        if recipe.alpha not in self._sums:
            first, rest = next(iter(self._sums.values()), None), self.split.rest
            made = (
                Statistics.of(rest, recipe)
                if first is None
                else first.statistics.damped(rest, recipe.alpha)
            )
            known = stacked(made.layout, self.prior, rest.items.shape[1])
            gram = item_gram(rest.items, recipe.weights(rest.popularity()))
            self._sums[recipe.alpha] = Sums(made, gram, known)
        return self._sums[recipe.alpha]


# ---------------------------------------------------------------------- what is tried


def _ridges(base: Setting, users: Iterable[float], items: Iterable[float]) -> list[Setting]:
    return [
        replace(base, ridge=replace(base.ridge, users=one, items=other))
        for one, other in product(users, items)
    ]


def _near(grid: Sequence[float], chosen: float) -> Sequence[float]:
    at = grid.index(chosen)
    return grid[max(at - 1, 0) : at + 2]


def _kinds(base: Setting, priors: Sequence[bool]) -> list[Setting]:
    return [
        replace(base, ridge=replace(base.ridge, metric=one, prior=other))
        for one, other in product(METRICS, priors)
    ]


def _alphas(base: Setting) -> list[Setting]:
    return [replace(base, recipe=replace(base.recipe, alpha=one)) for one in ALPHAS]


def _scales(base: Setting, number: int, count: int) -> list[Setting]:
    """Of one block; one block at least stays."""
    before = base.ridge.blocks or (1.0,) * count
    found = []
    for scale in SCALES:
        blocks = (*before[:number], scale, *before[number + 1 :])
        if any(blocks):
            found.append(replace(base, ridge=replace(base.ridge, blocks=blocks)))
    return found


def _named(setting: Setting) -> str:
    ridge = setting.ridge
    blocks = f" blocks={'/'.join(f'{one:g}' for one in ridge.blocks)}" if ridge.blocks else ""
    return (
        f"alpha={setting.recipe.alpha:g} l1={ridge.users:g} l2={ridge.items:g}"
        f" metric={ridge.metric:g} prior={'yes' if ridge.prior else 'no'}{blocks}"
    )
