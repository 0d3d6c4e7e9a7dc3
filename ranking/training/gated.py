"""Gated fusion: how much each modality of an item counts is learned, together with A.

    loss = -log( exp s_c / (exp s_c + sum over m of exp s_m) ) + decay (|A - A0|^2 + |W|^2),
    s_i = g z^T A c'_i

with c' the gated vectors of `domain.modality_gates` and z made of them, too, on the pairs and
negatives of `ranking.training.infonce`. W begins at 0, where every gate is 1, and A at A0. In
training a block of an item is dropped now and then, never its last ("modality dropout": Neverova,
Wolf, Taylor, Nebout, "ModDrop: adaptive multi-modal gesture recognition", 2016), so that no
modality is leaned on alone. What is kept of it are the gates, and an A that is mixed with the
ridge's on the gated vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.modality_gates import ModalityGates
from ranking.training.data import Double, TrainingData
from ranking.training.infonce import ITEMS_PER_USER, NEGATIVES, InfoNce, learners
from ranking.training.pairs import drawn, owners
from ranking.training.users import user_layout, user_rows
from ranking.user import profile_rows

if TYPE_CHECKING:
    from torch import Tensor

BATCH = 512
"""Users per step."""


@dataclass(frozen=True, slots=True)
class GatedFusion:
    """How it is descended.

    Attributes:
        decay: of A toward A0 and of W toward 0, >= 0.
        mix: how much of A is descended, 0 to 1; the rest is the ridge's, of the gated vectors.
        dropout: share of an item's blocks that are dropped in a step, 0 to below 1.
        temperature: that it starts with, > 0; it is learned along.
        learning_rate: of Adam.
        epochs: passes, in each of which every user is asked for up to ITEMS_PER_USER items.
    """

    decay: float = 1e-4
    mix: float = 0.5
    dropout: float = 0.2
    temperature: float = 0.2
    learning_rate: float = 1e-3
    epochs: int = 20

    def given_gates(self) -> InfoNce:
        """What is left to learn of A where the gates are settled."""
        return InfoNce(self.decay, self.temperature, self.learning_rate, self.epochs, self.mix)


def fit_gates(
    data: TrainingData, start: Double, recipe: GatedFusion, *, seed: int = 0
) -> tuple[ModalityGates, Double]:
    """The gates, and A stacked by the parts of z, [d_u, d] float64; the same for the same seed.

    Args:
        data: with the items as they are before gates.
        start: A0, [d_u, d].
    """
    import torch

    rng = np.random.default_rng(seed)
    descent = _Descent(learners(data, rng), start, recipe)
    users = np.arange(descent.taken.shape[0])
    optimiser = torch.optim.Adam(descent.learned, lr=recipe.learning_rate)
    for _ in range(recipe.epochs):
        rng.shuffle(users)
        for at in range(0, len(users), BATCH):
            loss = descent.loss(np.sort(users[at : at + BATCH]), rng)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return descent.found()


class _Descent:
    """The loss of some users, by what is learned: A - A0, W and log g."""

    def __init__(self, data: TrainingData, start: Double, recipe: GatedFusion) -> None:
        import torch

        self.taken = data.interactions
        self._data = data
        self._recipe = recipe
        self._layout = user_layout(data.blocks, data.profiles)
        self._said = profile_rows(data.blocks, data.profiles)
        self._warm = np.unique(data.interactions.indices)
        self._widths = torch.tensor([block.dim for block in data.blocks])
        reads = data.items.shape[1] + len(data.blocks)
        self._start = torch.from_numpy(start.astype(np.float32))
        self._change = torch.zeros_like(self._start, requires_grad=True)
        self._weights = torch.zeros((reads, len(data.blocks)), requires_grad=True)
        self._log_scale = torch.tensor(float(-np.log(recipe.temperature)), requires_grad=True)
        self.learned = [self._change, self._weights, self._log_scale]

    def found(self) -> tuple[ModalityGates, Double]:
        """As they are now."""
        a = (self._start + self._change).detach().numpy().astype(np.float64)
        return ModalityGates(self._weights.detach().numpy().copy()), a

    def loss(self, users: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """Of up to ITEMS_PER_USER items of each user, among items that they did not take."""
        import torch

        part = csr_matrix(self.taken[users])
        asked = drawn(part, ITEMS_PER_USER, rng)
        place, wanted = owners(part)[asked], part.indices[asked].astype(np.int64)
        warm = self._warm
        others = warm if len(warm) <= NEGATIVES else rng.choice(warm, NEGATIVES, replace=False)
        needed = np.unique(np.concatenate([part.indices, others]))
        rows = torch.from_numpy(self._data.items[needed])
        kept = self._dropped(rows, rng)
        fused = gated(kept, self._weights, self._widths, rows.norm(dim=1, keepdim=True))
        part = csr_matrix(part[:, needed])
        wanted, others = np.searchsorted(needed, wanted), np.searchsorted(needed, others)
        left = np.diff(part.indptr)[place].astype(np.float64) - 1.0
        own = torch.from_numpy(part.data[asked])[:, None] * fused[wanted]
        z = self._rows(users[place], torch.sparse.mm(_sparse(part), fused)[place] - own, left)
        mapped = z @ (self._start + self._change)
        found = (mapped * fused[wanted]).sum(dim=1, keepdim=True)
        theirs = torch.from_numpy(part[place][:, others].toarray() > 0)
        scores = torch.hstack([found, mapped @ fused[others].T]) * self._log_scale.exp()
        scores[:, 1:] = scores[:, 1:].masked_fill(theirs, -torch.inf)
        target = torch.zeros(len(place), dtype=torch.int64)
        loss = torch.nn.functional.cross_entropy(scores, target)
        strayed = self._change.pow(2).sum() + self._weights.pow(2).sum()
        return loss + self._recipe.decay * strayed

    def _dropped(self, rows: Tensor, rng: np.random.Generator) -> Tensor:
        """[n, d], modality dropout: without some blocks of some items."""
        import torch

        there = _lengths(rows, self._widths) > 0
        lots = torch.from_numpy(rng.random(there.shape, dtype=np.float32))
        lots = lots.masked_fill(~there, -1.0)
        best = lots == lots.max(dim=1, keepdim=True).values
        kept = there & ((lots >= self._recipe.dropout) | best)
        return rows * kept.repeat_interleave(self._widths, dim=1)

    def _rows(self, users: NDArray[np.int64], sums: Tensor, counts: Double) -> Tensor:
        """z, [n, d_u], with the sums of the gated items of each history in it, [n, d]."""
        import torch

        marks = np.zeros((len(users), sums.shape[1]))
        marks[counts > 0, 0] = 1.0
        said = {part: rows[users] for part, rows in self._said.items()}
        layout = self._layout
        plain = user_rows(self._data.blocks, layout, said, marks, counts, self._data.k0)
        start, stop = layout.spans["history"]
        share = torch.from_numpy(plain[:, start].astype(np.float32))
        rest = torch.from_numpy(plain.astype(np.float32))
        past = torch.nn.functional.normalize(sums, dim=1) * share[:, None]
        return torch.hstack([rest[:, :start], past, rest[:, stop:]])


def gated(items: Tensor, weights: Tensor, widths: Tensor, norms: Tensor) -> Tensor:
    """`ModalityGates.apply`, [n, d], to be differentiated.

    Args:
        widths: [blocks] how long each block is.
        norms: [n, 1] what length each vector is to have: that of the item with all its blocks.
    """
    import torch

    lengths = _lengths(items, widths)
    there = lengths > 0
    logits = torch.hstack([items, lengths]) @ weights
    shares = torch.softmax(logits.masked_fill(~there, -1e30), dim=1)
    gates = shares * there.sum(dim=1, keepdim=True)
    found = items * gates.repeat_interleave(widths, dim=1)
    return torch.nn.functional.normalize(found, dim=1) * norms


def _lengths(items: Tensor, widths: Tensor) -> Tensor:
    import torch

    parts = torch.split(items, widths.tolist(), dim=1)
    return torch.stack([part.norm(dim=1) for part in parts], dim=1)


def _sparse(matrix: csr_matrix) -> Tensor:
    import torch

    pairs = matrix.tocoo()
    places = torch.from_numpy(np.vstack([pairs.row, pairs.col]).astype(np.int64))
    return torch.sparse_coo_tensor(
        places, torch.from_numpy(pairs.data), pairs.shape, check_invariants=False
    )
