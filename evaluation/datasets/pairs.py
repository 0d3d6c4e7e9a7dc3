"""From rows of (user, item, weight, time) to the interactions of a dataset."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from domain.errors import RejectedError
from evaluation.datasets.tables import Table

CLOCK_SKEW_S = 86_400.0
"""A time further ahead of this machine's clock than one day is called wrong."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Distinct pairs, sorted by user, then item; see `evaluation.dataset.Dataset`."""

    user_index: NDArray[np.int32]
    item_index: NDArray[np.int32]
    weights: NDArray[np.float32]
    times: NDArray[np.float64] | None
    part: NDArray[np.int8] | None
    notes: tuple[str, ...]


def rows_of_users(
    tables: Sequence[tuple[Table, str]], known: dict[str, int]
) -> tuple[list[NDArray[np.int64]], int]:
    """Row numbers for every table's user column; users not in `known` are added to it, in order.

    Returns the rows per table and how many users were added.
    """
    before = len(known)
    found = []
    for table, column in tables:
        for name in dict.fromkeys(table[column]):
            if name and name not in known:
                known[name] = len(known)
        found.append(_rows(table[column], known))
    return found, len(known) - before


def rows_of_items(table: Table, column: str, known: dict[str, int]) -> NDArray[np.int64]:
    """Row numbers of the table's item column, -1 for an item that is not `known`."""
    return _rows(table[column], known)


def _rows(texts: list[str], known: dict[str, int]) -> NDArray[np.int64]:
    return np.fromiter(map(known.get, texts, repeat(-1)), np.int64, count=len(texts))


def clean_pairs(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    weights: NDArray[np.float64] | None,
    times: NDArray[np.float64] | None,
    *,
    n_items: int,
    source: str,
    part: NDArray[np.int8] | None = None,
    now: float | None = None,
) -> Pairs:
    """Drop what cannot be used, merge repeats, and say so.

    A row is dropped when its user or item is unknown (-1) or its weight is not a finite number
    above 0 as float32. A time in the future is forgotten; the pair stays. Repeats of a pair are one
    pair: the weights are added, the newest time is kept, and of the parts of a given split the
    earliest (a pair that was trained on is no test). A pair whose weights add up to infinity is
    dropped.

    Args:
        users, items: [n] rows, -1 where unknown.
        weights: [n], or None for 1 each.
        times: [n] seconds since 1970, NaN where unknown.
        part: [n] part of a given split.
        source: file name for the notes.

    Raises:
        RejectedError: nothing is left, or every time lies in the future (milliseconds, say).
    """
    notes = []
    now = time.time() if now is None else now
    values = np.ones(len(users)) if weights is None else weights

    def drop(bad: NDArray[np.bool_], why: str) -> NDArray[np.bool_]:
        count = int(bad.sum())
        if count:
            notes.append(f"{source}: {count} rows dropped: {why}")
        return bad

    bad = drop(users < 0, "no user id")
    bad |= drop((items < 0) & ~bad, "the item is not among the items")
    stored = _float32(values)
    bad |= drop(~np.isfinite(stored) & ~bad, "the weight is NaN or infinite as float32")
    bad |= drop((stored <= 0) & ~bad, "the weight is zero or negative as float32")
    keep = np.flatnonzero(~bad)
    keep = keep[np.argsort(users[keep] * n_items + items[keep], kind="stable")]
    starts = _starts(users[keep] * n_items + items[keep])
    sums = _float32(np.add.reduceat(values[keep], starts))
    infinite = np.repeat(np.isinf(sums), np.diff(starts, append=len(keep)))
    keep = keep[~drop(infinite, "the weights of a repeated pair add up to infinity")]
    if not len(keep):
        raise RejectedError(
            f"none of {len(users)} interactions can be used" + "".join(f"; {n}" for n in notes),
            field=source,
            remedy="give rows of a user, an item of the items file and a weight above 0",
        )
    if times is not None:
        times = _without_future(times, now, source, notes)
    keys = users[keep] * n_items + items[keep]
    starts = _starts(keys)
    if len(starts) < len(keys):
        notes.append(
            f"{source}: {len(keys) - len(starts)} repeats of a pair merged (weights added)"
        )
    pairs = keys[starts]
    return Pairs(
        user_index=(pairs // n_items).astype(np.int32),
        item_index=(pairs % n_items).astype(np.int32),
        weights=sums[np.isfinite(sums)],
        times=None if times is None else np.fmax.reduceat(times[keep], starts),
        part=None if part is None else _earliest(part[keep], starts, source, notes),
        notes=tuple(notes),
    )


def _float32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Weights as a dataset keeps them: infinite where they are too large, 0 where too small."""
    with np.errstate(over="ignore", under="ignore"):
        return values.astype(np.float32)


def _starts(keys: NDArray[np.int64]) -> NDArray[np.intp]:
    """Where each run of equal keys begins, of keys >= 0 in order."""
    return np.flatnonzero(np.diff(keys, prepend=-1))


def _without_future(
    times: NDArray[np.float64], now: float, source: str, notes: list[str]
) -> NDArray[np.float64] | None:
    known = np.isfinite(times)
    future = known & (times > now + CLOCK_SKEW_S)
    count = int(future.sum())
    if count and count == int(known.sum()):
        raise RejectedError(
            f"every time lies in the future (the first is {times[future][0]:.0f})",
            field=f"{source} times",
            remedy="give seconds since 1970, not milliseconds",
        )
    if count:
        notes.append(f"{source}: {count} times in the future are treated as unknown")
    return np.where(known & ~future, times, np.nan) if known.any() else None


def _earliest(
    part: NDArray[np.int8], starts: NDArray[np.int64], source: str, notes: list[str]
) -> NDArray[np.int8]:
    first = np.minimum.reduceat(part, starts)
    moved = int((np.maximum.reduceat(part, starts) != first).sum())
    if moved:
        notes.append(f"{source}: {moved} pairs stood in two parts and count for the earlier")
    return first
