"""What an evaluation works on: items, users, who had to do with what, and what else is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.errors import RejectedError
from domain.items import Item
from domain.users import User
from domain.vectors import Matrix


class Triple(NamedTuple):
    """One statement of the knowledge graph."""

    head: str
    relation: str
    tail: str


@dataclass(frozen=True, slots=True, eq=False)
class GivenSplit:
    """A split that came with the data and is honoured instead of being drawn.

    Either `cold_items` is set (those items are cold, the rest is split by the protocol), or the
    parts are: `part[j]` says where interaction j of the dataset belongs.

    Attributes:
        cold_items: [n_items] bool, or None.
        part: [n_interactions] int8 of TRAIN, VALIDATION, TEST, or None.
        source: the file or files it was read from.
    """

    cold_items: NDArray[np.bool_] | None
    part: NDArray[np.int8] | None
    source: str


TRAIN, VALIDATION, TEST = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """One catalogue with its users and their interactions, all of them by row number.

    Attributes:
        name: what the report calls it.
        items: what the product's encoders read; media are absolute local paths.
        users: at least the id of everyone who has an interaction.
        user_index, item_index: [n] int32, rows of `users` and `items`; every pair once, sorted by
            user, then item.
        weights: [n] float32, finite and > 0.
        times: [n] float64, seconds since 1970, NaN where unknown; None where no time is known.
        graph: triples of the knowledge graph.
        entity_of_item: item id -> the graph's entity, where it is known exactly.
        vectors: precomputed vectors by name: (rows of `items` [m] int32, [m, dim] float32).
        given: the split that came with the data.
        notes: what was dropped or merged while reading, in words and numbers.
    """

    name: str
    items: tuple[Item, ...]
    users: tuple[User, ...]
    user_index: NDArray[np.int32]
    item_index: NDArray[np.int32]
    weights: NDArray[np.float32]
    times: NDArray[np.float64] | None = None
    graph: tuple[Triple, ...] = ()
    entity_of_item: Mapping[str, str] = field(default_factory=dict)
    vectors: Mapping[str, tuple[NDArray[np.int32], Matrix]] = field(default_factory=dict)
    given: GivenSplit | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit each other. Raises RejectedError."""
        n = len(self.user_index)
        if len(self.item_index) != n or len(self.weights) != n:
            raise RejectedError(
                f"{n} users, {len(self.item_index)} items and {len(self.weights)} weights",
                field=f"{self.name}: interactions",
                remedy="give one of each per interaction",
            )
        if self.times is not None and len(self.times) != n:
            raise RejectedError(
                f"{len(self.times)} times for {n} interactions",
                field=f"{self.name}: times",
                remedy="give one per interaction, NaN where unknown",
            )
        for what, rows, limit in (
            ("user_index", self.user_index, len(self.users)),
            ("item_index", self.item_index, len(self.items)),
        ):
            if n and (int(rows.min()) < 0 or int(rows.max()) >= limit):
                raise RejectedError(
                    f"rows {int(rows.min())} to {int(rows.max())}, but there are {limit}",
                    field=f"{self.name}: {what}",
                )
        keys = self.user_index.astype(np.int64) * len(self.items) + self.item_index
        if np.any(np.diff(keys) <= 0):
            raise RejectedError(
                "the pairs are not distinct and sorted by user, then item",
                field=f"{self.name}: interactions",
                remedy="build them with evaluation.datasets.pairs.clean_pairs",
            )
        if not bool(np.all(np.isfinite(self.weights) & (self.weights > 0))):
            raise RejectedError(
                "a weight is not a finite number above 0", field=f"{self.name}: weights"
            )

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.items)

    @property
    def n_interactions(self) -> int:
        """Number of distinct (user, item) pairs."""
        return len(self.user_index)

    def matrix(self, where: NDArray[np.bool_] | None = None) -> csr_matrix[np.float32]:
        """[n_users, n_items] weights of all interactions, or of those `where` [n] is True."""
        users, items, weights = self.user_index, self.item_index, self.weights
        if where is not None:
            users, items, weights = users[where], items[where], weights[where]
        starts = np.zeros(self.n_users + 1, dtype=np.int64)
        np.cumsum(np.bincount(users, minlength=self.n_users), out=starts[1:])
        return csr_matrix((weights, items, starts), shape=(self.n_users, self.n_items), copy=True)

    def summary(self) -> dict[str, object]:
        """Sizes and coverage, for the head of a report."""
        n_items = max(self.n_items, 1)
        known_times = 0 if self.times is None else int(np.isfinite(self.times).sum())
        return {
            "name": self.name,
            "users": self.n_users,
            "items": self.n_items,
            "interactions": self.n_interactions,
            "density": self.n_interactions / (max(self.n_users, 1) * n_items),
            "items_with_text": sum(item.has_text for item in self.items),
            "items_with_image": sum(bool(item.media.images) for item in self.items),
            "items_with_audio": sum(bool(item.media.audio) for item in self.items),
            "interactions_with_time": known_times,
            "triples": len(self.graph),
            "items_linked": len(self.entity_of_item),
            "vectors": {name: matrix.shape for name, (_, matrix) in self.vectors.items()},
            "given_split": None if self.given is None else self.given.source,
            "notes": list(self.notes),
        }
