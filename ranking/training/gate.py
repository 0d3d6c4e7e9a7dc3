"""The gate between content and collaborative part, chosen on pairs hidden from a trial training.

The trial is the training itself in small: a share of the items is made young, each keeping
N = 0, 1, 2, 3, 5 or 10 of its pairs, a share of everybody's other pairs is hidden too, A and the
factors are fitted on the rest, and k, a and kappa (`ranking.hybrid.Gate`) are those that find what
is hidden best, by NDCG@20 in shares of what the better of content and factors finds alone: half of
it for warm and new items (N = 0) in one ranking, half for the young ones of each N >= 1 among
themselves, so that neither the many warm items nor the few young ones are paid for by the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.vectors import Matrix
from ranking.hybrid import Gate
from ranking.moments import TINY, Moments
from ranking.quality import ndcg
from ranking.training.choosing import Setting
from ranking.training.data import TrainingData
from ranking.training.factors import HELD_OUT, JUDGES, FactorRecipe, Factors, fit_factors
from ranking.training.fit import LEAST_INTERACTIONS, Fitted, fit_projection
from ranking.training.newcomers import NewcomerRecipe, people_of, with_newcomers
from ranking.training.pairs import hold_out, only, turns

REVEALED = (0, 1, 2, 3, 5, 10)
YOUNG = 0.2
"""Of the items with more pairs than are ever revealed; half of them keep none at all."""

LEAST_YOUNG = 5
"""A question with fewer candidates says nothing."""

CANDIDATES = 20_000
"""Items that are ranked in the trial, at most: the young ones and others by lot."""

SHARPNESS = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0)
WARM = (0.05, 0.1, 0.2, 0.3, 0.45, 0.7, 1.0)
KAPPA = (0.15, 0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)


@dataclass(frozen=True)
class Tuned:
    """The gate, and on what grounds.

    Attributes:
        gate: chosen.
        overall: NDCG@20 of warm and new items in one ranking, by "content", "cf" and "hybrid".
        young: {N: the same among the young items of that N}.
    """

    gate: Gate
    overall: Mapping[str, float] = field(default_factory=dict)
    young: Mapping[int, Mapping[str, float]] = field(default_factory=dict)

    def report(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **asdict(self.gate),
            "overall": dict(self.overall),
            "young": {str(number): dict(found) for number, found in self.young.items()},
        }


@dataclass(frozen=True)
class Question:
    """Candidates, and who should find what among them.

    Attributes:
        users: [m] rows of the trial's users who have something to find.
        items: [c] columns of the trial's candidates.
        relevant: [m, c] bool.
        known: [m, c] bool, what they have already; taken out of the ranking.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    relevant: NDArray[np.bool_] = field(repr=False)
    known: NDArray[np.bool_] = field(repr=False)

    def ndcg(self, scores: Matrix) -> float:
        """NDCG@20 of the trial's scores, [n_users, n_candidates]."""
        asked = scores[np.ix_(self.users, self.items)]
        asked[self.known] = -np.inf
        return ndcg(asked, self.relevant)


@dataclass(frozen=True)
class Trial:
    """Standardised scores of a trial training.

    Attributes:
        content: [n_users, n_candidates] z(content).
        cf: [n_users, n_candidates] z(CF); 0 for an item without factors.
        counts: [n_candidates] N_i; 0 for an item without factors.
        overall: all candidates but those with 1 <= N <= 10.
        young: {N: those of that N}.
    """

    content: Matrix = field(repr=False)
    cf: Matrix = field(repr=False)
    counts: NDArray[np.float64] = field(repr=False)
    overall: Question = field(repr=False)
    young: Mapping[int, Question] = field(repr=False)

    def hybrid(self, gate: Gate) -> Matrix:
        """w z(content) + kappa g z(CF)."""
        gates = gate.gates(self.counts)
        weights = 1.0 - gates + gates * gate.warm
        found = self.content * weights.astype(np.float32)
        found += self.cf * (gate.kappa * gates).astype(np.float32)
        return found

    def quality(self, gate: Gate, parents: Parents) -> float:
        """What the gate is chosen by: NDCG@20 over that of the better parent, half of it for the
        one ranking and half for the mean over young items of N >= 1."""
        scores = self.hybrid(gate)
        found = _share(self.overall.ndcg(scores), parents.overall)
        warmed = [
            _share(one.ndcg(scores), parents.young[number])
            for number, one in self.young.items()
            if number
        ]
        return found if not warmed else 0.5 * found + 0.5 * float(np.mean(warmed))

    def parents(self) -> Parents:
        """NDCG@20 of content and collaborative part, each alone."""
        both = {"content": self.content, "cf": self.cf}
        return Parents(
            {name: self.overall.ndcg(scores) for name, scores in both.items()},
            {
                number: {name: one.ndcg(scores) for name, scores in both.items()}
                for number, one in self.young.items()
            },
        )


@dataclass(frozen=True, slots=True)
class Parents:
    """NDCG@20 by name: of the one ranking, and by N."""

    overall: Mapping[str, float]
    young: Mapping[int, Mapping[str, float]]


def _share(found: float, parents: Mapping[str, float]) -> float:
    return found / max(*parents.values(), TINY)


def tune_gate(
    data: TrainingData,
    prior: Mapping[str, Matrix],
    setting: Setting,
    recipe: FactorRecipe,
    newcomers: NewcomerRecipe | None,
    width: int,
    *,
    seed: int = 0,
) -> Tuned:
    """k, a and kappa; the untuned gate where there is too little to choose on.

    Args:
        prior: A0 by part.
        setting: of A, as chosen.
        recipe: of the factors, as chosen.
        newcomers: of what users say in factors, as chosen.
        width: F.
    """
    rng = np.random.default_rng(seed)
    revealed = _made_young(data, rng)
    kept, hidden = _hidden(data.interactions, revealed, rng)
    if kept.nnz < LEAST_INTERACTIONS:
        return Tuned(Gate())
    factors = fit_factors(kept, width, recipes=[recipe])
    if factors is None:
        return Tuned(Gate())
    rest = replace(data, interactions=kept)
    factors = with_newcomers(factors, rest, newcomers)
    fitted = fit_projection(rest, prior, setting=setting)
    trial = _trial(rest, hidden, factors, fitted, revealed, rng)
    if trial is None:
        return Tuned(Gate())
    tried: dict[Gate, float] = {}
    parents = trial.parents()

    def judged(gate: Gate) -> float:
        if gate not in tried:
            tried[gate] = trial.quality(gate, parents)
        return tried[gate]

    best = _climbed(Gate(10.0, 0.3, 0.5), judged)
    scores = trial.hybrid(best)
    return Tuned(
        best,
        {**parents.overall, "hybrid": trial.overall.ndcg(scores)},
        {
            number: {**parents.young[number], "hybrid": one.ndcg(scores)}
            for number, one in trial.young.items()
        },
    )


def _climbed(start: Gate, judged: Callable[[Gate], float]) -> Gate:
    """The best along each axis in turn, until none is better."""
    best = start
    while True:
        before = best
        for axis in (_levels, _warms, _kappas, _sharpnesses):
            best = max((best, *axis(best)), key=judged)
        if best == before:
            return best


def _levels(gate: Gate) -> Iterable[Gate]:
    """a, with kappa in proportion: how warm items stand against new ones."""
    return (replace(gate, warm=one, kappa=gate.kappa * one / gate.warm) for one in WARM)


def _warms(gate: Gate) -> Iterable[Gate]:
    return (replace(gate, warm=one) for one in WARM)


def _kappas(gate: Gate) -> Iterable[Gate]:
    return (replace(gate, kappa=one) for one in KAPPA)


def _sharpnesses(gate: Gate) -> Iterable[Gate]:
    return (replace(gate, k=one) for one in SHARPNESS)


def _trial(
    rest: TrainingData,
    hidden: csr_matrix,
    factors: Factors,
    fitted: Fitted,
    revealed: NDArray[np.int64],
    rng: np.random.Generator,
) -> Trial | None:
    kept = rest.interactions
    asked = np.flatnonzero((np.diff(hidden.indptr) > 0) & (np.diff(kept.indptr) > 0))
    if not len(asked):
        return None
    users = np.sort(rng.permutation(asked)[:JUDGES])
    candidates = _candidates(rest, hidden, revealed, rng)
    history = csr_matrix(kept[users])
    counts = np.bincount(kept.indices, minlength=len(rest.items))[candidates]
    counts = np.where(np.any(factors.items[candidates] != 0, axis=1), counts, 0)
    content = Moments.of(rest.items).standardised(
        fitted.queries(rest, users, history), rest.items[candidates]
    )
    people = people_of(factors, rest, users, history)
    cf = factors.side.moments.standardised(people, factors.items[candidates])
    cf[:, counts == 0] = 0.0
    relevant = hidden[users][:, candidates].toarray() > 0
    known = history[:, candidates].toarray() > 0
    # A counts who did not take an item against it, as soon as anybody took it: of an item that is
    # made to look as if 3 did, content says too little among all others.
    settled = np.flatnonzero(revealed[candidates] <= 0)
    overall = _question(settled, relevant, known)
    if overall is None:
        return None
    young = {}
    for number in REVEALED:
        found = _question(np.flatnonzero(revealed[candidates] == number), relevant, known)
        if found is not None:
            young[number] = found
    return Trial(content, cf, counts.astype(np.float64), overall, young)


def _made_young(data: TrainingData, rng: np.random.Generator) -> NDArray[np.int64]:
    """[n_items] how many pairs an item keeps; -1 where it keeps all."""
    counts = np.bincount(data.interactions.indices, minlength=len(data.items))
    usable = np.flatnonzero((counts > max(REVEALED)) & np.any(data.items != 0, axis=1))
    drawn = rng.permutation(usable)[: int(YOUNG * len(usable))]
    revealed = np.full(len(counts), -1, dtype=np.int64)
    new = len(drawn) // 2
    revealed[drawn[:new]] = 0
    warmed: Sequence[int] = REVEALED[1:]
    revealed[drawn[new:]] = np.asarray(warmed)[np.arange(len(drawn) - new) % len(warmed)]
    return revealed


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
