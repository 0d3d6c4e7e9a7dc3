"""What a method is given, and what it has to answer."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.vectors import BlockMap, Matrix
from evaluation.methods.shared import Shared

if TYPE_CHECKING:
    from encoders import Fusion
    from evaluation.dataset import Dataset
    from evaluation.splits import Evaluation, Split


@dataclass(frozen=True)
class Task:
    """One split of one dataset with the features that every method of the run shares.

    Rows of users and items are those of the dataset. A method may read `split.train` and
    `split.validation`; `split.test` is the judge's. What a method is given is its own copy.

    Attributes:
        items: [n_items, d] float32, the fused content vectors c_i of the product, of unit norm or,
            where a block is imputed, below; a row of zeros where an item has nothing of the
            features asked for.
        fusion: the fusion that made them, fitted on items that are not cold; None where a run has
            no features at all.
        raw: {modality: [n_items, raw_dim] float32}, before fusion; a row of zeros where absent.
        profiles: {part: [n_users, d_part] float32}, embeddings of the users' profiles
            ("text", "image_text", "profile", "demographics"); a row of zeros where absent; empty
            where the protocol forbids them.
        graph: [n_items, g] float32, or None.
        questions: the validation questions on which hyper-parameters are to be chosen.
        seed: of everything random in the method.
        shared: what methods make alike of it; a task that is made from this one begins anew,
            unless it says `sharing`.
    """

    dataset: Dataset
    split: Split
    items: Matrix
    fusion: Fusion | None
    raw: Mapping[str, Matrix]
    profiles: Mapping[str, Matrix] = field(default_factory=dict)
    graph: Matrix | None = None
    questions: tuple[Evaluation, ...] = ()
    seed: int = 0
    shared: Shared = field(default_factory=Shared, init=False, repr=False)

    @property
    def blocks(self) -> tuple[BlockMap, ...]:
        """The blocks of `items`, in order; where each lies is its start and stop."""
        return () if self.fusion is None else self.fusion.blocks

    @property
    def train(self) -> csr_matrix[np.float32]:
        """[n_users, n_items] float32 weights > 0: all that a method may learn from."""
        return self.split.train

    @property
    def warm(self) -> NDArray[np.bool_]:
        """[n_items] bool: items with at least one interaction in `train`."""
        return np.asarray(self.split.train.getnnz(axis=0) > 0)

    def sharing(self, shared: Shared) -> Task:
        """The same, with what methods made of the same items, pairs, profiles and seed."""
        made = replace(self)
        object.__setattr__(made, "shared", shared)
        return made

    def copied(self) -> Task:
        """The same with arrays of its own: what a method writes into them reaches no other.

        Items, users and triples are the same: they are many, and made to be read only.
        """
        data = self.dataset
        same = (data.items, data.users, data.graph, self.shared)
        return deepcopy(self, {id(one): one for one in same})


class Method(Protocol):
    """A recommender under test. Made afresh for every fit.

    Attributes:
        name: how it is called on the command line and in the report.
    """

    name: str

    def fit(self, task: Task) -> None:
        """Learn from `task.train`, or only remember what answering needs."""
        ...

    def scores(self, users: NDArray[np.int64], history: csr_matrix, /) -> NDArray[np.float32]:
        """Scores of all items for some users, higher is better.

        Args:
            users: [n] rows of the dataset's users.
            history: [n, n_items] weights > 0, what is known of these users now. In most protocols
                their rows of `train`; for new users, who are not in `train`, the items that have
                been revealed, or nothing.

        Returns:
            [n, n_items] float32, finite.
        """
        ...


Parameters = Mapping[str, Any]
"""Keyword arguments of a method's class: one point of its grid."""
