"""The additive graph term, and the permuted graphs that it has to beat.

    s(u, i) = base(u, i) + beta * ( pi_u^T G pi_i / s_u  +  w * b^T pi_i / s_b )

pi_i is the item's spectral embedding (zero without a link), pi_u the mean of the history's; G is
the identity or the bilinear ridge of SCIENCE section 2 in d_graph dimensions; b is what the graph
says of popularity, by the same ridge with the user "1"; s_u and s_b are the standard deviations
over the linked items, so that beta speaks in units of a standardised base score. Everything is
linear in pi_i: the query's graph part is q_g = beta (G^T pi_u / s_u + w b / s_b).

G's form, w and beta are chosen on validation. The *control* does the same with a graph whose
links are exchanged at random: among items with about as many features, so that whatever follows
from being linked, from how richly an item is described (which goes with popularity), and from the
freedom of choice stays. beta is 0 unless the graph's gain exceeds that of every permuted graph, and
their mean by DEVIATIONS standard deviations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.errors import RejectedError
from domain.vectors import Matrix, Vector
from ranking.quality import ndcg

BETAS = (0.1, 0.2, 0.4, 0.8, 1.2)
BIAS_WEIGHTS = (0.0, 0.5, 1.0)
RIDGES = ((0.01, 3.0),)
"""(l1, l2) of G: relative to the mean variance of users, absolute for items (SCIENCE section 2)."""

IDENTITY, RIDGE = "identity", "ridge"
PERMUTATIONS = 5
DEVIATIONS = 2.0
"""A graph has to beat its permuted graphs, and their mean by so many standard deviations."""

STRATA = 20
"""The control exchanges links among items in the same twentieth by number of features."""

MAX_USERS = 2000
MAX_CELLS = 4_000_000
"""Users of a question, and users times candidates; more users are thinned out evenly."""

TINY = 1e-9


@dataclass(frozen=True)
class Question:
    """Validation: whom to rank what for, and what was right.

    Attributes:
        history: [n, n_items] weights > 0, what is known of each user.
        candidates: [c] columns of the items that are ranked.
        base: [n, c] standardised scores without the graph; -inf where an item is masked.
        relevant: [n, c] bool.
    """

    history: csr_matrix
    candidates: NDArray[np.int64]
    base: NDArray[np.float32]
    relevant: NDArray[np.bool_]

    def thinned(self) -> Question:
        """Within MAX_USERS and MAX_CELLS, the users evenly chosen."""
        users = max(1, min(MAX_USERS, MAX_CELLS // max(len(self.candidates), 1)))
        if len(self.base) <= users:
            return self
        rows = np.linspace(0, len(self.base) - 1, users).astype(np.int64)
        return Question(
            csr_matrix(self.history[rows]), self.candidates, self.base[rows], self.relevant[rows]
        )


@dataclass(frozen=True)
class Choice:
    """One setting of the term and what it is worth on validation.

    Attributes:
        gain: NDCG@20 with the term minus without; 0 where no beta helped.
    """

    form: str
    bias_weight: float
    beta: float
    gain: float


@dataclass(frozen=True)
class GraphReport:
    """What the graph is worth, always with its control beside it.

    Attributes:
        base: NDCG@20 on validation without the graph.
        gain: what the graph adds.
        control: what graphs permuted among items of like degree add, one by one.
        shuffled: what graphs permuted among all linked items add.
        linked: share of items with an embedding; of the candidates in `linked_candidates`.
        kept: whether the term serves; otherwise beta = 0.
    """

    base: float
    gain: float
    control: tuple[float, ...]
    shuffled: tuple[float, ...]
    linked: float
    linked_candidates: float
    chosen: Choice
    kept: bool

    @property
    def beta(self) -> float:
        """As it serves."""
        return self.chosen.beta if self.kept else 0.0

    @property
    def controls(self) -> dict[str, tuple[float, float]]:
        """NDCG@20 with the permuted graphs of either kind: mean, and standard deviation."""
        kinds = {"like_degree": self.control, "any_degree": self.shuffled}
        return {name: (self.base + _mean(gains), _spread(gains)) for name, gains in kinds.items()}

    def __str__(self) -> str:
        if not self.linked:
            return (
                "0% of items have a place in it: beta = 0, it changes no score; publish the items,"
                " then `firstlight graph link`"
            )
        if not self.control:
            return (
                f"{self.linked:.0%} of items have a place in it, too little to weigh it on:"
                " beta = 0, it changes no score"
            )
        like, any_ = (f"{mean:.4f} (deviation {of:.4f})" for mean, of in self.controls.values())
        decided = (
            f"beta = {self.beta:g}"
            if self.kept
            else "it does not beat them: beta = 0, it changes no score"
        )
        return (
            f"NDCG@20 {self.base:.4f} without, {self.base + self.gain:.4f} with it; with graphs"
            f" permuted among items of like degree {like}, among all {any_};"
            f" {self.linked:.0%} of items have a place in it; {decided}"
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class GraphTerm:
    """The term as it serves.

    Attributes:
        beta: 0 where the graph does not serve.
        matrix: [g, g] float32, G.
        bias: [g] float32, w b / s_b.
        covariance: [g, g] float32 of pi over the linked items, for s_u.
    """

    beta: float
    matrix: Matrix = field(repr=False)
    bias: Vector = field(repr=False)
    covariance: Matrix = field(repr=False)

    @property
    def dim(self) -> int:
        """Length of pi."""
        return len(self.bias)

    def query(self, pi_u: Vector | None) -> Vector:
        """The graph part of a query, [g] float32; pi_u None or zero: the bias alone."""
        if pi_u is None:
            return np.asarray(self.beta * self.bias, dtype=np.float32)
        return np.asarray(self.queries(pi_u[None])[0])

    def queries(self, pi_u: Matrix) -> Matrix:
        """`query` for many users, [n, g] -> [n, g]."""
        asked = standardised(pi_u @ self.matrix, self.covariance)
        return np.asarray(self.beta * (asked + self.bias), dtype=np.float32)

    def check(self, dim: int) -> None:
        """Refuse what cannot serve in a collection with `dim` graph numbers.

        Raises:
            RejectedError: a wrong shape, NaN or infinity.
        """
        shapes = {"matrix": (dim, dim), "bias": (dim,), "covariance": (dim, dim)}
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape:
                raise RejectedError(
                    f"has shape {array.shape}, expected {shape}",
                    field=f"graph.{name}",
                    remedy="import the graph and train again with the serving graph_dim",
                )
            if not np.isfinite(array).all():
                raise RejectedError("holds NaN or infinity", field=f"graph.{name}")
        if not np.isfinite(self.beta) or self.beta < 0:
            raise RejectedError(f"is {self.beta}", field="graph.beta")


def no_term(dim: int) -> GraphTerm:
    """beta = 0: what serves before a graph has been trained."""
    zeros = np.zeros((dim, dim), dtype=np.float32)
    return GraphTerm(0.0, np.eye(dim, dtype=np.float32), zeros[0], zeros)


def standardised(queries: Matrix, covariance: Matrix) -> Matrix:
    """q / sqrt(q^T Cov q), row by row; a query that separates nothing becomes zero."""
    wide = queries.astype(np.float64)
    spread = np.sqrt(np.maximum(np.einsum("ng,gh,nh->n", wide, covariance, wide), 0.0))
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > TINY)
    return np.asarray(wide * scale[:, None], dtype=np.float32)


def user_graph_vectors(history: csr_matrix, pi: Matrix) -> Matrix:
    """pi_u: the weighted mean of pi over the linked items of each history, [n, g]; zero if none."""
    linked = np.any(pi != 0, axis=1).astype(np.float32)
    total = np.asarray(history @ linked)[:, None]
    return np.asarray((history @ pi) / np.maximum(total, TINY), dtype=np.float32)


def fit_graph_term(
    train: csr_matrix,
    pi: Matrix,
    degrees: NDArray[np.integer],
    questions: Sequence[Question],
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> tuple[GraphTerm, GraphReport]:
    """Fit G and b, choose form, w and beta, do the same for permuted graphs, and decide.

    Args:
        train: [n_users, n_items] weights > 0.
        pi: [n_items, g], zero where an item is not linked.
        degrees: [n_items] features each item shares with others (`shared_degrees`), which the
            control leaves about as many as they are.
        questions: validation; their mean NDCG@20 decides.
        permutations: of either kind.

    Returns:
        the term, with beta = 0 where the graph does not beat its control, and the report.
    """
    asked = [question.thinned() for question in questions]
    base = [ndcg(question.base, question.relevant) for question in asked]
    linked = np.flatnonzero(np.any(pi != 0, axis=1))
    seen = np.unique(np.concatenate([np.zeros(0, np.int64), *(q.candidates for q in asked)]))
    if len(linked) < 2 or not asked:
        chosen = Choice(IDENTITY, 0.0, 0.0, 0.0)
        report = GraphReport(
            _mean(base), 0.0, (), (), len(linked) / max(len(pi), 1), 0.0, chosen, False
        )
        return no_term(pi.shape[1]), report
    terms, chosen = _choose(train, pi, asked, base)
    random = np.random.default_rng(seed)
    strata = _strata(degrees, linked)
    control = [
        _choose(train, permuted(pi, strata, random), asked, base)[1].gain
        for _ in range(permutations)
    ]
    shuffled = [
        _choose(train, permuted(pi, [linked], random), asked, base)[1].gain
        for _ in range(permutations)
    ]
    kept = chosen.gain > max((0.0, *control, *shuffled, _usual(control), _usual(shuffled)))
    report = GraphReport(
        base=_mean(base),
        gain=chosen.gain,
        control=tuple(control),
        shuffled=tuple(shuffled),
        linked=len(linked) / len(pi),
        linked_candidates=float(np.isin(seen, linked).mean()),
        chosen=chosen,
        kept=kept,
    )
    matrix, bias, covariance = terms
    return GraphTerm(chosen.beta if kept else 0.0, matrix, bias, covariance), report


def _usual(gains: Sequence[float]) -> float:
    """Up to where chance reaches: mean + DEVIATIONS standard deviations.

    Five permuted graphs alone would let one graph of chance in six pass.
    """
    if len(gains) < 2:
        return 0.0
    return _mean(gains) + DEVIATIONS * _spread(gains)


def permuted(
    pi: Matrix, groups: Sequence[NDArray[np.int64]], random: np.random.Generator
) -> Matrix:
    """The embeddings exchanged at random within each group of items.

    The same as exchanging the items' links before the spectral fit, which does not depend on the
    order of the rows.
    """
    found = pi.copy()
    for group in groups:
        found[group] = pi[random.permutation(group)]
    return found


def _strata(degrees: NDArray[np.integer], linked: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    ordered = linked[np.argsort(degrees[linked], kind="stable")]
    return [part for part in np.array_split(ordered, min(STRATA, len(linked) // 2)) if len(part)]


def ridge_form(train: csr_matrix, pi: Matrix, l1: float, l2: float) -> tuple[Matrix, Vector]:
    """G and b of the bilinear ridge (SCIENCE section 2) with P and C both in the graph's space."""
    linked = np.any(pi != 0, axis=1)
    counts = np.maximum(np.asarray(train @ linked.astype(np.float32)), 1.0)
    users = (train @ pi).astype(np.float64) / np.sqrt(counts)[:, None]
    popularity = np.maximum(np.asarray(train.sum(axis=0)).ravel(), 1.0)
    targets = train @ (pi.astype(np.float64) / np.sqrt(popularity)[:, None])
    warm = np.asarray(train.getnnz(axis=0) > 0)
    items = pi[warm].astype(np.float64)
    dim = pi.shape[1]
    left = users.T @ users
    left += (l1 * np.trace(left) / dim + TINY) * np.eye(dim)
    right = items.T @ items + l2 * np.eye(dim)
    matrix = np.linalg.solve(right, np.linalg.solve(left, users.T @ targets).T).T
    bias = np.linalg.solve(right, targets.sum(axis=0))
    return matrix.astype(np.float32), bias.astype(np.float32)


def _choose(
    train: csr_matrix, pi: Matrix, questions: Sequence[Question], base: Sequence[float]
) -> tuple[tuple[Matrix, Vector, Matrix], Choice]:
    linked = np.any(pi != 0, axis=1)
    wide = np.cov(pi[linked].T.astype(np.float64)).reshape(pi.shape[1], -1)
    covariance: Matrix = wide.astype(np.float32)
    learned = [ridge_form(train, pi, l1, l2) for l1, l2 in RIDGES]
    forms = [(IDENTITY, np.eye(pi.shape[1], dtype=np.float32)), *((RIDGE, g) for g, _ in learned)]
    bias = standardised(learned[0][1][None], covariance)[0]
    best, kept = Choice(IDENTITY, 0.0, 0.0, 0.0), (forms[0][1], bias * np.float32(0.0))
    said = [pi[question.candidates] @ bias for question in questions]
    users = [user_graph_vectors(question.history, pi) for question in questions]
    for form, matrix in forms:
        scores = [
            standardised(of_users @ matrix, covariance) @ pi[question.candidates].T
            for question, of_users in zip(questions, users, strict=True)
        ]
        for weight in BIAS_WEIGHTS:
            for beta in BETAS:
                found = [
                    ndcg(
                        question.base + np.float32(beta) * (own + np.float32(weight) * all_),
                        question.relevant,
                    )
                    for question, own, all_ in zip(questions, scores, said, strict=True)
                ]
                gain = _mean(found) - _mean(base)
                if gain > best.gain:
                    best = Choice(form, weight, beta, gain)
                    kept = (matrix, bias * np.float32(weight))
    return (kept[0], kept[1], covariance), best


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0


def _spread(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
