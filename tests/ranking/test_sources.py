"""A score told by its sources: the rows add up to it, the columns to its parts."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking import (
    Explained,
    explain,
    layout_of,
    prior,
    projection,
    rank_space,
    user_vector,
    widened,
)
from ranking.parts import with_parts
from ranking.sources import MOST_TOLD, history_asks, sources
from ranking.user import decayed, history_vector

from .conftest import make_fusion

FUSION = make_fusion()
LAYOUT = layout_of(FUSION.blocks)
SPACE = rank_space(FUSION.blocks, 4, 3)
DIM = 15


def unit(random, count):
    rows = random.normal(size=(count, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def asked(seed, past=5, trained=False):
    """A user's query, their history's content and its weights."""
    random = np.random.default_rng(seed)
    content = unit(random, past)
    weights, ages_s = random.uniform(0.5, 3, past), random.uniform(0, 1e6, past)
    history = history_vector(content, weights, ages_s, 1e5) if past else None
    said = {"text": random.normal(size=12), "image_text": random.normal(size=10)}
    user = user_vector(FUSION.blocks, said, history, past, 3.0)
    made = prior(FUSION)
    if trained:
        made = projection(
            FUSION,
            {
                "history": random.normal(size=(DIM, DIM)).astype(np.float32),
                "text": random.normal(size=(12, DIM)).astype(np.float32),
                "one": random.normal(size=(1, DIM)).astype(np.float32),
            },
        )
    query = widened(made.query(user), SPACE)
    asks = history_asks(made, query, content, decayed(weights, ages_s, 1e5)) if past else None
    ranks = SPACE.compose(unit(random, 6), random.uniform(0, 0.9, 6), 0.7)
    return query, ranks, asks


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000), st.integers(0, 30), st.booleans(), st.floats(-1e7, 1e7), st.booleans()
)
def test_rows_are_the_score_and_columns_its_parts_bit_by_bit(seed, past, trained, rules, lifted):
    query, ranks, asks = asked(seed, past, trained)
    told = explain(query, ranks, LAYOUT)
    if lifted:
        told = with_parts(told, {"rules": np.full(len(told), rules)})
    for before, (one, rows) in zip(told, sources(query, ranks, LAYOUT, told, asks), strict=True):
        shown = json.loads(json.dumps([row.parts for row in rows]))
        scores = [sum(parts.values()) for parts in shown]
        assert scores == [row.score for row in rows]
        assert sum(scores) == sum(reversed(scores)) == math.fsum(scores) == one.score
        assert sum(one.parts.values()) == one.score
        for name, value in one.parts.items():
            column = [parts.get(name, 0.0) for parts in shown]
            assert sum(column) == math.fsum(column) == value
        assert one.score == pytest.approx(before.score, rel=1e-12, abs=1e-9)
        assert sum(row.item is not None for row in rows) == min(past, MOST_TOLD)


@pytest.mark.parametrize("trained", [False, True])
def test_an_item_of_the_history_has_the_score_it_would_give_by_itself(trained):
    """Golden: the query of a user whose history part holds that item alone."""
    query, ranks, asks = asked(3, 4, trained)
    (_, rows) = sources(query, ranks[:1], LAYOUT, explain(query, ranks[:1], LAYOUT), asks)[0]
    for row in rows:
        if row.item is not None:
            by_hand = float(asks[row.item] @ ranks[0, :DIM])
            assert row.score == pytest.approx(by_hand, abs=1e-5)
    assert asks.sum(axis=0) == pytest.approx(query.by_part["history"][:DIM], abs=1e-5)


def test_without_a_query_only_what_was_added_is_told():
    told = with_parts(explain_nothing(2), {"explore": [0.5, -0.25]})
    found = sources(None, np.zeros((2, SPACE.dim), dtype=np.float32), LAYOUT, told)
    assert [[(row.name, row.score) for row in rows] for _, rows in found] == [
        [("explore", 0.5)],
        [("explore", -0.25)],
    ]
    assert [one.parts for one, _ in found] == [{"explore": 0.5}, {"explore": -0.25}]


def explain_nothing(count):
    return [Explained(0.0, {})] * count
