"""Which items to ask a new user about, and what the answers say: a Gaussian belief over scores.

Whether a person takes item i is a number f_i, 1 or 0. Over n items it is believed to be normal,

    f ~ N(m, K),   K = C S C^T,

C the items' content vectors, m what is known before any answer (profile, bias) and S the
covariance of people's preferences in content space, learned from what others took (`learn_taste`).
An answer y_j is f_j with noise of variance s^2, so the belief after it is normal again (Gaussian
process regression; Rasmussen and Williams 2006, equations 2.25 and 2.26):

    m <- m + K_j (y_j - m_j) / (K_jj + s^2),   K <- K - K_j K_j^T / (K_jj + s^2).

In content space the answers add one vector to the person's query, S C_a^T (K_aa + s^2 I)^-1 r, r
being what the answers were beside what was expected: so one inner-product search ranks the whole
catalogue, cold items too.

The next question is the one that is expected to take most variance off the items that matter
(V-optimal design, chosen greedily; Fedorov 1972): with w_i the probability that i is one of the
person's best, and p_j the probability that the person knows j,

    gain_j = p_j sum_i w_i K_ij^2 / (K_jj + s^2).

That an item is not known is made use of when it happens (it is one more thing the person did not
take), but nobody is asked for its sake.

A question takes the variance of its neighbours with it, so the next one is asked elsewhere:
diversity needs no rule of its own. The w_i move with m, so the questions follow the answers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import ndtr

from domain.vectors import Matrix, Vector

Reals = NDArray[np.float64]

LIKED, DISLIKED, UNKNOWN = 1.0, -0.2, 0.0
"""y of an answer. Whoever does not like an item is below one who never met it."""

NOISE, NOISE_UNKNOWN = 0.1, 0.1
"""s^2: how far an answer may be off, beside a variance of f that is at most 1/4."""

BEST_SHARE = 0.1
"""The share of items that count as a person's best."""

RIDGE = 0.1
"""Of the map from content to what people take, in units of the mean eigenvalue of C^T C."""

TRUSTED_PEOPLE = 50.0
"""With so many people the learned covariance counts as much as one that knows nothing."""

RATE = 0.1
"""The share of items that a person takes, where nobody has taken any."""

TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Taste:
    """How people's preferences lie in content space.

    Attributes:
        mean: [d] float64; mean . c_i is how likely anybody takes item i, beside `rate`.
        covariance: [d, d] float64, symmetric, positive semidefinite.
        rate: the mean of f over items and people.
        spread: the standard deviation of an item's popularity; above 0.
    """

    mean: Reals
    covariance: Reals
    rate: float
    spread: float


def no_taste(dim: int) -> Taste:
    """What is assumed where nobody has taken anything: every direction alike."""
    return Taste(np.zeros(dim), np.eye(dim) * RATE * (1.0 - RATE), RATE, RATE)


def learn_taste(items: Matrix, taken: csr_matrix) -> Taste:
    """The mean and covariance of people's preferences, each the ridge regression of what they
    took on content; shrunk toward `no_taste` where few people have taken anything.

    Args:
        items: [n, d] float32, content vectors.
        taken: [people, n], 1 where a person took an item.
    """
    people, dim = taken.shape[0], items.shape[1]
    if not people or not taken.nnz:
        return no_taste(dim)
    content = items.astype(np.float64)
    gram = content.T @ content
    gram[np.diag_indices(dim)] += RIDGE * float(np.trace(gram)) / dim
    back = np.linalg.solve(gram, content.T)
    popularity = np.asarray(taken.mean(axis=0), dtype=np.float64).ravel()
    rate = float(popularity.mean())
    together = np.asarray((taken.T @ taken).todense(), dtype=np.float64) / people
    among_items = together - np.outer(popularity, popularity)
    covariance = back @ among_items @ back.T
    known = people / (people + TRUSTED_PEOPLE)
    plain = np.eye(dim) * max(rate * (1.0 - rate), TINY)
    return Taste(
        known * (back @ (popularity - rate)),
        known * (covariance + covariance.T) / 2.0 + (1.0 - known) * plain,
        rate,
        max(float(popularity.std()), TINY**0.5),
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said of one item: y and s^2."""

    value: float
    noise: float

    @classmethod
    def of(cls, liked: bool | None) -> Answer:
        """Liked, not liked, or (None) not known."""
        if liked is None:
            return cls(UNKNOWN, NOISE_UNKNOWN)
        return cls(LIKED if liked else DISLIKED, NOISE)


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of one person's f over n items.

    Attributes:
        means: [n] float64.
        covariance: [n, n] float64, symmetric, positive semidefinite.
    """

    means: Reals
    covariance: Reals

    @property
    def variances(self) -> Reals:
        """[n], never below 0."""
        return np.maximum(np.diagonal(self.covariance), 0.0)

    def after(self, item: int, answer: Answer) -> Belief:
        """The belief once this item has been answered."""
        column = self.covariance[item]
        scale = max(float(column[item]), 0.0) + answer.noise
        return Belief(
            self.means + column * ((answer.value - float(self.means[item])) / scale),
            self.covariance - np.outer(column, column / scale),
        )

    def expecting(self, item: int, known: float) -> Belief:
        """The belief once this item has been asked and its answer is not there yet."""
        column = self.covariance[item]
        scale = max(float(column[item]), 0.0) + NOISE
        return Belief(self.means, self.covariance - np.outer(column, column * (known / scale)))

    def best(self) -> Reals:
        """[n] in (0, 1): the probability that an item is above where the best BEST_SHARE of the
        means begin."""
        least = float(np.quantile(self.means, 1.0 - BEST_SHARE))
        return np.asarray(ndtr((self.means - least) / np.sqrt(self.variances + TINY)))

    def gains(self, known: Reals) -> Reals:
        """[n]: how much variance asking each item is expected to take off the best ones.

        Args:
            known: [n], the probability that the person knows each item.
        """
        taken = self.best() @ self.covariance**2
        return np.asarray(known * taken / (self.variances + NOISE))


def covariance_of(taste: Taste, items: Matrix) -> Reals:
    """K = C S C^T: [n, n] float64 of items with content vectors [n, d] float32."""
    content = items.astype(np.float64)
    return np.asarray(content @ taste.covariance @ content.T)


def prior_belief(taste: Taste, covariance: Reals, scores: Reals | None) -> Belief:
    """The belief before any answer.

    Args:
        covariance: [n, n] of `covariance_of`.
        scores: [n], what ranks the items so far, on any scale; None where nothing does.
    """
    means = np.full(len(covariance), taste.rate)
    deviation = 0.0 if scores is None else float(np.std(scores))
    if scores is not None and deviation > TINY:
        means = means + (scores - float(np.mean(scores))) * (taste.spread / deviation)
    return Belief(means, covariance)


def questions(belief: Belief, known: Reals, count: int, never: Collection[int] = ()) -> list[int]:
    """The items to ask next, best first; each is chosen as if those before it were answered.

    Args:
        known: [n], the probability that the person knows each item.
        never: items that are not asked: those that were, or may not be.
    """
    left = np.ones(len(belief.means), dtype=bool)
    left[list(never)] = False
    chosen: list[int] = []
    while len(chosen) < count and left.any():
        gains = np.where(left, belief.gains(known), -np.inf)
        item = int(np.argmax(gains))
        chosen.append(item)
        left[item] = False
        belief = belief.expecting(item, float(known[item]))
    return chosen


def answered(taste: Taste, items: Matrix, means: Reals, answers: Sequence[Answer]) -> Vector:
    """What answers add to a person's query, [d] float32: times c_i it is how far they move m_i.

    Args:
        items: [k, d] float32, content vectors of the items answered, each once.
        means: [k], m of these items before any answer.
        answers: k of them.
    """
    content = items.astype(np.float64)
    seen = content @ taste.covariance
    noise = np.array([answer.noise for answer in answers])
    beside = np.array([answer.value for answer in answers]) - means
    solved = np.linalg.solve(seen @ content.T + np.diag(noise), beside)
    return np.asarray(solved @ seen, dtype=np.float32)
