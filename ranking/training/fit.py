"""The projection A: sums, penalties chosen on items held out as if they were cold, A."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.errors import RejectedError
from domain.vectors import BlockMap, Matrix
from ranking.quality import ndcg
from ranking.training.data import Double, TrainingData
from ranking.training.solve import Ridge, Solver, item_gram, metric_of, stacked
from ranking.training.statistics import Recipe, Statistics

LEAST_INTERACTIONS = 50
"""With fewer there is nothing to choose penalties on; the prior serves."""

FOLDS = 2
FOLD_SHARE = 0.1
"""Of the items with interactions, per fold: held out as if they had just arrived."""

SELECTION_USERS = 1500
SELECTION_INTERACTIONS = 2_000_000
"""Choosing looks at no more users and interactions than these; the fit looks at all."""

USER_RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0)
ITEM_RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0)
METRICS = (1.0, 0.0)
ALPHAS = (0.25, 0.0)


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything that is chosen on validation."""

    recipe: Recipe = field(default_factory=Recipe)
    ridge: Ridge = field(default_factory=Ridge)


@dataclass(frozen=True)
class Fitted:
    """What came of it.

    Attributes:
        matrices: {part: [d_part, d] float32}, A.
        setting: chosen, or given.
        scores: {what was tried: NDCG@20 on the held-out items}; empty where nothing was chosen.
        statistics: the sums, to add to and to forget from.
        gram: H.
    """

    matrices: dict[str, Matrix] = field(repr=False)
    setting: Setting
    scores: dict[str, float]
    statistics: Statistics = field(repr=False)
    gram: Double = field(repr=False)

    def queries(self, data: TrainingData, users: NDArray[np.int64], history: csr_matrix) -> Matrix:
        """A^T u of some users, [n, d] float32; see `TrainingData.user_rows`."""
        width = data.items.shape[1]
        a = stacked(self.statistics.layout, self.matrices, width)
        return (data.user_rows(users, history) @ a).astype(np.float32)

    def report(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "recipe": asdict(self.setting.recipe),
            "ridge": asdict(self.setting.ridge),
            "validation_ndcg": self.scores,
            "users": self.statistics.users,
            "interactions": self.statistics.interactions,
        }


def fit_projection(
    data: TrainingData,
    prior: Mapping[str, Matrix],
    *,
    setting: Setting | None = None,
    seed: int = 0,
) -> Fitted:
    """A in closed form, shrunk toward the prior (SCIENCE section 2).

    Args:
        prior: A0 by part, of the fusion itself or of another catalogue.
        setting: penalties that were chosen before; without them they are chosen here, on two
            folds of items that are held out as if they had just arrived.

    Raises:
        RejectedError: data that do not fit together, or fewer than LEAST_INTERACTIONS.
    """
    data.check()
    if data.interactions.nnz < LEAST_INTERACTIONS:
        raise RejectedError(
            f"{data.interactions.nnz} interactions, training needs {LEAST_INTERACTIONS}",
            remedy="publish more interactions; until then the prior serves",
        )
    scores: dict[str, float] = {}
    if setting is None:
        setting, scores = choose(data, prior, seed=seed)
    recipe = replace(setting.recipe, k0=data.k0)
    setting = replace(setting, recipe=recipe)
    statistics = Statistics.of(data, recipe)
    gram = item_gram(data.items[statistics.damping > 0])
    matrices = solve(data.blocks, statistics, gram, prior, setting.ridge)
    return Fitted(matrices, setting, scores, statistics, gram)


def solve(
    blocks: Sequence[BlockMap],
    statistics: Statistics,
    gram: Double,
    prior: Mapping[str, Matrix],
    ridge: Ridge,
) -> dict[str, Matrix]:
    """A of sums that were kept: {part: [d_part, d] float32}."""
    known = stacked(statistics.layout, prior, len(gram) - 1)
    solver = Solver(statistics, gram, known, metric_of(blocks, ridge.metric))
    return statistics.layout.split(solver.solve(ridge))


# ---------------------------------------------------------------------- choosing


@dataclass(frozen=True)
class _Fold:
    """Items held out, and the users who took some of them."""

    rest: TrainingData
    rows: Double
    candidates: Matrix
    relevant: NDArray[np.bool_]


def choose(
    data: TrainingData, prior: Mapping[str, Matrix], *, seed: int = 0
) -> tuple[Setting, dict[str, float]]:
    """Penalties and damping by NDCG@20 on held-out items, one group after the other.

    First l1 and l2 together, then the metric, the prior and the damping at the best of them, and
    l1 and l2 once more. The factorisations of a fold are made once per metric and damping.
    """
    sample = _sampled(data, seed)
    folds = list(_folds(sample, seed))
    if not folds:
        return Setting(Recipe(k0=data.k0)), {}
    tried: dict[Setting, float] = {}
    held: dict[tuple[int, float], tuple[Statistics, Double]] = {}
    solvers: dict[tuple[int, float, float], Solver] = {}

    def sums(number: int, recipe: Recipe) -> tuple[Statistics, Double]:
        key = (number, recipe.alpha)
        if key not in held:
            made = Statistics.of(folds[number].rest, recipe)
            held[key] = made, item_gram(sample.items[made.damping > 0])
        return held[key]

    def solver(number: int, setting: Setting) -> Solver:
        key = (number, setting.recipe.alpha, setting.ridge.metric)
        if key not in solvers:
            statistics, gram = sums(number, setting.recipe)
            known = stacked(statistics.layout, prior, sample.items.shape[1])
            metric = metric_of(sample.blocks, setting.ridge.metric)
            solvers[key] = Solver(statistics, gram, known, metric)
        return solvers[key]

    def judged(setting: Setting) -> float:
        if setting not in tried:
            found = [
                ndcg(
                    (
                        (fold.rows @ solver(number, setting).solve(setting.ridge))
                        @ fold.candidates.T
                    ).astype(np.float32),
                    fold.relevant,
                )
                for number, fold in enumerate(folds)
            ]
            tried[setting] = float(np.mean(found))
        return tried[setting]

    def ridges(base: Setting, near: bool) -> list[Setting]:
        return [
            replace(base, ridge=replace(base.ridge, users=users, items=items))
            for users in USER_RIDGES
            for items in ITEM_RIDGES
            if not near or (_near(users, base.ridge.users) and _near(items, base.ridge.items))
        ]

    best = max(ridges(Setting(Recipe(k0=data.k0)), near=False), key=judged)
    for variants in (_metrics, _priors, _alphas):
        best = max(variants(best), key=judged)
    best = max(ridges(best, near=True), key=judged)
    return best, {_named(setting): score for setting, score in tried.items()}


def _near(value: float, chosen: float) -> bool:
    return 0.3 <= value / chosen <= 3.4


def _metrics(base: Setting) -> list[Setting]:
    return [replace(base, ridge=replace(base.ridge, metric=one)) for one in METRICS]


def _priors(base: Setting) -> list[Setting]:
    return [replace(base, ridge=replace(base.ridge, prior=one)) for one in (True, False)]


def _alphas(base: Setting) -> list[Setting]:
    return [replace(base, recipe=replace(base.recipe, alpha=one)) for one in ALPHAS]


def _named(setting: Setting) -> str:
    ridge = setting.ridge
    return (
        f"alpha={setting.recipe.alpha:g} l1={ridge.users:g} l2={ridge.items:g}"
        f" metric={ridge.metric:g} prior={'yes' if ridge.prior else 'no'}"
    )


def _sampled(data: TrainingData, seed: int) -> TrainingData:
    """At most SELECTION_INTERACTIONS, by whole users."""
    interactions = data.interactions
    if interactions.nnz <= SELECTION_INTERACTIONS:
        return data
    order = np.random.default_rng(seed).permutation(interactions.shape[0])
    counts = np.diff(interactions.indptr)[order]
    users = np.sort(order[np.cumsum(counts) <= SELECTION_INTERACTIONS])
    return data.of_users(users)


def _folds(data: TrainingData, seed: int) -> Iterator[_Fold]:
    taken = np.bincount(data.interactions.indices, minlength=data.interactions.shape[1]) > 0
    known = np.flatnonzero(taken & np.any(data.items != 0, axis=1))
    size = int(len(known) * FOLD_SHARE)
    if size < 2:
        return
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(known)
    for number in range(FOLDS):
        cold = np.sort(drawn[number * size : (number + 1) * size])
        dropped = np.zeros(len(taken), dtype=bool)
        dropped[cold] = True
        rest = data.without_items(dropped)
        counts = np.diff(rest.interactions.indptr)
        targets = csr_matrix(data.interactions[:, cold])
        asked = np.flatnonzero((counts > 0) & (np.diff(targets.indptr) > 0))
        if not len(asked):
            continue
        users = np.sort(rng.permutation(asked)[:SELECTION_USERS])
        yield _Fold(
            rest,
            data.user_rows(users, rest.interactions[users]),
            data.items[cold],
            np.asarray(targets[users].todense()) > 0,
        )
