"""The projection A: sums, penalties chosen on items held out as if they were cold, A."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from domain.errors import RejectedError
from domain.modality_gates import ModalityGates
from domain.vectors import BlockMap, Matrix
from ranking.training.choosing import Setting, choose
from ranking.training.contest import Contest, compete
from ranking.training.data import Double, TrainingData
from ranking.training.gated import GatedFusion
from ranking.training.options import fit_options, summed, sums_of
from ranking.training.solve import Ridge, Sums, metric_of, stacked
from ranking.training.statistics import Statistics

LEAST_INTERACTIONS = 50
"""With fewer there is nothing to choose penalties on; the prior serves."""


@dataclass(frozen=True)
class Fitted:
    """What came of it.

    Attributes:
        matrices: {part: [d_part, d] float32}, A: of the option where the setting has one, of the
            ridge else.
        setting: chosen, or given.
        scores: {what was tried: NDCG@20 on the held-out items}; empty where nothing was chosen.
        statistics: the sums, to add to and to forget from.
        gram: H.
        contest: of the options with the ridge; None where the setting was given.
        kept: share of the predictions' second moment that is left by concepts; 1 without.
        gates: that the items' vectors have to be behind for A, in the sums, too; None where they
            stay as they are.
    """

    matrices: dict[str, Matrix] = field(repr=False)
    setting: Setting
    scores: dict[str, float]
    statistics: Statistics = field(repr=False)
    gram: Double = field(repr=False)
    contest: Contest | None = None
    kept: float = 1.0
    gates: ModalityGates | None = None

    def queries(self, data: TrainingData, users: NDArray[np.int64], history: csr_matrix) -> Matrix:
        """A^T u of some users, [n, d] float32; see `TrainingData.user_rows`.

        Args:
            data: behind the gates, where there are some.
        """
        width = data.items.shape[1]
        a = stacked(self.statistics.layout, self.matrices, width)
        return (data.user_rows(users, history) @ a).astype(np.float32)

    def given_gates(self) -> Setting:
        """The setting for data that are behind the gates already."""
        option = self.setting.option
        if isinstance(option, GatedFusion):
            option = option.given_gates()
        return replace(self.setting, option=option)

    def summed(self, data: TrainingData) -> Fitted:
        """The same A with the sums of data that are behind the gates already."""
        statistics, gram = summed(data, self.statistics.recipe)
        return replace(self, statistics=statistics, gram=gram)

    def report(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "recipe": asdict(self.setting.recipe),
            "ridge": asdict(self.setting.ridge),
            "validation_ndcg": self.scores,
            "users": self.statistics.users,
            "interactions": self.statistics.interactions,
            "options": self.contest.report() if self.contest else {},
            "kept": self.kept,
        }


def fit_projection(
    data: TrainingData,
    prior: Mapping[str, Matrix],
    *,
    setting: Setting | None = None,
    options: Sequence[str] = (),
    concepts: int = 0,
    seed: int = 0,
) -> Fitted:
    """A in closed form, shrunk toward the prior (SCIENCE section 2), or by an option that beats it.

    Args:
        prior: A0 by part, of the fusion itself or of another catalogue.
        setting: penalties that were chosen before; without them they are chosen here, on
            items that are held out as if they had just arrived.
        options: names of learned options to set beside the ridge (`ranking.training.contest`);
            of a setting that is given, its own is fitted.
        concepts: A goes through so many, which no option's does; 0: full rank.

    Raises:
        RejectedError: data that do not fit together, or fewer than LEAST_INTERACTIONS.
    """
    data.check()
    if data.interactions.nnz < LEAST_INTERACTIONS:
        raise RejectedError(
            f"{data.interactions.nnz} interactions, training needs {LEAST_INTERACTIONS}",
            remedy="publish more interactions; until then the prior serves",
        )
    scores: dict[str, float] = {}
    contest = None
    if setting is None:
        setting, scores = choose(data, prior, seed=seed)
        setting = replace(setting, ridge=replace(setting.ridge, concepts=concepts))
        contest = compete(data, prior, setting, () if concepts else options, seed=seed)
        setting = replace(setting, option=contest.winner)
    setting = replace(setting, recipe=replace(setting.recipe, k0=data.k0))
    sums = sums_of(data, setting.recipe, prior)
    gates = None
    if setting.option is None:
        a = sums.solve(setting.ridge, metric_of(data.blocks, setting.ridge))
    else:
        [made] = fit_options([setting.option], data, sums, setting.ridge, seed=seed)
        a, gates, sums = made.a, made.gates, made.sums or sums
    matrices = _by_part(sums, a, prior)
    return Fitted(matrices, setting, scores, sums.statistics, sums.gram, contest, sums.kept, gates)


def solve(
    blocks: Sequence[BlockMap],
    statistics: Statistics,
    gram: Double,
    prior: Mapping[str, Matrix],
    ridge: Ridge,
) -> dict[str, Matrix]:
    """A of sums that were kept: {part: [d_part, d] float32}."""
    sums = Sums(statistics, gram, stacked(statistics.layout, prior, len(gram) - 1))
    found = sums.solve(ridge, metric_of(blocks, ridge))
    return _by_part(sums, found, prior)


def _by_part(sums: Sums, a: Double, prior: Mapping[str, Matrix]) -> dict[str, Matrix]:
    """A as it is served. A part of z that no user of the training had, such as words, has there
    what it has without interactions: s A0, so that whoever brings it is understood as before."""
    untold = set(prior) - set(sums.statistics.layout.spans)
    return {
        **{part: (sums.scale * prior[part]).astype(np.float32) for part in untold},
        **sums.statistics.layout.split(a),
    }
