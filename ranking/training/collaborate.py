"""The collaborative part of a hybrid: factors, what newcomers get of them, and the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from domain.vectors import Matrix
from ranking.collaborative import Collaborative
from ranking.hybrid import COUNTS, FACTORS, USERS, Gate, Hybrid
from ranking.rows import Rows
from ranking.space import RankSpace
from ranking.training.choosing import SELECTION_INTERACTIONS, Setting
from ranking.training.data import TrainingData
from ranking.training.factors import fit_factors
from ranking.training.gate import trusted_at, tune_gate
from ranking.training.newcomers import choose_newcomers, with_newcomers
from ranking.training.trial import run_trial

TRIALS = 3
"""On which the gate is chosen, each with other items made young and other users left out."""


@dataclass(frozen=True)
class Learned:
    """The collaborative part of a hybrid; without `collaborative` there is none.

    Attributes:
        items: "counts" and "factors" (for ease "users", too) of the items that somebody took.
        report: for JSON.
    """

    gate: Gate = field(default_factory=Gate)
    collaborative: Collaborative | None = None
    items: Rows | None = field(default=None, repr=False)
    report: dict[str, Any] = field(default_factory=dict)


def fit_collaborative(
    ids: Sequence[str],
    data: TrainingData,
    prior: Mapping[str, Matrix],
    setting: Setting,
    space: RankSpace,
    before: Hybrid | None = None,
    *,
    seed: int = 0,
) -> Learned:
    """Everything chosen on pairs and users that are hidden from trials, then fitted on all.

    Args:
        ids: [n_items] of the items of `data`.
        prior: A0 by part.
        setting: of A, as chosen.
        before: what serves; factors are turned so that items keep their place among its factors
            as far as they can. Points are rewritten one after the other, so that for a while the
            index holds both.
    """
    part = data.sampled(SELECTION_INTERACTIONS, seed)
    found = fit_factors(data.interactions, space.factors, choose_on=part.interactions, seed=seed)
    if found is None:
        return Learned()
    recipe, tried = choose_newcomers(part, found, seed=seed)
    trials = [
        run_trial(part, prior, setting, found.recipe, recipe, space.factors, seed=seed + number)
        for number in range(TRIALS)
    ]
    k = trusted_at(data.popularity())
    tuned = tune_gate([one for one in trials if one is not None], k)
    factors = with_newcomers(found, data, recipe)
    warm = factors.warm
    chosen = [ids[at] for at in warm]
    if before is not None:
        factors = factors.turned(turn_of(chosen, factors.items[warm], before))
    counts = data.popularity()[warm]
    arrays = {COUNTS: counts.astype(np.float32), FACTORS: factors.items[warm]}
    if factors.sources is not None:
        arrays[USERS] = factors.sources[warm]
    return Learned(
        gate=tuned.gate,
        collaborative=factors.side,
        items=Rows.of(chosen, arrays),
        report={
            "factors": {**asdict(factors.recipe), "validation_ndcg": factors.scores},
            "newcomers": {**(asdict(recipe) if recipe else {}), "validation_recall": tried},
            "gate": tuned.report(),
            "items": len(warm),
            "users": int(np.count_nonzero(np.diff(data.interactions.indptr))),
        },
    )


def turn_of(ids: Sequence[str], factors: Matrix, before: Hybrid) -> Matrix:
    """The rotation that brings factors nearest to those before (orthogonal Procrustes), [F, F].

    p_u^T v_i is the same in any rotation.
    """
    old = before.items
    unchanged = np.eye(factors.shape[1], dtype=np.float32)
    if old is None or before.space.factors != factors.shape[1]:
        return unchanged
    places = old.find(ids)
    known = places >= 0
    if not known.any():
        return unchanged
    left, _, right = np.linalg.svd(
        factors[known].T.astype(np.float64) @ old.take(FACTORS, places[known])
    )
    return np.asarray(left @ right, dtype=np.float32)
