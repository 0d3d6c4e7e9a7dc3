"""The gate between content and collaborative part, chosen on what is hidden from trial trainings.

a and kappa (`ranking.hybrid.Gate`) are those that find what is hidden
(`ranking.training.trial`) best, by NDCG@20 in shares of what the better of content and factors
finds alone. Three kinds of question count the same, so that neither the many warm items nor the
few young ones are paid for by the others: warm and new items (N = 0) in one ranking; the young
ones of each N >= 1 among themselves; and users left out as if they were new, with 0, 1, 3 and 5
items known of them. Shares are multiplied (geometric mean), so that what is lost of one kind and
won of another compare in per cent, though one kind has much more to win than its parents have. Then
l, which concerns users of a handful of items alone, is the one that serves the last kind best.
Where trials find it all the same whether new items are shown or hidden, they are shown: kappa is
above SHOWN only where that is worth more than WORTH.

k is set by the catalogue (`trusted_at`) and not chosen. In a trial an item of few users is one that
few wanted, for whatever became of it is known; in service it may be one that has just arrived, and
interactions do not tell the two apart. Asked, a trial trusts an item's first user as much as all
others.

Which items are drawn as new ones decides much of how high new items should rank: a few popular ones
carry most of what is asked for. So several trials are made, and the mean over them is what counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.vectors import Matrix
from ranking.hybrid import Gate
from ranking.moments import TINY
from ranking.training.trial import Scores, Trial

PARENTS: Mapping[str, Callable[[Scores], Matrix]] = {
    "content": lambda scores: scores.content,
    "cf": lambda scores: scores.cf,
}

START = Gate(20.0, 0.2, 0.6, 1.0)
FEW, MOST_FEW = 0.1, 20.0
"""k in shares of the mean number of users of an item that somebody took, and at most."""

WARM = (0.05, 0.1, 0.2, 0.3, 0.45, 0.7, 1.0)
KAPPA = (0.15, 0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
NEWCOMER = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)

SHOWN = 1.0
"""kappa from which on next to no new item is among the first: what people took stands above by the
standard deviations that content has in all."""

WORTH = 0.01
"""Of the quality: what hiding new items has to gain."""


@dataclass(frozen=True)
class Tuned:
    """The gate, and on what grounds: means over the trials that asked.

    Attributes:
        gate: chosen.
        overall: NDCG@20 of warm and new items in one ranking, by "content", "cf" and "hybrid".
        young: {N: the same among the young items of that N}.
        newcomers: {n: the same for new users of whom n items are known}.
    """

    gate: Gate
    overall: Mapping[str, float] = field(default_factory=dict)
    young: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    newcomers: Mapping[int, Mapping[str, float]] = field(default_factory=dict)

    def report(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **asdict(self.gate),
            "overall": dict(self.overall),
            "young": _by_number(self.young),
            "newcomers": _by_number(self.newcomers),
        }


def _by_number(found: Mapping[int, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {str(number): dict(one) for number, one in found.items()}


def trusted_at(counts: NDArray[np.integer]) -> float:
    """k: at how many users an item's interactions count for half.

    Args:
        counts: [n_items] how many users took each item.
    """
    taken = counts[counts > 0]
    return float(np.clip(FEW * taken.mean(), 1.0, MOST_FEW)) if len(taken) else MOST_FEW


def tune_gate(trials: Sequence[Trial], k: float) -> Tuned:
    """The gate with this k; the untuned one where there was too little for a trial."""
    if not trials:
        return Tuned(Gate())
    parents = {name: [_asked(one, scored) for one in trials] for name, scored in PARENTS.items()}
    tried: dict[Gate, list[_Found]] = {}

    def found(gate: Gate) -> list[_Found]:
        if gate not in tried:
            tried[gate] = [_asked(trial, lambda one: one.hybrid(gate)) for trial in trials]
        return tried[gate]

    def judged(gate: Gate) -> float:
        of_parents = zip(*parents.values(), strict=True)
        pairs = zip(found(gate), of_parents, strict=True)
        return float(np.mean([_quality(one, both) for one, both in pairs]))

    def for_newcomers(gate: Gate) -> float:
        return _mean_log(value for one in found(gate) for value in one.newcomers.values())

    best = _climbed(replace(START, k=k), judged)
    if best.kappa > SHOWN:
        shown = _climbed(replace(START, k=k), judged, most=SHOWN)
        best = best if judged(best) - judged(shown) > WORTH else shown
    if any(trial.newcomers for trial in trials):
        best = max(_newcomers(best), key=for_newcomers)
    told = {**parents, "hybrid": found(best)}
    return Tuned(
        best,
        {name: _mean(one.overall for one in ours) for name, ours in told.items()},
        _means(told, lambda one: one.young),
        _means(told, lambda one: one.newcomers),
    )


def _means(
    told: Mapping[str, Sequence[_Found]], part: Callable[[_Found], Mapping[int, float]]
) -> dict[int, dict[str, float]]:
    """{number: {name: mean over the trials that asked for it}}."""
    numbers = sorted({number for found in told.values() for one in found for number in part(one)})
    return {
        number: {
            name: _mean(part(one)[number] for one in found if number in part(one))
            for name, found in told.items()
        }
        for number in numbers
    }


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


@dataclass(frozen=True, slots=True)
class _Found:
    """NDCG@20 of one way to score: of the one ranking, by N, and by how much is known of users."""

    overall: float
    young: Mapping[int, float]
    newcomers: Mapping[int, float]


def _asked(trial: Trial, scored: Callable[[Scores], Matrix]) -> _Found:
    scores = scored(trial.scores)
    return _Found(
        trial.overall.ndcg(scores),
        {number: one.ndcg(scores) for number, one in trial.young.items()},
        {number: one.ndcg(scored(own)) for number, (own, one) in trial.newcomers.items()},
    )


def _quality(found: _Found, parents: Sequence[_Found]) -> float:
    """The logarithm of NDCG@20 over that of the better parent, in the mean over the questions of a
    kind and then over the kinds."""
    kinds = [
        [_share(found.overall, (one.overall for one in parents))],
        [
            _share(of_one, (one.young[number] for one in parents))
            for number, of_one in found.young.items()
            if number
        ],
        [
            _share(of_one, (one.newcomers[number] for one in parents))
            for number, of_one in found.newcomers.items()
        ],
    ]
    return float(np.mean([np.mean(shares) for shares in kinds if shares]))


def _mean_log(found: Iterable[float]) -> float:
    return float(np.mean(np.log([max(one, TINY) for one in found])))


def _share(found: float, parents: Iterable[float]) -> float:
    return float(np.log(max(found, TINY) / max(*parents, TINY)))


def _climbed(start: Gate, judged: Callable[[Gate], float], most: float = math.inf) -> Gate:
    """The best along each axis in turn, until none is better; kappa is `most` at most."""
    best = start
    while True:
        before = best
        for axis in (_levels, _warms, _kappas):
            allowed = (one for one in axis(best) if one.kappa <= most)
            best = max((best, *allowed), key=judged)
        if best == before:
            return best


def _levels(gate: Gate) -> Iterable[Gate]:
    """a, with kappa in proportion: how warm items stand against new ones."""
    return (replace(gate, warm=one, kappa=gate.kappa * one / gate.warm) for one in WARM)


def _warms(gate: Gate) -> Iterable[Gate]:
    return (replace(gate, warm=one) for one in WARM)


def _kappas(gate: Gate) -> Iterable[Gate]:
    return (replace(gate, kappa=one) for one in KAPPA)


def _newcomers(gate: Gate) -> Iterable[Gate]:
    return (replace(gate, newcomer=one) for one in NEWCOMER)
