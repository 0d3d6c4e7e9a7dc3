"""Collaborative factors of everything that somebody took: EASE in factors, or ALS.

EASE (Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019) is an item-item
model in closed form,

    B = I - P diag(P)^-1,   P = (X^T X + l I)^-1,   predictions S = X B

with n_items^2 numbers. It is kept as F of them per item, in the metric of its own predictions:
with V the first F eigenvectors of S^T S, S V V^T is the nearest to S of all matrices of rank F
(Eckart and Young), so that

    p_u = sum over the history of w_j x_j,   x_j = (B V)_j,   v_i = V_i

It takes memory n_items^2 and time n_items^3; beyond EASE_ITEMS there is implicit-feedback ALS
(Hu, Koren, Volinsky, ICDM 2008), whose time is linear in interactions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import eigsh

from domain.vectors import Matrix
from ranking.collaborative import FEW, FOLD_HISTORY, FOLD_USERS, Collaborative, Method
from ranking.moments import TINY, Moments
from ranking.quality import ndcg
from ranking.training.data import Sparse
from ranking.training.pairs import drawn, hold_out, only

EASE_ITEMS = 10_000
"""With more items taken, ALS: EASE's matrices would pass 400 MB each, its time minutes."""

LEAST_WARM = 8
"""With fewer items that anybody took there is nothing to factorise."""

HELD_OUT = 0.1
"""Of the pairs, hidden while a recipe is chosen."""

JUDGES = 1500
"""Users whose hidden pairs are looked for, at most."""

ALS_ITERATIONS = 15

FOLD_RIDGE = 3.0
"""Of items folded into EASE's factors, in units of the mean of P^T P's diagonal: it settles only
the direction of v_i, and for that a large one is best."""


@dataclass(frozen=True, slots=True)
class FactorRecipe:
    """How factors are made.

    Attributes:
        method: "ease" or "als".
        strength: l of EASE, the regularisation of ALS; > 0.
        alpha: ALS's confidence of one unit of weight; > 0.
    """

    method: Method = "ease"
    strength: float = 300.0
    alpha: float = 1.0


EASE_RECIPES = tuple(FactorRecipe("ease", strength) for strength in (30.0, 100.0, 300.0, 1000.0))
ALS_RECIPES = tuple(
    FactorRecipe("als", strength, alpha) for alpha in (1.0, 5.0) for strength in (1.0, 30.0)
)


@dataclass(frozen=True)
class Factors:
    """What came of it.

    Attributes:
        recipe: how they were made.
        side: folds users and items in.
        items: [n_items, F] float32, v_i; zeros for an item that nobody took.
        sources: [n_items, F] float32, x_j of EASE; None for ALS.
        scores: {recipe: NDCG@20 on hidden pairs}; empty where nothing was chosen.
    """

    recipe: FactorRecipe
    side: Collaborative
    items: Matrix = field(repr=False)
    sources: Matrix | None = field(default=None, repr=False)
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def warm(self) -> NDArray[np.int64]:
        """Rows of the items that have factors."""
        return np.flatnonzero(np.any(self.items != 0, axis=1))

    @property
    def rows(self) -> Matrix:
        """[n_items, F], what p_u is folded in from: x_j, of ALS v_j."""
        return self.items if self.sources is None else self.sources

    def people(self, history: csr_matrix) -> Matrix:
        """p_u of histories [n, n_items]: [n, F] float32; zeros where nothing has factors."""
        return self.side.fold_in_all(self.rows, history)

    def known(self, history: csr_matrix) -> NDArray[np.int64]:
        """How many items of histories [n, n_items] have factors, [n]."""
        return np.asarray(history[:, np.any(self.rows != 0, axis=1)].getnnz(axis=1))

    def turned(self, turn: Matrix) -> Factors:
        """The same in other axes, `turn` [F, F] orthogonal."""
        return replace(
            self,
            side=self.side.turned(turn),
            items=self.items @ turn,
            sources=None if self.sources is None else self.sources @ turn,
        )


def fit_factors(
    interactions: Sparse,
    width: int,
    *,
    recipes: Sequence[FactorRecipe] | None = None,
    choose_on: Sparse | None = None,
    seed: int = 0,
) -> Factors | None:
    """Factors by the recipe that finds hidden pairs best; None where there is too little.

    Args:
        interactions: [n_users, n_items] weights > 0.
        width: F; fewer are used where there are fewer users or items, the rest are zeros.
        recipes: what to choose from; by default those that suit the number of items.
        choose_on: some users' rows, to choose on; by default all.
    """
    taken = np.flatnonzero(np.bincount(interactions.indices, minlength=interactions.shape[1]))
    if len(taken) < LEAST_WARM or not width:
        return None
    if recipes is None:
        recipes = EASE_RECIPES if len(taken) <= EASE_ITEMS else ALS_RECIPES
    if len(recipes) == 1:
        return _made(interactions, width, recipes[0], seed)
    looked_at = interactions if choose_on is None else choose_on
    rest, hidden = hold_out(looked_at, HELD_OUT, np.random.default_rng(seed))
    scores: dict[FactorRecipe, float] = {}
    for recipe in recipes:
        found = _made(rest, width, recipe, seed)
        scores[recipe] = 0.0 if found is None else _quality(found, rest, hidden, seed)
    best = max(recipes, key=scores.__getitem__)
    made = _made(interactions, width, best, seed)
    if made is None:
        return None
    told = {_named(recipe): score for recipe, score in scores.items()}
    return Factors(best, made.side, made.items, made.sources, told)


def _quality(factors: Factors, rest: csr_matrix, hidden: csr_matrix, seed: int) -> float:
    asked = np.flatnonzero(np.diff(hidden.indptr) > 0)
    users = np.sort(np.random.default_rng(seed).permutation(asked)[:JUDGES])
    warm = factors.warm
    known = rest[users]
    scores = factors.people(known) @ factors.items[warm].T
    scores[known[:, warm].toarray() > 0] = -np.inf
    return ndcg(scores, hidden[users][:, warm].toarray() > 0)


def _named(recipe: FactorRecipe) -> str:
    told = f"{recipe.method} strength={recipe.strength:g}"
    return told if recipe.method == "ease" else f"{told} alpha={recipe.alpha:g}"


def _made(interactions: Sparse, width: int, recipe: FactorRecipe, seed: int) -> Factors | None:
    counts = np.bincount(interactions.indices, minlength=interactions.shape[1])
    warm = np.flatnonzero(counts)
    taken = csr_matrix(interactions[:, warm], dtype=np.float32)
    taken = csr_matrix(taken[np.diff(taken.indptr) > 0])
    rank = min(width, len(warm) - 1, taken.shape[0])
    if rank < 1:
        return None
    make = _ease if recipe.method == "ease" else _als
    found = make(taken, rank, width, recipe, seed)
    if found is None:
        return None
    items, sources, side = found
    size = (len(counts), width)
    return Factors(
        recipe,
        side,
        _placed(items, warm, size),
        None if sources is None else _placed(sources, warm, size),
    )


Made = tuple[Matrix, Matrix | None, Collaborative]
"""v of items [n, F], x of items [n, F] or None, and what folds in."""


def _ease(taken: csr_matrix, rank: int, width: int, recipe: FactorRecipe, seed: int) -> Made | None:
    """None where nobody took two items: then EASE predicts nothing."""
    seen = taken.copy()
    seen.data = np.ones_like(seen.data)
    gram = np.asarray((seen.T @ seen).todense(), dtype=np.float32)
    model = item_item(gram, recipe.strength)
    predicted = model.T @ (gram @ model)
    if not predicted.any():
        return None
    start = np.full(len(gram), 1.0, dtype=predicted.dtype)
    _, axes = eigsh(predicted, k=rank, v0=start)
    items = _wide(axes[:, ::-1].astype(np.float32), width)
    sources = np.asarray(model @ items, dtype=np.float32)
    short = drawn(seen, FOLD_HISTORY, np.random.default_rng(seed))
    people = np.asarray(only(seen, short) @ sources, dtype=np.float32)
    user_gram = people.T @ people
    side = Collaborative(
        method="ease",
        item_gram=items.T @ items,
        user_gram=user_gram,
        regularization=max(FOLD_RIDGE * float(np.trace(user_gram)) / rank, TINY),
        alpha=recipe.alpha,
        moments=Moments.of(items),
    )
    counts = np.asarray(seen.sum(axis=0)).ravel()
    few, known = np.flatnonzero(counts < FEW), counts >= FOLD_USERS
    if known.sum() < LEAST_WARM:
        known = counts >= FEW
    if known.sum() >= LEAST_WARM:
        together = np.asarray(seen.T @ people)  # [n, F], the sum of p_u over an item's users
        own = np.einsum("ij,ij->i", together, items) / counts
        side = replace(side, level=max(float(np.median(own[known])), 0.0))
        items[few] = _folded(side, together[few], counts[few])
        side = replace(side, item_gram=items.T @ items, moments=Moments.of(items))
    return items, sources, side


def item_item(gram: Matrix, strength: float) -> Matrix:
    """B of EASE, [n, n] float32."""
    count = len(gram)
    identity = np.eye(count, dtype=np.float32)
    factor = linalg.cho_factor(
        gram + np.float32(strength) * identity, lower=True, overwrite_a=True, check_finite=False
    )
    inverse = linalg.cho_solve(factor, identity, overwrite_b=True, check_finite=False)
    model = -inverse / np.diag(inverse)[None, :]
    np.fill_diagonal(model, 0.0)
    return np.asarray(model, dtype=np.float32)


def _folded(side: Collaborative, together: Matrix, counts: NDArray[Any]) -> Matrix:
    """`Collaborative.fold_in_item` of many items of EASE, [n, F], by the sums of p_u over their
    users, [n, F], and how many they are, [n]."""
    left = side.user_gram + side.regularization * np.eye(side.dim)
    found = np.linalg.solve(left, together.T).T.astype(np.float32)
    own = np.einsum("ij,ij->i", together, found) / counts
    return found * side.stretch(own, counts)[:, None]


def _als(taken: csr_matrix, rank: int, width: int, recipe: FactorRecipe, seed: int) -> Made:
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    # implicit brings its own threads; those of BLAS beside them slow it several times.
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=rank,
            regularization=recipe.strength,
            alpha=recipe.alpha,
            iterations=ALS_ITERATIONS,
            random_state=seed,
        )
        model.fit(taken, show_progress=False)
    items, people = _wide(model.item_factors, width), _wide(model.user_factors, width)
    side = Collaborative(
        method="als",
        item_gram=items.T @ items,
        user_gram=people.T @ people,
        regularization=recipe.strength,
        alpha=recipe.alpha,
        moments=Moments.of(items),
    )
    return items, None, side


def _wide(rows: NDArray[np.floating], width: int) -> Matrix:
    found = np.zeros((len(rows), width), dtype=np.float32)
    found[:, : rows.shape[1]] = rows
    return found


def _placed(rows: Matrix, at: NDArray[np.int64], shape: tuple[int, int]) -> Matrix:
    found = np.zeros(shape, dtype=np.float32)
    found[at, : rows.shape[1]] = rows
    return found
