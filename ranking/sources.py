"""Where a score comes from: which words, which item of the history, and through which block.

`explain` splits a score by the item's blocks. This splits the same score by what it was asked by
as well: a table of sources (the profile's parts, each item of the history, bias, collaborative
part, graph, rules, exploration) by parts. A^T u is linear in u and the history part of u is a
weighted sum of item vectors, so the share of one history item is exact, not an attribution rule.
The rows add up to the score and the columns to its parts, bit by bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.vectors import Matrix
from ranking.explain import BIAS, Explained, contributions, grid_step, through_blocks
from ranking.layout import Layout
from ranking.projection import Projection
from ranking.query import NOT_CONTENT, Query

HISTORY = "history"
MOST_TOLD = 20
"""Items of a history that are told one by one, the strongest; the rest are told together."""


@dataclass(frozen=True, slots=True)
class Source:
    """One row of the table.

    Attributes:
        name: text, image_text, profile, demographics, history, bias, cf, graph, rules, explore.
        item: position of the item in the history; None for all else, and for the rest of it.
        parts: {part of the score: what this source put there}.
    """

    name: str
    item: int | None
    parts: dict[str, float]

    @property
    def score(self) -> float:
        """Its share of the score, exactly the sum of its parts."""
        return float(sum(self.parts.values()))


def history_asks(
    projection: Projection, query: Query, content: Matrix, weights: ArrayLike
) -> NDArray[np.float64]:
    """What each item of a history puts into the query: [h, content] float64, together the
    query's part "history".

    Args:
        content: [h, content] float32, the items' content vectors.
        weights: [h], what each counts in the mean; on any common scale.
    """
    asked = query.by_part[HISTORY][: content.shape[1]].astype(np.float64)
    rows = np.asarray(weights, dtype=np.float64)[:, None] * content
    rows = projection.through(HISTORY, rows)
    total = rows.sum(axis=0)
    length = float(total @ total)
    return rows * (float(asked @ total) / length if length > 0.0 else 0.0)


def sources(
    query: Query | None,
    items: Matrix,
    layout: Layout,
    told: Sequence[Explained],
    asks: NDArray[np.float64] | None = None,
) -> list[tuple[Explained, list[Source]]]:
    """For each of n items its score, and the rows of its table, the strongest first.

    Args:
        query: None where nothing was asked by.
        items: [n, dim] float32, rank vectors.
        layout: the content blocks.
        told: n scores of these items, perhaps with further parts.
        asks: [h, content] of `history_asks`.

    Returns:
        The scores are those given, on a grid that is coarse enough for the table to be exact.
    """
    if not told:
        return []
    through: dict[tuple[str, int | None], NDArray[np.float64]] = {}
    if query is not None:
        exact = items.astype(np.float64)
        content = contributions(query, items, layout)
        for name, values in content.items():
            if name not in NOT_CONTENT and (name != HISTORY or asks is None):
                through[name, None] = values
        for position, ask in enumerate(asks if asks is not None else ()):
            through[HISTORY, position] = through_blocks(exact, ask, query.centre, layout)
    return [
        _table(one, {key: values[at] for key, values in through.items()}, list(layout))
        for at, one in enumerate(told)
    ]


def _table(
    told: Explained,
    through: dict[tuple[str, int | None], NDArray[np.float64]],
    blocks: Sequence[str],
) -> tuple[Explained, list[Source]]:
    keys, cells = _shortened(through, len(blocks))
    single = [name for name in told.parts if name not in blocks]
    parts = np.array([told.parts.get(name, 0.0) for name in blocks])
    alone = np.array([told.parts[name] for name in single])
    step = grid_step(np.abs(cells).sum() + np.abs(parts).sum() + np.abs(alone).sum())
    cells = np.rint(cells / step) * step
    parts = np.rint(parts / step) * step + 0.0
    alone = np.rint(alone / step) * step + 0.0
    for column in range(len(blocks) if len(cells) else 0):
        largest = int(np.argmax(np.abs(cells[:, column])))
        cells[largest, column] += parts[column] - cells[:, column].sum()
    found = [
        Source(name, item, dict(zip(blocks, (row + 0.0).tolist(), strict=True)))
        for (name, item), row in zip(keys, cells, strict=True)
    ]
    found += [
        Source(name, None, {name: float(value)})
        for name, value in zip(single, alone, strict=True)
        if value or name == BIAS
    ]
    found.sort(key=lambda source: -abs(source.score))
    shown = (
        dict(zip(blocks, parts.tolist(), strict=True)) if told.parts.keys() >= set(blocks) else {}
    )
    shown |= dict(zip(single, alone.tolist(), strict=True))
    return Explained(float(parts.sum() + alone.sum()), shown), found


def _shortened(
    through: dict[tuple[str, int | None], NDArray[np.float64]], width: int
) -> tuple[list[tuple[str, int | None]], NDArray[np.float64]]:
    """The rows, of the history only the strongest one by one."""
    past = [key for key in through if key[1] is not None]
    past.sort(key=lambda key: -abs(float(through[key].sum())))
    rest = past[MOST_TOLD:]
    keys = [key for key in through if key not in rest]
    rows = [through[key] for key in keys]
    if rest:
        keys.append((HISTORY, None))
        rows.append(np.sum([through[key] for key in rest], axis=0))
    return keys, np.array(rows).reshape(len(rows), width)
