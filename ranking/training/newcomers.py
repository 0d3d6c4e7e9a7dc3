"""What a user says, told in collaborative factors: somebody who took nothing yet has a p_u, too.

A ridge regression over users,

    E = (Z^T Z + l D)^-1 Z^T T,   T_u = p_u / sqrt(n_u)

with z the parts of u without the history (D leaves the constant alone). Dividing by the root of
the number n_u of things taken keeps the few who took very much from speaking for all. E is scaled
so that the average user counts like m items of theirs. l and m are chosen on users who are left
out as if they were new.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.vectors import Matrix
from ranking.quality import recall
from ranking.training.data import Double, TrainingData
from ranking.training.factors import JUDGES, Factors, fit_factors
from ranking.training.pairs import only, shown
from ranking.training.solve import stacked
from ranking.training.users import UserLayout, user_layout

NEW_USERS = 0.2
"""Left out while l and m are chosen."""

LEAST_USERS = 50
"""With fewer to learn from there is nothing to choose on, and nothing is added to p_u."""

KNOWN = (0, 1, 3, 5)
LEAST_TAKEN = max(KNOWN) + 1

RIDGES = (0.3, 1.0, 3.0, 10.0, 30.0)
LIKE_ITEMS = (1.0, 2.0, 4.0, 8.0, 16.0)


@dataclass(frozen=True, slots=True)
class NewcomerRecipe:
    """How E is made.

    Attributes:
        ridge: l, relative to the mean of Z^T Z's diagonal; > 0.
        items: m, as how many items of a history the average user counts; > 0.
    """

    ridge: float = 3.0
    items: float = 4.0


def with_newcomers(factors: Factors, data: TrainingData, recipe: NewcomerRecipe | None) -> Factors:
    """The factors with E of all users in `data`; None: without.

    Args:
        data: whose interactions the factors were made of.
    """
    return factors if recipe is None else _Regression.of(factors, data).solved(factors, recipe)


@dataclass(frozen=True)
class _Regression:
    """What E is solved from, whatever the recipe.

    Attributes:
        gram: Z^T Z.
        cross: Z^T T.
        length: of the mean of T.
        typical: length of what an item of a history adds to p_u, in the mean.
    """

    layout: UserLayout
    gram: Double
    cross: Double
    length: float
    typical: float

    @classmethod
    def of(cls, factors: Factors, data: TrainingData) -> _Regression:
        active = np.flatnonzero(np.diff(data.interactions.indptr) > 0)
        history = csr_matrix(data.interactions[active])
        people = factors.people(history).astype(np.float64)
        counts = np.diff(history.indptr).astype(np.float64)
        target = people / np.sqrt(counts)[:, None]
        rows = _said(data, active, only(history, np.zeros(history.nnz, dtype=bool)))
        return cls(
            user_layout(data.blocks, data.profiles),
            rows.T @ rows,
            rows.T @ target,
            float(np.linalg.norm(target.mean(axis=0))),
            float(np.linalg.norm(people.sum(axis=0))) / float(counts.sum()),
        )

    def solved(self, factors: Factors, recipe: NewcomerRecipe) -> Factors:
        """The factors with E by this recipe."""
        unit = max(float(np.trace(self.gram)) / len(self.gram), 1e-12)
        penalty = np.full(len(self.gram), recipe.ridge * unit)
        penalty[self.layout.spans["one"][0]] = 1e-9
        found = np.linalg.solve(self.gram + np.diag(penalty), self.cross)
        if self.length > 0:
            found *= recipe.items * self.typical / self.length
        matrices = self.layout.split(found)
        del matrices["history"]
        return replace(factors, side=replace(factors.side, newcomers=matrices))


def people_of(
    factors: Factors, data: TrainingData, users: NDArray[np.int64], history: csr_matrix
) -> Matrix:
    """p_u as it is served, of what users took and of what they say, [n, F] float32.

    Args:
        users: [n] rows of `data`.
        history: [n, n_items], what is known of each.
    """
    found = factors.people(history)
    if factors.side.newcomers:
        layout = user_layout(data.blocks, data.profiles)
        told = stacked(layout, factors.side.newcomers, factors.side.dim)
        found = found + (_said(data, users, history) @ told).astype(np.float32)
    return found


def choose_newcomers(
    data: TrainingData, factors: Factors, *, seed: int = 0
) -> tuple[NewcomerRecipe | None, dict[str, float]]:
    """l by those who took nothing yet, then m by those who took 1, 3 and 5 items.

    Returns:
        The recipe, and {what was tried: recall@20 on the users left out}.
    """
    rng = np.random.default_rng(seed)
    interactions = data.interactions
    counts = np.diff(interactions.indptr)
    usable = rng.permutation(np.flatnonzero(counts >= LEAST_TAKEN))
    new = np.sort(usable[: int(NEW_USERS * len(usable))])
    old = np.setdiff1d(np.flatnonzero(counts > 0), new)
    if len(new) < LEAST_USERS // 5 or len(old) < LEAST_USERS:
        return None, {}
    rest = data.of_users(old)
    made = fit_factors(rest.interactions, factors.side.dim, recipes=[factors.recipe])
    if made is None:
        return None, {}
    asked = [_asked(data, made, new[:JUDGES], known, rng) for known in KNOWN]
    tried: dict[str, float] = {}
    regression = _Regression.of(made, rest)

    def judge(recipe: NewcomerRecipe, questions: list[_Asked]) -> float:
        fitted = regression.solved(made, recipe)
        found = float(np.mean([one.quality(fitted, data) for one in questions]))
        tried[f"l={recipe.ridge:g} m={recipe.items:g} k={questions[-1].known}"] = found
        return found

    best = _best(NewcomerRecipe(), "ridge", RIDGES, lambda one: judge(one, asked[:1]))
    best = _best(best, "items", LIKE_ITEMS, lambda one: judge(one, asked[1:]))
    return best, tried


def _best(
    base: NewcomerRecipe,
    name: str,
    values: tuple[float, ...],
    judged: Callable[[NewcomerRecipe], float],
) -> NewcomerRecipe:
    variants = [replace(base, **{name: value}) for value in values]
    return variants[int(np.argmax([judged(one) for one in variants]))]


@dataclass(frozen=True)
class _Asked:
    """New users with `known` items, and what else they took."""

    known: int
    users: NDArray[np.int64]
    history: csr_matrix
    warm: NDArray[np.int64]
    relevant: NDArray[np.bool_]

    def quality(self, factors: Factors, data: TrainingData) -> float:
        people = people_of(factors, data, self.users, self.history)
        scores = people @ factors.items[self.warm].T
        scores[self.history[:, self.warm].toarray() > 0] = -np.inf
        return recall(scores, self.relevant)


def _asked(
    data: TrainingData,
    factors: Factors,
    users: NDArray[np.int64],
    known: int,
    rng: np.random.Generator,
) -> _Asked:
    history, rest = shown(csr_matrix(data.interactions[users]), known, rng)
    warm = factors.warm
    return _Asked(known, users, history, warm, rest[:, warm].toarray() > 0)


def _said(data: TrainingData, users: NDArray[np.int64], history: csr_matrix) -> Double:
    """z with zeros for the history, [n, d_u]; rho as it is served with that history."""
    rows = data.user_rows(users, history)
    start, stop = user_layout(data.blocks, data.profiles).spans["history"]
    rows[:, start:stop] = 0.0
    return rows
