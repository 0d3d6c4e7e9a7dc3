"""Business rules: what they add to a score, and how many of one value they admit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.rules import Rules
from ranking.rules import Quota, addends

DAY_S = 86_400.0


def rules(**given_rules):
    return Rules.model_validate(given_rules)


def test_boosts_and_buries_add_up_over_all_whose_conditions_an_item_meets():
    made = rules(
        boost=[
            {"where": {"genre": "drama"}, "by": 0.5},
            {"where": {"year": {"gte": 2000}}, "by": 2},
        ],
        bury=[{"where": {"genre": ["drama", "war"], "year": 1999}, "by": 0.25}],
    )
    items = [
        {"genre": "drama", "year": 2001},
        {"genre": ["war", "comedy"], "year": 1999},
        {"genre": "drama", "year": 1999},
        {},
    ]
    assert addends(made, items, [0.0] * 4, 0.0).tolist() == [2.5, -0.25, 0.25, 0.0]


def test_freshness_halves_with_every_half_life_and_the_future_is_now():
    made = rules(freshness={"half_life_days": 2, "strength": 0.8})
    ages_days = np.array([0.0, 2.0, 4.0, -3.0])
    found = addends(made, [{}] * 4, 1e9 - ages_days * DAY_S, 1e9)
    assert found.tolist() == pytest.approx([0.8, 0.4, 0.2, 0.8])


@given(
    st.lists(st.sampled_from(["a", "b", 1, True, 1.0, ["a", "b"], ["b"], None]), max_size=30),
    st.integers(1, 3),
)
def test_never_more_than_n_taken_items_share_a_value(values, count):
    quota = Quota(rules(at_most=[{"attribute": "x", "count": count}]).at_most)
    taken = []
    for value in values:
        attributes = {} if value is None else {"x": value}
        if quota.admits(attributes):
            quota.take(attributes)
            taken.append(value)

    def holds(value, wanted):
        held = value if isinstance(value, list) else [value]
        return any(
            one == wanted and isinstance(one, bool) == isinstance(wanted, bool) for one in held
        )

    for wanted in ("a", "b", 1, True):
        assert sum(holds(value, wanted) for value in taken) <= count
    assert taken.count(None) == values.count(None)


@pytest.mark.parametrize(
    ("given_rules", "said"),
    [
        ({"exclude": ["a"], "pin": [{"item": "a", "position": 1}]}, "excluded too"),
        ({"pin": [{"item": "a", "position": 1}, {"item": "a", "position": 2}]}, "pinned twice"),
        ({"pin": [{"item": "a", "position": 1}, {"item": "b", "position": 1}]}, "position 1"),
        (
            {"at_most": [{"attribute": "x", "count": 1}, {"attribute": "x", "count": 2}]},
            "limited twice",
        ),
    ],
)
def test_rules_that_contradict_each_other_are_refused(given_rules, said):
    with pytest.raises(ValidationError, match=said):
        rules(**given_rules)
