"""The ridge with a teacher's targets: what EASE predicts that users take, beside what they took.

EASE's prediction S = X B is a product of what users took with numbers of items (B as in
`ranking.training.factors`), so the teacher's target of a user is a sum over their items too,

    t_u = 1/n_u * sum over their items j of  w_uj [ (1 - mix) y_j [c_j; 1]
                                               + mix * sum_i B_ji y_i [c_i; 1] ],   y = h pop^-alpha

and costs what the ridge's own target costs. G, H and the penalties stay; only M is another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix

from ranking.training.data import Double, TrainingData
from ranking.training.factors import item_item
from ranking.training.solve import Ridge, Sums, metric_of
from ranking.training.statistics import Statistics


@dataclass(frozen=True, slots=True)
class Distillation:
    """How it is distilled.

    Attributes:
        strength: l of EASE, > 0.
        mix: how much of the target is the teacher's, 0 to 1.
    """

    strength: float = 300.0
    mix: float = 0.5


def taught(data: TrainingData, statistics: Statistics, strength: float) -> Statistics:
    """The same users' sums with the teacher's targets alone.

    Takes time n^3 and memory n^2 in the n items that somebody took.

    Args:
        statistics: of exactly `data`.
    """
    warm = np.flatnonzero(statistics.damping > 0)
    seen = csr_matrix(data.interactions[:, warm], dtype=np.float32)
    seen.data = np.ones_like(seen.data)
    model = item_item(np.asarray((seen.T @ seen).todense(), dtype=np.float32), strength)
    own = np.column_stack([data.items[warm], np.ones(len(warm))])
    targets = np.zeros((len(data.items), own.shape[1]))
    targets[warm] = model @ (own * statistics.damping[warm, None])
    return statistics.toward(data, targets)


def distilled(
    sums: Sums, teacher: Statistics, mix: float, ridge: Ridge, data: TrainingData
) -> Double:
    """A stacked by the parts of z, [d_u, d], of the ridge's sums and the teacher's."""
    cross = (1.0 - mix) * sums.statistics.cross + mix * teacher.cross
    mixed = Sums(replace(sums.statistics, cross=cross), sums.gram, sums.prior)
    return mixed.solve(ridge, metric_of(data.blocks, ridge))
