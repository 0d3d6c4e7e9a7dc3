"""A score is exactly the sum of the parts that are shown."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ranking import Query, contributions, explain, layout_of, prior, projection, user_vector
from ranking.explain import on_a_grid

from .conftest import make_fusion

FUSION = make_fusion()
LAYOUT = layout_of(FUSION.blocks)
DIM = 15
numbers = st.floats(-1e6, 1e6, width=32, allow_nan=False)


def a_query(vector, one=None):
    by_part = {"history": vector} if one is None else {"history": vector, "one": one}
    return Query(sum(by_part.values()), by_part)


@given(
    arrays(np.float32, DIM, elements=numbers),
    arrays(np.float32, DIM, elements=numbers),
    arrays(np.float32, (3, DIM), elements=numbers),
)
def test_parts_add_up_to_the_score_exactly_after_a_json_round_trip_in_any_order(query, one, items):
    for explained in explain(a_query(query, one), items, LAYOUT):
        shown = orjson.loads(orjson.dumps({"score": explained.score, "parts": explained.parts}))
        again = json.loads(json.dumps(shown))
        assert again == shown
        assert sum(again["parts"].values()) == again["score"]
        assert math.fsum(again["parts"].values()) == again["score"]
        for order in itertools.permutations(again["parts"].values()):
            assert sum(order) == again["score"]


@given(arrays(np.float64, (2, 5), elements=st.floats(-1e12, 1e12)))
def test_the_grid_moves_a_part_by_less_than_anyone_can_see(parts):
    moved = np.abs(on_a_grid(parts) - parts).max(axis=1)
    assert (moved <= np.maximum(1e-12, 1e-15 * np.abs(parts).sum(axis=1))).all()


def test_scores_agree_with_the_float32_inner_product_of_the_store():
    random = np.random.default_rng(0)
    items = np.stack(
        [
            FUSION.fuse({"text": random.normal(size=12), "image": random.normal(size=10)})
            for _ in range(50)
        ]
    )
    embeddings = {"text": random.normal(size=12), "image_text": random.normal(size=10)}
    query = prior(FUSION).query(user_vector(FUSION.blocks, embeddings, items[0], 2, 3.0))
    stored = items @ query.vector
    told = [explained.score for explained in explain(query, items, LAYOUT)]
    assert np.abs(stored - told).max() < 1e-4


def test_each_block_contributes_its_own_inner_product_and_the_bias_stands_apart():
    query = np.arange(1, DIM + 1, dtype=np.float32)
    one = np.full(DIM, 0.5, dtype=np.float32)
    items = np.ones((1, DIM), dtype=np.float32)
    (explained,) = explain(a_query(query, one), items, LAYOUT)
    assert explained.parts == {"text": 21.0, "image": 45.0, "audio": 54.0, "bias": 7.5}
    assert explained.score == 127.5
    by_part = contributions(a_query(query, one), items, LAYOUT)
    assert by_part["one"].tolist() == [[3.0, 2.5, 2.0]]


def test_the_reason_is_the_strongest_modality_that_the_item_has():
    query = np.arange(1, DIM + 1, dtype=np.float32)
    (explained,) = explain(a_query(query), np.ones((1, DIM), dtype=np.float32), LAYOUT)
    assert explained.reason({"text", "image", "audio"}) == "audio"
    assert explained.reason({"text", "image"}) == "image"
    assert explained.reason(set()) == "audio"


def test_a_bias_that_outweighs_every_modality_is_the_reason():
    one = np.full(DIM, 9.0, dtype=np.float32)
    query = a_query(np.ones(DIM, dtype=np.float32), one)
    (explained,) = explain(query, np.ones((1, DIM), dtype=np.float32), LAYOUT)
    assert explained.reason({"text"}) == "bias"


def test_a_zero_bias_is_no_reason_even_when_every_modality_speaks_against():
    query = a_query(-np.ones(DIM, dtype=np.float32))
    (explained,) = explain(query, np.ones((1, DIM), dtype=np.float32), LAYOUT)
    assert explained.reason({"text", "image"}) == "image"


def test_nothing_to_explain_is_an_empty_answer():
    query = a_query(np.ones(DIM, dtype=np.float32))
    assert explain(query, np.zeros((0, DIM), dtype=np.float32), LAYOUT) == []


def test_a_learned_projection_explains_bias_through_its_row_for_one():
    a = projection(FUSION, {"one": np.full((1, DIM), 0.25, dtype=np.float32)})
    query = a.query(user_vector(FUSION.blocks, {}, None, 0, 3.0))
    (explained,) = explain(query, np.ones((1, DIM), dtype=np.float32), LAYOUT)
    assert explained.parts["bias"] == explained.score == DIM * 0.25
