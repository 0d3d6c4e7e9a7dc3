"""Cleaning interactions against a plain loop."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import RejectedError
from evaluation.datasets.pairs import clean_pairs

NOW = 1000.0 + 86_400

WEIGHTS = st.sampled_from([1.0, 0.5, 2.0, 0.0, -1.0, math.nan, math.inf])
TIMES = st.sampled_from([1.0, 5.0, 900.0, 1e9, math.nan])
ROWS = st.lists(
    st.tuples(st.integers(-1, 3), st.integers(-1, 2), WEIGHTS, TIMES, st.integers(0, 2)),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(ROWS)
def test_cleaning_is_what_a_plain_loop_does(rows: list[tuple[int, int, float, float, int]]) -> None:
    expected: dict[tuple[int, int], tuple[float, float, int]] = {}
    for user, item, weight, when, part in rows:
        if user < 0 or item < 0 or not math.isfinite(weight) or weight <= 0:
            continue
        when = when if when <= 1000 + 2 * 86_400 else math.nan
        total, newest, first = expected.get((user, item), (0.0, math.nan, 9))
        newest = when if math.isnan(newest) or when > newest else newest
        expected[user, item] = (total + weight, newest, min(first, part))
    columns = [np.array(column) for column in zip(*rows, strict=True)] or [np.zeros(0)] * 5
    try:
        found = clean_pairs(
            columns[0].astype(np.int64),
            columns[1].astype(np.int64),
            columns[2].astype(np.float64),
            columns[3].astype(np.float64),
            n_items=3,
            source="rows",
            part=columns[4].astype(np.int8),
            now=NOW,
        )
    except RejectedError:
        known = [when for *_, when, _ in rows if not math.isnan(when)]
        assert not expected or all(when == 1e9 for when in known)
        return
    keys = list(zip(found.user_index.tolist(), found.item_index.tolist(), strict=True))
    assert keys == sorted(expected)
    assert found.part is not None
    for at, key in enumerate(keys):
        weight, newest, first = expected[key]
        assert found.weights[at] == weight
        assert found.part[at] == first
        when = math.nan if found.times is None else found.times[at]
        assert when == newest or (math.isnan(when) and math.isnan(newest))
