"""Results are picked by score, unlike those before, and without copies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking.diversity import Near, Picker, crowded, unit_rows


def some(seed, count=30, dim=6):
    random = np.random.default_rng(seed)
    scores = np.sort(random.normal(size=count))[::-1]
    return scores, random.normal(size=(count, dim)).astype(np.float32)


def spread(vectors):
    unit = unit_rows(vectors)
    cosines = unit @ unit.T
    return 1.0 - cosines[~np.eye(len(unit), dtype=bool)].mean()


def by_hand(scores, vectors, count, strength):
    """MMR as its formula reads."""
    relevance = (scores - scores.min()) / (scores.max() - scores.min())
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    picked, left = [], list(range(len(scores)))
    while left and len(picked) < count:
        values = [
            relevance[at]
            if not picked
            else (1 - strength) * relevance[at]
            - strength * max(float(unit[at] @ unit[other]) for other in picked)
            for at in left
        ]
        picked.append(left.pop(int(np.argmax(values))))
    return picked


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 1.0), st.integers(0, 40))
def test_picks_are_those_of_the_formula_each_once(seed, strength, count):
    scores, vectors = some(seed)
    found = Picker(vectors, strength=strength).pick(scores, count)
    assert len(set(found)) == len(found) == min(count, len(scores))
    assert found == by_hand(scores, vectors.astype(np.float64), count, strength)


def test_without_strength_the_order_is_that_of_the_scores_and_equal_ones_keep_theirs():
    scores = np.array([1.0, 3.0, 3.0, 2.0])
    assert Picker(np.eye(4, dtype=np.float32)).pick(scores, 4) == [1, 2, 3, 0]


def test_an_answer_that_is_asked_to_be_diverse_is_more_varied():
    random = np.random.default_rng(3)
    centres = random.normal(size=(5, 8))
    vectors = (centres[np.arange(60) % 5] + 0.2 * random.normal(size=(60, 8))).astype(np.float32)
    scores = vectors @ centres[0]
    varied = [
        spread(vectors[Picker(vectors, strength=strength).pick(scores, 10)])
        for strength in (0.0, 0.6, 1.0)
    ]
    assert varied[0] < 0.3
    assert min(varied[1:]) > 0.5


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3), st.sampled_from([0.0, 0.5]))
def test_no_more_near_duplicates_than_may_be_are_picked(seed, most, strength):
    random = np.random.default_rng(seed)
    originals = random.normal(size=(6, 12))
    vectors = np.repeat(originals, 8, axis=0) + 1e-3 * random.normal(size=(48, 12))
    picker = Picker(vectors.astype(np.float32), strength=strength, near=Near(0.98, most))
    found = picker.pick(random.normal(size=48), 48)
    counts = np.bincount(np.array(found) // 8, minlength=6)
    assert (counts == most).all()
    assert len(picker.copies) == 48 - 6 * most
    assert not crowded(vectors[found].astype(np.float32), Near(0.98, most))
    assert crowded(vectors.astype(np.float32), Near(0.98, most))


def test_what_is_not_admitted_gives_its_place_to_the_next():
    scores, vectors = some(1)
    picker = Picker(vectors, admits=lambda at: at % 2 == 0)
    assert picker.pick(scores, 3) == [0, 2, 4]
    assert picker.pick(scores, 2) == [6, 8]


def test_a_candidate_that_was_taken_elsewhere_is_not_picked_but_counts_as_near():
    vectors = np.array([[1, 0], [1, 0.001], [0, 1]], dtype=np.float32)
    picker = Picker(vectors, near=Near(0.98, 1))
    picker.take(0)
    assert picker.pick([3.0, 2.0, 1.0], 3) == [2]


@pytest.mark.parametrize("count", [0, 1])
def test_of_nothing_nothing_is_picked(count):
    empty = np.zeros((0, 4), dtype=np.float32)
    assert Picker(empty, strength=0.5).pick([], 3) == []
    assert not crowded(np.ones((count, 4), dtype=np.float32), Near(0.9, 1))
