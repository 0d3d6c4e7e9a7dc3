"""The trial training that the gate between content and collaborative part is chosen on.

The trial is the training itself in small: some users are left out as if they were new, a share of
the items is made young, each keeping N = 0, 1, 2, 3, 5 or 10 of its pairs, a share of everybody's
other pairs is hidden too, and A and the factors are fitted on the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.vectors import Matrix
from ranking.hybrid import Gate
from ranking.moments import Moments
from ranking.quality import ndcg
from ranking.training.choosing import Setting
from ranking.training.data import TrainingData
from ranking.training.factors import HELD_OUT, JUDGES, FactorRecipe, Factors, fit_factors
from ranking.training.fit import LEAST_INTERACTIONS, Fitted, fit_projection
from ranking.training.newcomers import (
    KNOWN,
    LEAST_TAKEN,
    NewcomerRecipe,
    people_of,
    with_newcomers,
)
from ranking.training.pairs import hold_out, only, shown, turns

REVEALED = (0, 1, 2, 3, 5, 10)
YOUNG = 0.2
"""Of the items: half of it, of all that anybody took, keep no pair at all; the other half, of those
with more pairs than are ever revealed, keep a few."""

LEAST_YOUNG = 5
"""A question with fewer candidates says nothing."""

NEW_USERS = 0.1
"""Of the users with more pairs than are ever known; left out as if they were new."""

LEAST_NEW_USERS = 20
"""With fewer nobody is left out, and new users are not asked for."""

CANDIDATES = 10_000
"""Items that are ranked in a trial, at most: the young ones and others by lot."""


@dataclass(frozen=True)
class Scores:
    """Standardised scores of users and candidates.

    Attributes:
        content: [n_users, n_candidates] z(content).
        cf: [n_users, n_candidates] z(CF); 0 for an item without factors.
        counts: [n_candidates] N_i; 0 for an item without factors.
        known: [n_users] n_u, how many items with factors are known of each.
    """

    content: Matrix = field(repr=False)
    cf: Matrix = field(repr=False)
    counts: NDArray[np.float64] = field(repr=False)
    known: NDArray[np.int64] = field(repr=False)

    def hybrid(self, gate: Gate) -> Matrix:
        """w z(content) + kappa_u g z(CF)."""
        gates = gate.gates(self.counts)
        weights = 1.0 - gates + gates * gate.warm
        found = self.content * weights.astype(np.float32)
        found += self.cf * np.outer(gate.kappas(self.known), gates).astype(np.float32)
        return found


@dataclass(frozen=True)
class Question:
    """Candidates, and who should find what among them.

    Attributes:
        users: [m] rows of the scores: who has something to find.
        items: [c] columns of the scores.
        relevant: [m, c] bool.
        known: [m, c] bool, what they have already; taken out of the ranking.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    relevant: NDArray[np.bool_] = field(repr=False)
    known: NDArray[np.bool_] = field(repr=False)

    def ndcg(self, scores: Matrix) -> float:
        """NDCG@20 of these scores, [n_users, n_candidates]."""
        asked = scores[np.ix_(self.users, self.items)]
        asked[self.known] = -np.inf
        return ndcg(asked, self.relevant)


@dataclass(frozen=True)
class Trial:
    """What the gate is asked.

    Attributes:
        scores: of users that were trained on.
        overall: all candidates but those with 1 <= N <= 10.
        young: {N: those of that N}.
        newcomers: {n: scores and question} of users left out, of whom n items are known, and for
            whom the candidates that were not made young are ranked.
    """

    scores: Scores = field(repr=False)
    overall: Question = field(repr=False)
    young: Mapping[int, Question] = field(repr=False)
    newcomers: Mapping[int, tuple[Scores, Question]] = field(repr=False)


@dataclass(frozen=True)
class _Trained:
    """A and the factors of the trial.

    Attributes:
        taken: [n_items] how many took each item.
    """

    fitted: Fitted
    factors: Factors
    moments: Moments
    taken: NDArray[np.int64]

    def scores(
        self,
        data: TrainingData,
        users: NDArray[np.int64],
        history: csr_matrix,
        candidates: NDArray[np.int64],
    ) -> Scores:
        """As they are served.

        Args:
            data: of the users; its items are those that were trained on.
            users: [n_users] rows of `data`.
            history: [n_users, n_items], what is known of each.
            candidates: [n_candidates] columns.
        """
        factors = self.factors.items[candidates]
        counts = np.where(np.any(factors != 0, axis=1), self.taken[candidates], 0)
        content = self.moments.standardised(
            self.fitted.queries(data, users, history), data.items[candidates]
        )
        people = people_of(self.factors, data, users, history)
        cf = self.factors.side.moments.standardised(people, factors)
        cf[:, counts == 0] = 0.0
        return Scores(content, cf, counts.astype(np.float64), self.factors.known(history))


def run_trial(
    data: TrainingData,
    prior: Mapping[str, Matrix],
    setting: Setting,
    recipe: FactorRecipe,
    newcomers: NewcomerRecipe | None,
    width: int,
    *,
    seed: int = 0,
) -> Trial | None:
    """Hide, train, and ask for what is hidden; None where there is too little to choose on.

    Args:
        prior: A0 by part.
        setting: of A, as chosen.
        recipe: of the factors, as chosen.
        newcomers: of what users say in factors, as chosen.
        width: F.
    """
    rng = np.random.default_rng(seed)
    new, old = _left_out(data.interactions, rng)
    seen = data.of_users(old)
    revealed = _made_young(seen, rng)
    kept, hidden = _hidden(seen.interactions, revealed, rng)
    if kept.nnz < LEAST_INTERACTIONS:
        return None
    factors = fit_factors(kept, width, recipes=[recipe])
    if factors is None:
        return None
    rest = replace(seen, interactions=kept)
    trained = _Trained(
        fit_projection(rest, prior, setting=setting),
        with_newcomers(factors, rest, newcomers),
        Moments.of(rest.items),
        rest.popularity(),
    )
    asked = np.flatnonzero((np.diff(hidden.indptr) > 0) & (np.diff(kept.indptr) > 0))
    if not len(asked):
        return None
    users = np.sort(rng.permutation(asked)[:JUDGES])
    candidates = _candidates(rest, hidden, revealed, rng)
    history = csr_matrix(kept[users])
    relevant = hidden[users][:, candidates].toarray() > 0
    known = history[:, candidates].toarray() > 0
    # Of items that are made to look as if few took them, interactions do not tell that they are
    # new and not unwanted: with them among all others the gate would trust nobody's numbers.
    settled = np.flatnonzero(revealed[candidates] <= 0)
    overall = _question(settled, relevant, known)
    if overall is None:
        return None
    young = {}
    for number in REVEALED:
        found = _question(np.flatnonzero(revealed[candidates] == number), relevant, known)
        if found is not None:
            young[number] = found
    unchanged = candidates[revealed[candidates] < 0]
    return Trial(
        trained.scores(rest, users, history, candidates),
        overall,
        young,
        _newcomers(trained, data, new, unchanged, rng),
    )


def _newcomers(
    trained: _Trained,
    data: TrainingData,
    users: NDArray[np.int64],
    candidates: NDArray[np.int64],
    rng: np.random.Generator,
) -> dict[int, tuple[Scores, Question]]:
    """By how many items are known of these users, who were not trained on."""
    taken = csr_matrix(data.interactions[users])
    found = {}
    for number in KNOWN:
        history, rest = shown(taken, number, rng)
        question = _question(
            np.arange(len(candidates)),
            rest[:, candidates].toarray() > 0,
            history[:, candidates].toarray() > 0,
        )
        if question is not None:
            found[number] = (trained.scores(data, users, history, candidates), question)
    return found


def _left_out(
    interactions: csr_matrix, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(users left out as if they were new, the others), rows."""
    counts = np.diff(interactions.indptr)
    usable = rng.permutation(np.flatnonzero(counts >= LEAST_TAKEN))
    number = min(int(NEW_USERS * len(usable)), JUDGES)
    new = np.sort(usable[: number if number >= LEAST_NEW_USERS else 0])
    return new, np.setdiff1d(np.arange(len(counts)), new)


def _made_young(data: TrainingData, rng: np.random.Generator) -> NDArray[np.int64]:
    """[n_items] how many pairs an item keeps; -1 where it keeps all."""
    counts = data.popularity()
    known = np.any(data.items != 0, axis=1)
    revealed = np.full(len(counts), -1, dtype=np.int64)
    # whatever anybody took may have been new once, the seldom taken as well as the wanted
    revealed[_alike(np.flatnonzero((counts > 0) & known), counts, rng)] = 0
    usable = np.flatnonzero((counts > max(REVEALED)) & known & (revealed < 0))
    chosen = _alike(usable, counts, rng)
    warmed: Sequence[int] = REVEALED[1:]
    revealed[chosen] = np.asarray(warmed)[np.arange(len(chosen)) % len(warmed)]
    return revealed


def _alike(
    items: NDArray[np.int64], counts: NDArray[np.integer], rng: np.random.Generator
) -> NDArray[np.int64]:
    """YOUNG / 2 of the items, by popularity: of each so many neighbours in it one by lot.

    A few popular items have most of the pairs. Drawn from all alike, now one trial has several of
    them among its new items and now none, and the gate follows that.
    """
    number = int(YOUNG / 2 * len(items))
    order = rng.permutation(items)
    order = order[np.argsort(counts[order], kind="stable")]
    bounds = np.linspace(0, len(order), number + 1).astype(np.int64)
    return order[rng.integers(bounds[:-1], bounds[1:])]


def _hidden(
    interactions: csr_matrix, revealed: NDArray[np.int64], rng: np.random.Generator
) -> tuple[csr_matrix, csr_matrix]:
    """(what is trained on, what is hidden)."""
    columns = interactions.indices
    young = revealed[columns] >= 0
    place = turns(columns, rng.random(len(columns)), len(revealed))
    kept = ~young | (place < revealed[columns])
    warm, hidden = hold_out(only(interactions, kept & ~young), HELD_OUT, rng)
    few, gone = only(interactions, kept & young), only(interactions, ~kept)
    return (
        csr_matrix(warm + few, dtype=np.float32),
        csr_matrix(gone + hidden, dtype=np.float32),
    )


def _candidates(
    rest: TrainingData,
    hidden: csr_matrix,
    revealed: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """What anybody took, and of what nobody did at most as much as was made new: such an item may
    be wanted by all, and is only counted against the gate that shows it."""
    taken = np.zeros(len(revealed), dtype=bool)
    taken[rest.interactions.indices] = taken[hidden.indices] = True
    young = np.flatnonzero(revealed >= 0)
    untaken = rng.permutation(np.flatnonzero(~taken & np.any(rest.items != 0, axis=1)))
    untaken = untaken[: np.count_nonzero(revealed == 0)]
    others = rng.permutation(np.flatnonzero(taken & (revealed < 0)))
    others = others[: max(CANDIDATES - len(young) - len(untaken), 0)]
    return np.sort(np.concatenate([young, untaken, others]))


def _question(
    items: NDArray[np.int64], relevant: NDArray[np.bool_], known: NDArray[np.bool_]
) -> Question | None:
    users = np.flatnonzero(relevant[:, items].any(axis=1))
    if len(items) < LEAST_YOUNG or not len(users):
        return None
    at = np.ix_(users, items)
    return Question(users, items, relevant[at], known[at])
