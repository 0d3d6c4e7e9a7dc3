"""p_u of people of whom little is known: what they say and the little they took, together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.errors import RejectedError
from domain.vectors import Matrix
from ranking.moments import Moments

TAKEN, COUNT = "taken", "count"
"""What a row has besides the parts of u: p_u of the items that are known, and how many they are."""

SETTLED = 10.0
"""Items known of a user at which p_u of these items counts as much as what is expected."""


@dataclass(frozen=True, slots=True)
class Newcomers:
    """E: what the items of people look like in factors, by what is known of them.

        expected_u = sum over the parts of u of u_part^T E_part
                     + (p_u / sqrt(n + 1/2))^T E_taken + [n = 0 ; 1 / sqrt(n + 1)]^T E_count
        blended_u = (1 - share) expected_u / s(expected_u) + share p_u / s(p_u),
        share = n / (n + SETTLED)

    n is how many items with factors are known of the user, p_u what they say, s the standard
    deviation of the scores over items. It holds nobody's data.

    Attributes:
        matrices: {part of u, "taken" or "count": [length, F] float32}.
    """

    matrices: Mapping[str, Matrix] = field(repr=False)

    def blended(
        self,
        parts: Mapping[str, NDArray[np.floating]],
        taken: Matrix,
        counts: ArrayLike,
        moments: Moments,
    ) -> Matrix:
        """p_u of m users, [m, F] float32.

        Args:
            parts: {part of u: [m, length]}; one that E does not know says nothing.
            taken: [m, F], p_u of the items that are known; zeros where none is.
            counts: [m], how many they are.
            moments: of v, which give s.

        Raises:
            RejectedError: a part of u has another length than its matrix.
        """
        number = np.asarray(counts, dtype=np.float64)
        expected = np.zeros(taken.shape)
        for part, rows in {**parts, **of_taken(taken, number)}.items():
            matrix = self.matrices.get(part)
            if matrix is None:
                continue
            if rows.shape[1] != len(matrix):
                raise RejectedError(
                    f"{rows.shape[1]} numbers, the collaborative part expects {len(matrix)}",
                    field=f"user.{part}",
                )
            expected += rows @ matrix
        share = (number / (number + SETTLED))[:, None]
        own = taken / moments.deviations(taken)[:, None]
        expected /= moments.deviations(expected)[:, None]
        return np.asarray((1.0 - share) * expected + share * own, dtype=np.float32)

    def turned(self, turn: Matrix) -> Newcomers:
        """The same in other axes, `turn` [F, F] orthogonal."""
        return Newcomers(
            {
                part: np.asarray((turn.T @ matrix if part == TAKEN else matrix) @ turn)
                for part, matrix in self.matrices.items()
            }
        )

    def check(self, dim: int) -> None:
        """Whether it fits factors of this length.

        Raises:
            RejectedError: a wrong shape, NaN or infinity.
        """
        lengths = {TAKEN: dim, COUNT: 2}
        for part, matrix in self.matrices.items():
            shape = (lengths.get(part, len(matrix)), dim)
            if matrix.shape != shape or not np.isfinite(matrix).all():
                raise RejectedError(
                    f"{list(matrix.shape)}, expected {list(shape)}, all finite",
                    field=f"collaborative.newcomers.{part}",
                    remedy="train it again",
                )


def of_taken(taken: Matrix, counts: ArrayLike) -> dict[str, Matrix]:
    """What a row says of the items that are known: {TAKEN: [m, F], COUNT: [m, 2]}."""
    number = np.asarray(counts, dtype=np.float64)
    return {
        TAKEN: taken / np.sqrt(number + 0.5)[:, None],
        COUNT: np.column_stack([number == 0, 1.0 / np.sqrt(number + 1.0)]),
    }
