"""Further parts of a score add up with the others."""

from __future__ import annotations

import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ranking.explain import Explained, on_a_grid
from ranking.parts import with_parts

number = st.floats(-1e6, 1e6, allow_nan=False)


@given(
    st.lists(st.tuples(number, number, number), min_size=1, max_size=5),
    st.lists(st.tuples(number, number), min_size=5, max_size=5),
)
def test_parts_with_more_parts_are_the_score_bit_by_bit_in_any_order(rows, more):
    told = [
        Explained(float(sum(row)), dict(zip("abc", row, strict=True)))
        for row in on_a_grid(np.array(rows)).tolist()
    ]
    rules, explore = np.array(more[: len(told)]).T
    found = with_parts(told, {"rules": rules, "explore": explore})
    for before, one, extra in zip(told, found, more, strict=False):
        shown = json.loads(json.dumps(one.parts))
        assert list(shown) == ["a", "b", "c", "rules", "explore"]
        assert sum(shown.values()) == sum(reversed(shown.values())) == one.score
        assert math.fsum(shown.values()) == one.score
        assert abs(one.score - before.score - sum(extra)) <= 1e-9 * (1 + abs(one.score) + 2e6)


def test_nothing_more_changes_nothing():
    told = [Explained(0.5, {"a": 0.5})]
    assert with_parts(told, {}) == told
    assert with_parts([], {"rules": []}) == []
