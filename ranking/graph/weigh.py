"""How much a graph is worth to what is trained: items held out as if they had just arrived."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.vectors import Matrix
from ranking.graph.term import (
    MAX_CELLS,
    MAX_USERS,
    PERMUTATIONS,
    GraphReport,
    GraphTerm,
    Question,
    fit_graph_term,
)
from ranking.moments import Moments
from ranking.training import LEAST_INTERACTIONS, Setting, TrainingData, fit_projection

COLD_SHARE = 0.2
"""Of the items that somebody took: held out, and the candidates of the question."""

MOST_COLD = 10_000
"""Held out at most, so that a question of MAX_CELLS has some hundred users in it."""

SAMPLE_USERS = 20_000
"""Weighing looks at no more users than these; the spectral embedding knows all items anyway."""


def weigh(
    data: TrainingData,
    prior: Mapping[str, Matrix],
    setting: Setting,
    pi: Matrix,
    degrees: NDArray[np.integer],
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> tuple[GraphTerm, GraphReport]:
    """Fit the graph term for the content that serves, and set it beside its permuted control.

    A fifth of the items is held out, A is solved on the rest with the penalties that were chosen,
    its scores are standardised as the served query standardises them, and the term is fitted on
    top (`fit_graph_term`). A is solved once, however many graphs are permuted. Where too little
    is left to learn from or to ask about, nothing is weighed and beta is 0.

    Args:
        data: what the projection was trained on.
        prior: A0 by part.
        setting: the penalties of the projection.
        pi: [n_items, g], zero where an item has no place in the graph.
        degrees: [n_items], `shared_degrees`.

    Returns:
        the term, beta = 0 where the graph does not beat its control, and the report.
    """
    sample = _sampled(data, seed)
    random = np.random.default_rng(seed)
    taken = np.bincount(sample.interactions.indices, minlength=len(pi)) > 0
    drawn = random.permutation(np.flatnonzero(taken & np.any(data.items != 0, axis=1)))
    cold = np.sort(drawn[: min(int(len(drawn) * COLD_SHARE), MOST_COLD)])
    dropped = np.zeros(len(pi), dtype=bool)
    dropped[cold] = True
    rest = sample.without_items(dropped)
    question = _question(sample, rest, prior, setting, cold, random) if len(cold) > 1 else None
    asked = [] if question is None else [question]
    return fit_graph_term(
        rest.interactions, pi, degrees, asked, permutations=permutations, seed=seed
    )


def _question(
    data: TrainingData,
    rest: TrainingData,
    prior: Mapping[str, Matrix],
    setting: Setting,
    cold: NDArray[np.int64],
    random: np.random.Generator,
) -> Question | None:
    targets = csr_matrix(data.interactions[:, cold])
    users = np.flatnonzero((np.diff(rest.interactions.indptr) > 0) & (np.diff(targets.indptr) > 0))
    if not len(users) or rest.interactions.nnz < LEAST_INTERACTIONS:
        return None
    users = np.sort(random.permutation(users)[: min(MAX_USERS, MAX_CELLS // len(cold))])
    history = csr_matrix(rest.interactions[users])
    fitted = fit_projection(rest, prior, setting=setting)
    queries = fitted.queries(data, users, history)
    base = _standardised(queries, data.items, cold)
    return Question(history, cold, base, np.asarray(targets[users].todense()) > 0)


def _standardised(
    queries: Matrix, items: Matrix, candidates: NDArray[np.int64]
) -> NDArray[np.float32]:
    """(q . c - m) / s with m and s of the whole catalogue, as `Hybrid.query` has them."""
    moments = Moments.of(items)
    found = np.zeros((len(queries), len(candidates)), dtype=np.float32)
    for row, query in enumerate(queries):
        mean, deviation = moments.of_scores(query)
        found[row] = (items[candidates] @ query - mean) / deviation
    return found


def _sampled(data: TrainingData, seed: int) -> TrainingData:
    users = data.interactions.shape[0]
    if users <= SAMPLE_USERS:
        return data
    chosen = np.sort(np.random.default_rng(seed).permutation(users)[:SAMPLE_USERS])
    return data.of_users(chosen)
