"""Attributes as tokens."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from encoders.attributes import attribute_tokens
from encoders.attributes.tokens import MOST_PER_ITEM, MOST_PER_NAME

scalars = (
    st.text(max_size=40)
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}", fullmatch=True)
attributes = st.dictionaries(names, scalars | st.lists(scalars, max_size=6), max_size=5)


def shared(one: Any, other: Any) -> float:
    """Share of tokens that two values of one attribute have in common (Jaccard)."""
    left, right = set(attribute_tokens({"a": one})), set(attribute_tokens({"a": other}))
    return len(left & right) / len(left | right)


def test_words_and_yes_or_no_are_one_token_in_one_case_and_spacing() -> None:
    assert attribute_tokens({"Genre": "  Film\n Noir ", "in_stock": True}) == [
        "genre=film noir",
        "in_stock=true",
    ]


def test_a_list_gives_each_value_once_in_whatever_order() -> None:
    one = attribute_tokens({"genre": ["Drama", "Comedy", "drama"]})
    assert one == ["genre=comedy", "genre=drama"]
    assert one == attribute_tokens({"genre": ["Comedy", "Drama"]})


@given(attributes, st.randoms())
def test_order_of_names_and_values_does_not_matter(
    found: dict[str, Any], chance: random.Random
) -> None:
    turned = list(found.items())
    chance.shuffle(turned)
    shuffled = {
        name: chance.sample(value, len(value)) if isinstance(value, list) else value
        for name, value in turned
    }
    assert attribute_tokens(shuffled) == attribute_tokens(found)


@given(attributes)
def test_tokens_are_distinct_and_name_their_attribute(found: dict[str, Any]) -> None:
    tokens = attribute_tokens(found)
    assert len(set(tokens)) == len(tokens)
    known = {name.casefold() for name in found}
    assert {token.partition("=")[0].partition("~")[0] for token in tokens} <= known


@pytest.mark.parametrize("value", [{}, [], "", "   ", math.nan, math.inf])
def test_what_says_nothing_has_no_token(value: Any) -> None:
    assert attribute_tokens({} if value == {} else {"a": value}) == []


def test_a_year_is_told_by_itself_and_by_overlapping_spans() -> None:
    tokens = attribute_tokens({"year": 1994})
    assert tokens[0] == "year=1994"
    assert {"year~10:199", "year~10+:199", "year~20+:100", "year~5:398"} <= set(tokens)


def test_a_year_may_be_sent_as_text() -> None:
    assert attribute_tokens({"year": "1994"}) == attribute_tokens({"year": 1994})


@given(st.integers(1900, 2040), st.integers(1, 3), st.integers(12, 60))
def test_near_years_share_more_than_far_ones(year: int, near: int, further: int) -> None:
    assert shared(year, year + near) > shared(year, year + further)
    assert shared(year, year) == 1.0


def year(amount: float) -> bool:
    """Whole numbers of four digits are read as years, not as amounts (docs/fusion.md)."""
    return amount.is_integer() and 1000 <= amount < 3000


@given(st.floats(0.01, 1e9), st.floats(1.0, 1.04), st.floats(4.0, 20.0))
def test_near_amounts_share_more_than_far_ones_at_any_scale(
    amount: float, near: float, far: float
) -> None:
    assume(not any(year(amount * factor) for factor in (1.0, near, far)))
    assert shared(amount, amount * near) > shared(amount, amount * far)


@given(st.floats(0.1, 1e9), st.floats(1.0, 1.04))
def test_no_boundary_parts_neighbours_altogether(amount: float, near: float) -> None:
    assume(year(amount) == year(amount * near))
    assert shared(amount, amount * near) > 0.2


def test_a_minus_is_another_amount() -> None:
    assert shared(25.5, -25.5) == 0.0


@given(st.dates(), st.integers(1, 3))
def test_near_days_share_more_than_far_ones(day: Any, days: int) -> None:
    ordinal = min(day.toordinal(), type(day).max.toordinal() - 400)
    one, near, far = (type(day).fromordinal(ordinal + add).isoformat() for add in (0, days, 365))
    assert shared(one, near) > shared(one, far)


def test_timestamps_with_zones_are_the_same_day_everywhere() -> None:
    tokens = attribute_tokens({"seen": "2026-03-01T23:30:00-05:00"})
    assert tokens == attribute_tokens({"seen": "2026-03-02T04:30:00Z"})
    assert tokens == attribute_tokens({"seen": "2026-03-02"})


@pytest.mark.parametrize("text", ["2026-13-45", "2026-02-30", "20260301", "1994-06", "0000-01-01"])
def test_what_only_looks_like_a_date_is_text(text: str) -> None:
    assert attribute_tokens({"when": text}) == [f"when={text}"]


def test_a_whole_number_is_the_same_however_it_is_written() -> None:
    assert attribute_tokens({"seats": 4.0}) == attribute_tokens({"seats": 4})
    assert attribute_tokens({"seats": True}) != attribute_tokens({"seats": 1})


def test_tokens_of_one_item_are_bounded_and_no_name_crowds_out_another() -> None:
    crowd = {f"n{number}": [float(one) for one in range(100)] for number in range(100)}
    tokens = attribute_tokens(crowd | {"genre": "drama"})
    assert len(tokens) <= MOST_PER_ITEM
    assert "genre=drama" in tokens
    assert len(attribute_tokens({"n": [one / 7 for one in range(500)]})) == MOST_PER_NAME
    assert max(map(len, attribute_tokens({"a": "x" * 5000}))) < 200
