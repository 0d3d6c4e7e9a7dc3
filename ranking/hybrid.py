"""The hybrid that serves: content, collaborative part and graph as one inner-product query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.errors import RejectedError
from domain.vectors import Matrix, Vector
from ranking.collaborative import Collaborative, Taken
from ranking.graph.term import GraphTerm
from ranking.layout import FusionLike
from ranking.moments import TINY, Moments
from ranking.projection import Projection, prior
from ranking.query import Query
from ranking.rows import Rows
from ranking.space import CF, GRAPH, RankSpace
from ranking.user import UserVector

ITEMS = "items"
COUNTS, FACTORS, USERS = "counts", "factors", "users"

NEW = 7.0
"""Items known of a user at which half of what the gate adds for newcomers is gone; the rest goes
within a few items more."""


@dataclass(frozen=True, slots=True)
class Gate:
    """How far an item's own interactions are trusted (SCIENCE section 1).

        g_i = N_i / (N_i + k),  w_i = (1 - g_i) + g_i a,
        kappa_u = kappa (1 + l / (1 + (n_u / NEW)^8)),
        s(u, i) = w_i z_u(content) + kappa_u g_i z_u(CF)

    n_u is how many items with factors are known of the user. What a sentence or three items say of
    the content somebody wants is vague, what people like them take is known better: l says by how
    much.

    Attributes:
        k: interactions at which half is trusted; > 0.
        warm: a, the weight of content for an item of very many interactions; > 0.
        kappa: the weight of the collaborative part, for a user of very many items; >= 0.
        newcomer: l, by how much more it counts for users of whom nothing is known; >= 0.
    """

    k: float = 10.0
    warm: float = 1.0
    kappa: float = 1.0
    newcomer: float = 0.0

    def gates(self, counts: ArrayLike) -> NDArray[np.float64]:
        """g of items with these numbers of users, [n] float64."""
        number = np.maximum(np.asarray(counts, dtype=np.float64), 0.0)
        return number / (number + self.k)

    def kappas(self, known: ArrayLike) -> NDArray[np.float64]:
        """kappa_u of users of whom so many items are known, [n] float64."""
        number = np.asarray(known, dtype=np.float64)
        return self.kappa * (1.0 + self.newcomer / (1.0 + (number / NEW) ** 8))

    def counts(self, gates: ArrayLike) -> NDArray[np.float64]:
        """The numbers of users behind gates, [n] float64: N = k g / (1 - g)."""
        gate = np.asarray(gates, dtype=np.float64)
        return self.k * gate / np.maximum(1.0 - gate, TINY)

    def check(self) -> None:
        """Raises RejectedError for what makes no sense."""
        for name, value, least in (
            ("k", self.k, 0.0),
            ("warm", self.warm, 0.0),
            ("kappa", self.kappa, -TINY),
            ("newcomer", self.newcomer, -TINY),
        ):
            if not (np.isfinite(value) and value > least):
                raise RejectedError(f"{value} makes no sense", field=f"gate.{name}")


@dataclass(frozen=True, slots=True)
class Hybrid:
    """Everything that ranks one collection. Without the optional parts it is the projection alone:
    m = 0, s = 1 and g = 0.

    Attributes:
        version: names the content.
        projection: A.
        space: of the rank vectors.
        gate: k, a and kappa.
        moments: of the content vectors c; None: scores are not standardised.
        collaborative: folds users and items in; None: there is no collaborative part.
        graph: the graph term; None: there is none.
        graph_version: the graph whose places pi it speaks of; with any other it is silent.
        item_version: names what an item's rank vector is made with: gate, counts, factors.
        items: what was trained of each item: "counts" [n] (N_i), "factors" [n, F] (v_i), for ease
            "users" [n, F] (x_j).
        facts: where it comes from, JSON: trained_at, interactions, ...
    """

    version: str
    projection: Projection
    space: RankSpace
    gate: Gate = Gate()
    moments: Moments | None = None
    collaborative: Collaborative | None = None
    graph: GraphTerm | None = None
    graph_version: str = ""
    items: Rows | None = field(default=None, repr=False)
    item_version: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fusion_version(self) -> str:
        """The fusion it is made for."""
        return self.projection.fusion_version

    def weights(self, gates: ArrayLike) -> NDArray[np.float64]:
        """w of items with these gates, [n]."""
        gate = np.asarray(gates, dtype=np.float64)
        return 1.0 - gate + gate * self.gate.warm

    @property
    def weight_range(self) -> tuple[float, float]:
        """Between what the weights w of content lie, whatever the gates."""
        return (min(1.0, self.gate.warm), max(1.0, self.gate.warm))

    # -- the user's side -----------------------------------------------------------------

    def query(
        self,
        user: UserVector,
        *,
        collaborative: Taken | None = None,
        graph: Vector | None = None,
    ) -> Query:
        """One inner product that scores everything:

            [ A^T u / s ; -m/s ; kappa_u p_u / s' ; -kappa_u m'/s' ; graph part ]

        p_u is what the history says and what the user says (`Collaborative.person`) together.

        Args:
            collaborative: of `fold_in`; None: there is no history with factors.
            graph: pi_u, [G], of `graph_profile`; None: the graph says no more than its bias.

        Raises:
            RejectedError: a part of u has another length than its matrix.
        """
        asked = self.projection.query(user)
        mean, deviation = None, 1.0
        if self.moments is not None:
            mean = self.moments.mean
            _, deviation = self.moments.of_scores(asked.vector)
        by_part: dict[str, Vector] = {}
        for part, vector in asked.by_part.items():
            by_part[part] = self._zeros()
            by_part[part][: self.space.content] = vector / np.float32(deviation)
            if mean is not None:
                by_part[part][self.space.content] = -(vector @ mean) / deviation
        if self.collaborative is not None and self.gate.kappa > 0:
            person = self.collaborative.person(user, collaborative)
            if person is not None:
                kappa = float(self.gate.kappas(collaborative.count if collaborative else 0))
                by_part[CF] = self._collaborative_part(self.collaborative, person, kappa)
        if self.graph is not None and self.graph.beta > 0:
            by_part[GRAPH] = self._zeros()
            by_part[GRAPH][slice(*self.space.spans[GRAPH])] = self.graph.query(graph)
        total = self._zeros()
        for vector in by_part.values():
            total += vector
        return Query(total, by_part, mean)

    def _collaborative_part(self, side: Collaborative, p: Vector, kappa: float) -> Vector:
        mean, deviation = side.moments.of_scores(p)
        start, stop = self.space.spans[CF]
        found = self._zeros()
        found[start : stop - 1] = p * np.float32(kappa / deviation)
        found[stop - 1] = -kappa * mean / deviation
        return found

    def _zeros(self) -> Vector:
        return np.zeros(self.space.dim, dtype=np.float32)

    def fold_in(self, ids: Sequence[str], ranks: Matrix, weights: ArrayLike) -> Taken | None:
        """p_u of a history, without retraining.

        Args:
            ids: of the history's items, each once.
            ranks: [n, dim], their rank vectors as they are stored now; ease, whose x_j are not in
                them, takes what was trained, and items that came since count for nothing.
            weights: [n] > 0.

        Returns:
            None where nothing of the history has factors.
        """
        side = self.collaborative
        if side is None or not ids:
            return None
        if side.method == "als":
            return side.fold_in(self.space.factors_of(ranks), weights)
        return self.fold_in_trained(ids, weights)

    def fold_in_trained(self, ids: Sequence[str], weights: ArrayLike) -> Taken | None:
        """As `fold_in`, from what was trained of the items instead of what is stored of them."""
        side = self.collaborative
        if side is None or self.items is None or not ids:
            return None
        name = FACTORS if side.method == "als" else USERS
        if name not in self.items.arrays:
            return None
        return side.fold_in(self.items.take(name, self.items.find(ids)), weights)

    def graph_profile(self, ranks: Matrix, weights: ArrayLike) -> Vector | None:
        """pi_u: the weighted mean of the history's places in the graph, [G] float32.

        None where the history is not in the graph.
        """
        if self.graph is None or not len(ranks):
            return None
        places = self.space.graph_of(ranks)
        known = np.any(places != 0, axis=1)
        if not known.any():
            return None
        weight = np.asarray(weights, dtype=np.float64)[known]
        return np.asarray((weight / weight.sum()) @ places[known], dtype=np.float32)

    # -- the items' side -----------------------------------------------------------------

    def trained_counts(self, ids: Sequence[str]) -> NDArray[np.float64]:
        """N_i as they were when it was trained, [n]; 0 for what was not there."""
        if self.items is None:
            return np.zeros(len(ids))
        return self.items.take(COUNTS, self.items.find(ids)).astype(np.float64)

    def trained_factors(self, ids: Sequence[str]) -> Matrix:
        """v_i as they were trained, [n, F]; zeros for what was not there."""
        if self.items is None:
            return np.zeros((len(ids), self.space.factors), dtype=np.float32)
        return self.items.take(FACTORS, self.items.find(ids))

    def rank_vectors(
        self,
        ids: Sequence[str],
        content: Matrix,
        counts: NDArray[np.float64] | None = None,
        factors: Matrix | None = None,
        places: Matrix | None = None,
    ) -> tuple[Matrix, NDArray[np.float64]]:
        """Rank vectors of items, and their gates g, [n].

        Args:
            content: [n, content], c_i.
            counts: [n], N_i as they are now; as they were trained where absent.
            factors: [n, F], v_i as they are now; a zero row stands for what was trained.
            places: [n, <= G], pi_i; zeros where absent.
        """
        known = self.trained_factors(ids)
        number = self.trained_counts(ids) if counts is None else counts
        if factors is not None:
            moved = np.any(factors != 0, axis=1)
            known = np.where(moved[:, None], factors, known)
        gates = np.where(np.any(known != 0, axis=1), self.gate.gates(number), 0.0)
        return self.space.compose(content, gates, self.gate.warm, known, places), gates

    def check(self, fusion: FusionLike, space: RankSpace) -> None:
        """Whether it may serve this fusion in this space.

        Raises:
            RejectedError: it speaks of another fusion or space, has a wrong shape, or holds NaN
                or infinity.
        """
        self.projection.check(fusion)
        if self.space != space:
            raise RejectedError(
                f"hybrid {self.version} is for rank vectors of {self.space.spans}, the collection"
                f" has {space.spans}",
                field="space",
                remedy="train it again",
            )
        self.gate.check()
        if self.moments is not None:
            self.moments.check(space.content, "moments")
        if self.collaborative is not None:
            self.collaborative.check(space.factors)
        if self.graph is not None:
            self.graph.check(space.graph)
        if self.items is not None:
            row = (space.factors,)
            side = self.collaborative
            needed = {COUNTS, FACTORS} | ({USERS} if side and side.method == "ease" else set())
            self.items.check(ITEMS, {COUNTS: (), FACTORS: row, USERS: row}, needed)


def untrained(fusion: FusionLike, space: RankSpace) -> Hybrid:
    """What serves before anything was learned: the prior A0 and nothing else."""
    return alone(prior(fusion), space)


def alone(projection: Projection, space: RankSpace) -> Hybrid:
    """A projection without standardisation, collaborative part and graph."""
    return Hybrid(projection.version, projection, space)
