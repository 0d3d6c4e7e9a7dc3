"""Gated fusion: how much each modality of an item counts is learned, together with A."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.vectors import Matrix
from evaluation.methods.histories import binary
from evaluation.methods.task import Task
from ranking import prior
from ranking.training import stacked, user_layout, user_rows
from ranking.training.infonce import ITEMS_PER_USER, NEGATIVES
from ranking.training.pairs import drawn, owners
from ranking.user import profile_rows

K0 = 3.0
"""As it is served by default: `TrainingData.k0`."""


class GatedFusion:
    """z_u^T A c'_i with c'_i = unit(g_i1 c_i1, ..., g_ib c_ib), g_i = b softmax(W [c_i; m_i]).

    The gates g are an attention over the blocks of an item that reads the item's own blocks and
    the mask m of the modalities it has (gated multimodal units: Arevalo et al., "Gated Multimodal
    Units for Information Fusion", 2017); the history in z is made of gated items, too. W and A are
    learned together on InfoNCE, from gates of 1 and the prior. In training a block of an item is
    dropped now and then, never its last ("modality dropout": Neverova et al., "ModDrop", 2016).
    The vectors before the gates are those of every other method.
    """

    name = "gated-fusion"

    def __init__(
        self,
        decay: float = 1e-4,
        dropout: float = 0.2,
        temperature: float = 0.2,
        learning_rate: float = 1e-3,
        epochs: int = 20,
        batch: int = 512,
    ) -> None:
        """
        Args:
            decay: of A toward the prior and of W toward 0.
            dropout: share of an item's blocks that are dropped in a step.
            temperature: divides the scores; starts there and is learned.
            learning_rate: of Adam.
            epochs: passes, in each of which every user is asked for up to 4 of their items.
            batch: users per step.
        """
        self.decay = decay
        self.dropout = dropout
        self.temperature = temperature
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch = batch

    def fit(self, task: Task) -> None:
        """Descend; the order of users, items and dropped blocks is the seed's.

        Raises:
            ValueError: the run has no features.
        """
        if task.fusion is None:
            raise ValueError("gated fusion needs features")
        self._blocks = task.blocks
        self._layout = user_layout(task.blocks, task.profiles)
        self._said = profile_rows(task.blocks, task.profiles)
        self._items = torch.from_numpy(task.items)
        self._block_of = torch.from_numpy(
            np.repeat(np.arange(len(task.blocks)), [block.dim for block in task.blocks])
        )
        self._there = torch.from_numpy(_present(task))
        start = stacked(self._layout, prior(task.fusion).matrices, task.items.shape[1])
        self._start = torch.from_numpy(start.astype(np.float32))
        self._change = torch.zeros_like(self._start, requires_grad=True)
        reads = task.items.shape[1] + len(task.blocks)
        self._attention = torch.zeros((reads, len(task.blocks)), requires_grad=True)
        log_scale = torch.tensor(float(np.log(1.0 / self.temperature)), requires_grad=True)
        optimiser = torch.optim.Adam(
            [self._change, self._attention, log_scale], lr=self.learning_rate
        )
        train = binary(task.train)
        warm = np.flatnonzero(task.warm)
        rng = np.random.default_rng(task.seed)
        users = np.flatnonzero(train.getnnz(axis=1) > 1)
        for _ in range(self.epochs):
            rng.shuffle(users)
            for at in range(0, len(users), self.batch):
                loss = self._loss(train, users[at : at + self.batch], warm, log_scale, rng)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        with torch.no_grad():
            self._fused = self._gated(self._there)
            self._a = self._start + self._change

    def scores(self, users: NDArray[np.int64], history: csr_matrix) -> NDArray[np.float32]:
        """[n, n_items]."""
        with torch.no_grad():
            sums = torch.from_numpy(binary(history) @ self._fused.numpy())
            counts = np.diff(history.indptr).astype(np.float64)
            rows = self._rows(users, sums, counts)
            return np.asarray((rows @ self._a @ self._fused.T).numpy(), dtype=np.float32)

    def gates(self) -> Matrix:
        """[n_items, n_blocks] that were learned; 1 where nothing was."""
        with torch.no_grad():
            return np.asarray(self._weights(self._there).numpy(), dtype=np.float32)

    def _weights(self, kept: torch.Tensor) -> torch.Tensor:
        """g, [n, b], 0 for a block that is dropped.

        Args:
            kept: [n, b], 1 or 0; a modality that an item lacks may be imputed and counts as 0 here,
                but stays, unless nothing is there at all.
        """
        dropped = (self._there > 0) & (kept == 0)
        shown = self._items.masked_fill(dropped[:, self._block_of], 0.0)
        logits = torch.hstack([shown, kept]) @ self._attention
        shares = torch.softmax(logits.masked_fill(dropped, -torch.inf), dim=1)
        return shares * (~dropped).sum(dim=1, keepdim=True)

    def _gated(self, kept: torch.Tensor) -> torch.Tensor:
        """c', [n, d]."""
        scaled = self._items * self._weights(kept)[:, self._block_of]
        return torch.nn.functional.normalize(scaled, dim=1)

    def _kept(self, rng: np.random.Generator) -> torch.Tensor:
        """[n, b]: modality dropout; an item keeps at least one block that it has."""
        lots = torch.from_numpy(rng.random(self._there.shape, dtype=np.float32))
        lots = lots.masked_fill(self._there == 0, -1.0)
        best = lots == lots.max(dim=1, keepdim=True).values
        return self._there * ((lots >= self.dropout) | best)

    def _rows(
        self, users: NDArray[np.int64], sums: torch.Tensor, counts: NDArray[np.float64]
    ) -> torch.Tensor:
        """z, [n, d_u], with the sum of the gated items of each history in it, [n, d]."""
        dim = sums.shape[1]
        marks = np.zeros((len(users), dim))
        marks[counts > 0, 0] = 1.0
        said = {part: rows[users] for part, rows in self._said.items()}
        plain = user_rows(self._blocks, self._layout, said, marks, counts, K0)
        start, stop = self._layout.spans["history"]
        share = torch.from_numpy(plain[:, start].astype(np.float32))
        rest = torch.from_numpy(plain.astype(np.float32))
        past = torch.nn.functional.normalize(sums, dim=1) * share[:, None]
        return torch.hstack([rest[:, :start], past, rest[:, stop:]])

    def _loss(
        self,
        train: csr_matrix,
        users: NDArray[np.int64],
        warm: NDArray[np.int64],
        log_scale: torch.Tensor,
        rng: np.random.Generator,
    ) -> torch.Tensor:
        part = csr_matrix(train[users])
        asked = drawn(part, ITEMS_PER_USER, rng)
        place, wanted = owners(part)[asked], part.indices[asked].astype(np.int64)
        others = warm if len(warm) <= NEGATIVES else rng.choice(warm, NEGATIVES, replace=False)
        fused = self._gated(self._kept(rng))
        sums = torch.sparse.mm(_sparse(part), fused)[place] - fused[wanted]
        counts = np.diff(part.indptr)[place].astype(np.float64) - 1.0
        mapped = self._rows(users[place], sums, counts) @ (self._start + self._change)
        found = (mapped * fused[wanted]).sum(dim=1, keepdim=True)
        # none of the user's own items is a negative
        own = torch.from_numpy(part[place][:, others].toarray() > 0)
        scores = torch.hstack([found, mapped @ fused[others].T]) * log_scale.exp()
        scores[:, 1:] = scores[:, 1:].masked_fill(own, -torch.inf)
        target = torch.zeros(len(place), dtype=torch.int64)
        loss = torch.nn.functional.cross_entropy(scores, target)
        return loss + self.decay * (self._change.pow(2).sum() + self._attention.pow(2).sum())


def _present(task: Task) -> Matrix:
    """[n_items, n_blocks] float32: 1 where the item itself has the modality of the block."""
    return np.column_stack(
        [
            (
                task.raw[block.name]
                if block.name in task.raw
                else task.items[:, block.start : block.stop]
            ).any(axis=1)
            for block in task.blocks
        ]
    ).astype(np.float32)


def _sparse(matrix: csr_matrix) -> torch.Tensor:
    pairs = matrix.tocoo()
    places = torch.from_numpy(np.vstack([pairs.row, pairs.col]).astype(np.int64))
    return torch.sparse_coo_tensor(
        places, torch.from_numpy(pairs.data), pairs.shape, check_invariants=False
    )
