"""A by gradient descent on the contrastive loss InfoNCE, from the rows that the ridge has.

For a user's row z and an item c that they took, among items m that they did not take,

    s_i = g z^T A i,   loss = -log( exp s_c / (exp s_c + sum over m of exp s_m) ) + decay |A - A0|^2

(van den Oord, Li, Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018, eq.
4). z is what is known of the user without the item that is to be found; a sixth of the rows has a
shortened history, as in the sums of the ridge. A starts at A0, and g, one over the temperature, is
learned along with it. The gradient is written out: no more than products of matrices is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.vectors import Matrix
from ranking.training.data import Double, TrainingData
from ranking.training.pairs import drawn, only, owners, turns
from ranking.training.solve import Sums
from ranking.training.statistics import LENGTHS
from ranking.training.users import user_layout, user_rows
from ranking.user import profile_rows

MOST_USERS = 10_000
"""Users who are learned from, at most; others by lot."""

ITEMS_PER_USER = 4
"""That are to be found, in each pass."""

PAIRS = 2048
"""Per step."""

NEGATIVES = 1024
"""Items beside the one to be found, drawn anew for every step; all, if there are fewer."""

SHORTENED = 1.0 / 6.0
"""Of the rows: what omega gives to shortened ones in the sums of the ridge."""

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Of Adam (Kingma and Ba, 2015)."""


@dataclass(frozen=True, slots=True)
class InfoNce:
    """How it is descended.

    Attributes:
        decay: of A toward A0, >= 0.
        mix: how much of A is descended, 0 to 1; the rest is the ridge's (`mixed`).
        temperature: that it starts with, > 0.
        learning_rate: of Adam.
        epochs: passes, in each of which every user is asked for up to ITEMS_PER_USER items.
    """

    decay: float = 1e-2
    temperature: float = 0.2
    learning_rate: float = 1e-3
    epochs: int = 20
    mix: float = 1.0


def fit_infonce(data: TrainingData, start: Double, recipe: InfoNce, *, seed: int = 0) -> Double:
    """A stacked by the parts of z, [d_u, d] float64; the same for the same seed.

    Args:
        start: A0, [d_u, d].
    """
    rng = np.random.default_rng(seed)
    people = learners(data, rng)
    known = start.astype(np.float32)
    descent = _Descent(known.shape, np.log(1.0 / recipe.temperature), recipe)
    for batch in _batches(people, recipe.epochs, rng):
        descent.step(*contrast(batch, known + descent.change, descent.log_scale))
    return start + descent.change.astype(np.float64)


def mixed(ridge: Double, descended: Double, mix: float, sums: Sums) -> Double:
    """(1 - mix) ridge + mix s descended, [d_u, d]: s makes both alike in how far their scores of a
    user spread over the items, so that their scores are averaged as equals.

    Both are estimates of one matrix that err differently: the ridge shrinks, the softmax fits.
    """
    spread = [_spread(one, sums) for one in (ridge, descended)]
    return (1.0 - mix) * ridge + mix * spread[0] / max(spread[1], EPSILON) * descended


def _spread(a: Double, sums: Sums) -> float:
    """sqrt(tr(A Cov(c) A^T G)), by the sums' users and items."""
    items, mean = sums.gram[:-1, :-1], sums.gram[:-1, -1]
    spread = items - np.outer(mean, mean) / max(float(sums.gram[-1, -1]), EPSILON)
    return float(np.sqrt(max(float(np.sum((a @ spread) * (sums.statistics.gram @ a))), 0.0)))


@dataclass(frozen=True)
class Batch:
    """Pairs of a user and an item, and items to tell that from.

    Attributes:
        rows: [n, d_u] float32, z.
        wanted: [n, d] float32.
        others: [m, d] float32.
        own: [n, m], which of the others the user has too: they count for nothing.
    """

    rows: Matrix
    wanted: Matrix
    others: Matrix
    own: NDArray[np.bool_]


Gradient: TypeAlias = tuple[Matrix, float]
"""The mean loss by A, [d_u, d], and by the logarithm of g."""


def contrast(batch: Batch, a: Matrix, log_scale: float) -> Gradient:
    """The gradient of the mean loss, decay left out.

    Args:
        a: [d_u, d] float32.
        log_scale: log g.
    """
    scale = np.float32(np.exp(log_scale))
    mapped = batch.rows @ a
    scores = np.empty((len(mapped), 1 + len(batch.others)), dtype=np.float32)
    scores[:, 0] = np.einsum("ij,ij->i", mapped, batch.wanted)
    scores[:, 1:] = mapped @ batch.others.T
    shares = scores * scale
    shares[:, 1:][batch.own] = -np.inf
    shares -= shares.max(axis=1, keepdims=True)
    np.exp(shares, out=shares)
    shares /= shares.sum(axis=1, keepdims=True)
    shares[:, 0] -= 1.0
    shares /= len(shares)
    by_scale = float(np.vdot(shares, scores)) * float(scale)
    pulled = shares[:, :1] * batch.wanted + shares[:, 1:] @ batch.others
    return np.asarray(scale * (batch.rows.T @ pulled), dtype=np.float32), by_scale


class _Descent:
    """Adam on A - A0 and on log g.

    Attributes:
        change: A - A0, [d_u, d] float32.
        log_scale: log g.
    """

    def __init__(self, shape: tuple[int, ...], log_scale: float, recipe: InfoNce) -> None:
        self.change = np.zeros(shape, dtype=np.float32)
        self.log_scale = float(log_scale)
        self._recipe = recipe
        self._first, self._second = np.zeros_like(self.change), np.zeros_like(self.change)
        self._scale_first = self._scale_second = 0.0
        self._steps = 0

    def step(self, by_a: Matrix, by_scale: float) -> None:
        by_a += np.float32(2.0 * self._recipe.decay) * self.change
        self._steps += 1
        one, two = BETAS
        self._first += np.float32(1.0 - one) * (by_a - self._first)
        self._second += np.float32(1.0 - two) * (by_a**2 - self._second)
        self._scale_first += (1.0 - one) * (by_scale - self._scale_first)
        self._scale_second += (1.0 - two) * (by_scale**2 - self._scale_second)
        rate = self._recipe.learning_rate / (1.0 - one**self._steps)
        unbias = np.sqrt(1.0 - two**self._steps)
        self.change -= np.float32(rate) * (
            self._first / (np.sqrt(self._second) / np.float32(unbias) + np.float32(EPSILON))
        )
        self.log_scale -= (
            rate * self._scale_first / (np.sqrt(self._scale_second) / unbias + EPSILON)
        )


# ---------------------------------------------------------------------- who is asked for what


def learners(data: TrainingData, rng: np.random.Generator) -> TrainingData:
    """Users with two items at least: one alone leaves nothing to find it by."""
    able = np.flatnonzero(np.diff(data.interactions.indptr) > 1)
    return data.of_users(np.sort(rng.permutation(able)[:MOST_USERS]))


def _batches(data: TrainingData, epochs: int, rng: np.random.Generator) -> Iterator[Batch]:
    taken, owner = data.interactions, owners(data.interactions)
    warm = np.unique(taken.indices)
    layout = user_layout(data.blocks, data.profiles)
    said = profile_rows(data.blocks, data.profiles)
    items = data.items.astype(np.float32, copy=False)
    for _ in range(epochs):
        shown = _shown(taken, rng)
        history = only(taken, shown)
        sums, counts = history @ items, np.diff(history.indptr)
        pairs = rng.permutation(np.flatnonzero(drawn(taken, ITEMS_PER_USER, rng)))
        for at in range(0, len(pairs), PAIRS):
            part = pairs[at : at + PAIRS]
            users, wanted = owner[part], items[taken.indices[part]]
            left = counts[users] - shown[part]
            past = sums[users] - (taken.data[part] * shown[part])[:, None] * wanted
            past[left == 0] = 0.0
            profiles = {name: rows[users] for name, rows in said.items()}
            rows = user_rows(data.blocks, layout, profiles, past, left.astype(np.float64), data.k0)
            beside = warm if len(warm) <= NEGATIVES else rng.choice(warm, NEGATIVES, replace=False)
            own = taken[users][:, beside].toarray() > 0
            yield Batch(rows.astype(np.float32), wanted, items[beside], own)


def _shown(taken: csr_matrix, rng: np.random.Generator) -> NDArray[np.bool_]:
    """[nnz] which pairs are in the histories of a pass: all, or as few as new users have."""
    count = taken.shape[0]
    lengths = rng.choice(LENGTHS, size=count)
    lengths[rng.random(count) >= SHORTENED] = taken.shape[1]
    owner = owners(taken)
    kept: NDArray[np.bool_] = turns(owner, rng.random(taken.nnz), count) < lengths[owner]
    return kept
