"""Who is hardly known yet, in collaborative factors: p_u from words and from the little they took.

Of a user with few items, p_u of those items alone says little: it was made for people with many.
A ridge regression over users who are known well,

    E = (Z^T Z + l D)^-1 Z^T T

learns what the rest of their items looks like in factors. A row of Z is the user vector u with
only n of the user's items in its history, n drawn from the lengths that are served, what these n
say in factors, and n itself (`Collaborative.rows`; D leaves the constant alone). Its row of T is
p_u of the user's other items, divided by m^e, m being how many those are and

    e = damping * max(1 - n / 5, 0)

so that people who took very much do not speak for those of whom nothing is known; with some items
known, regression itself tells one kind of person from the other. l and the damping are chosen on
users who are left out as if they were new.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.vectors import Matrix
from ranking.moments import TINY
from ranking.newcomers import COUNT, TAKEN, Newcomers, of_taken
from ranking.quality import recall
from ranking.training.data import Double, TrainingData
from ranking.training.factors import JUDGES, Factors, fit_factors
from ranking.training.pairs import shown
from ranking.training.statistics import LENGTHS
from ranking.training.users import UserLayout, user_layout

NEW_USERS = 0.2
"""Left out while the recipe is chosen."""

LEAST_USERS = 50
"""With fewer to learn from there is nothing to choose on, and p_u is what the items say."""

KNOWN = (0, 1, 3, 5)
LEAST_TAKEN = max(KNOWN) + 1

DAMPED = 5
"""Items known of a user from which on nothing is damped."""

ROWS = 30_000
"""Of Z, about, and at most four of each user and length; with more users than that some by lot."""

RIDGES = (0.3, 1.0, 3.0, 10.0, 30.0)
DAMPINGS = (0.8, 0.4)


@dataclass(frozen=True, slots=True)
class NewcomerRecipe:
    """How E is made.

    Attributes:
        ridge: l, relative to the mean of Z^T Z's diagonal; > 0.
        damping: how far people who took much are held back, where nothing is known of a user; 0
            to 1.
    """

    ridge: float = 1.0
    damping: float = 0.8


def with_newcomers(
    factors: Factors, data: TrainingData, recipe: NewcomerRecipe | None, *, seed: int = 0
) -> Factors:
    """The factors with E of the users in `data`; None: without.

    Args:
        data: whose interactions the factors were made of.
    """
    if recipe is None:
        return factors
    return _Regression.of(factors, data, seed).solved(factors, recipe)


@dataclass(frozen=True)
class _Regression:
    """What E is solved from, whatever the recipe.

    Attributes:
        layout: of the user's parts in a row, before TAKEN and COUNT.
        typical: what TAKEN is divided by in Z, so that one ridge suits all.
        gram: Z^T Z.
        crosses: {damping: Z^T T}.
    """

    layout: UserLayout
    typical: float
    gram: Double = field(repr=False)
    crosses: dict[float, Double] = field(repr=False)

    @classmethod
    def of(cls, factors: Factors, data: TrainingData, seed: int) -> _Regression:
        rng = np.random.default_rng(seed)
        active = rng.permutation(np.flatnonzero(np.diff(data.interactions.indptr) > 1))
        active = np.sort(active[: ROWS // len(LENGTHS)])
        taken = csr_matrix(data.interactions[active])
        typical = _typical(factors, taken)
        layout = user_layout(data.blocks, data.profiles)
        width = layout.dim + factors.side.dim + 2
        gram = np.zeros((width, width))
        crosses = {damping: np.zeros((width, factors.side.dim)) for damping in DAMPINGS}
        for _ in range(min(max(ROWS // (len(LENGTHS) * max(len(active), 1)), 1), 4)):
            for known in LENGTHS:
                history, rest = shown(taken, known, rng)
                usable = np.flatnonzero(
                    (np.diff(history.indptr) == known) & (rest.getnnz(axis=1) > 0)
                )
                if not len(usable):
                    continue
                rows = _rows(factors, data, active[usable], csr_matrix(history[usable]), typical)
                gram += rows.T @ rows
                others = csr_matrix(rest[usable])
                people = factors.people(others).astype(np.float64)
                for damping in DAMPINGS:
                    crosses[damping] += rows.T @ _damped(
                        people, np.diff(others.indptr), damping * max(1.0 - known / DAMPED, 0.0)
                    )
        return cls(layout, typical, gram, crosses)

    def solved(self, factors: Factors, recipe: NewcomerRecipe) -> Factors:
        """The factors with E by this recipe."""
        unit = max(float(np.trace(self.gram)) / len(self.gram), TINY)
        penalty = np.full(len(self.gram), recipe.ridge * unit)
        penalty[self.layout.spans["one"][0]] = TINY
        found = np.linalg.solve(self.gram + np.diag(penalty), self.crosses[recipe.damping])
        matrices = self.layout.split(found)
        start = self.layout.dim
        stop = start + factors.side.dim
        matrices[TAKEN] = (found[start:stop] / self.typical).astype(np.float32)
        matrices[COUNT] = found[stop:].astype(np.float32)
        return replace(factors, side=replace(factors.side, newcomers=Newcomers(matrices)))


def _damped(people: Double, others: NDArray[np.integer], power: float) -> Double:
    """Targets of one length, of unit length in the mean (root mean square)."""
    found = people / (others.astype(np.float64) ** power)[:, None]
    return found / max(float(np.sqrt(np.mean(np.einsum("ij,ij->i", found, found)))), TINY)


def _typical(factors: Factors, taken: csr_matrix) -> float:
    """|p_u| / sqrt(n) of the users, in the mean."""
    people = factors.people(taken).astype(np.float64)
    lengths = np.einsum("ij,ij->i", people, people) / np.maximum(taken.getnnz(axis=1), 1)
    return max(float(np.sqrt(np.mean(lengths))), TINY)


def _rows(
    factors: Factors,
    data: TrainingData,
    users: NDArray[np.int64],
    history: csr_matrix,
    typical: float,
) -> Double:
    """Z of some users with these histories, [n, d_u + F + 2]."""
    known = of_taken(factors.people(history), factors.known(history))
    return np.column_stack([data.user_rows(users, history), known[TAKEN] / typical, known[COUNT]])


def people_of(
    factors: Factors, data: TrainingData, users: NDArray[np.int64], history: csr_matrix
) -> Matrix:
    """p_u as it is served, of what users took and of what they say, [n, F] float32.

    Args:
        users: [n] rows of `data`.
        history: [n, n_items], what is known of each.
    """
    taken, side = factors.people(history), factors.side
    if side.newcomers is None:
        return taken
    rows = data.user_rows(users, history)
    spans = user_layout(data.blocks, data.profiles).spans
    parts = {part: rows[:, start:stop] for part, (start, stop) in spans.items()}
    return side.newcomers.blended(parts, taken, factors.known(history), side.moments)


def choose_newcomers(
    data: TrainingData, factors: Factors, *, seed: int = 0
) -> tuple[NewcomerRecipe | None, dict[str, float]]:
    """The recipe that serves users with 0, 1, 3 and 5 known items best, in the mean.

    Returns:
        The recipe, and {what was tried: recall@20 on the users left out}.
    """
    rng = np.random.default_rng(seed)
    counts = np.diff(data.interactions.indptr)
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
    regression = _Regression.of(made, rest, seed)
    tried: dict[NewcomerRecipe, float] = {}
    for ridge, damping in product(RIDGES, DAMPINGS):
        recipe = NewcomerRecipe(ridge, damping)
        fitted = regression.solved(made, recipe)
        tried[recipe] = float(np.mean([one.quality(fitted, data) for one in asked]))
    best = max(tried, key=tried.__getitem__)
    return best, {f"l={one.ridge:g} damping={one.damping:g}": found for one, found in tried.items()}


@dataclass(frozen=True)
class _Asked:
    """New users with some items known, and what else they took."""

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
    return _Asked(users, history, warm, rest[:, warm].toarray() > 0)
