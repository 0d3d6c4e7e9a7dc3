"""Attributes as tokens."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from encoders.attributes import attribute_tokens
from encoders.attributes.tokens import MOST_PER_ITEM, MOST_PER_NAME, beyond_years

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


@given(st.floats(0.01, 1e9), st.floats(1.0, 1.04), st.floats(4.0, 20.0), st.booleans())
@example(amount=980.0, near=1.04, far=4.0, whole=True)
@example(amount=1000.0, near=1.04, far=4.0, whole=True)
@example(amount=2950.0, near=1.034, far=4.0, whole=True)
def test_near_amounts_share_more_than_far_ones_at_any_scale(
    amount: float, near: float, far: float, whole: bool
) -> None:
    one, two, three = (
        float(round(found)) if whole else found for found in (amount, amount * near, amount * far)
    )
    assume(one)
    assert shared(one, two) > shared(one, three)


@given(st.floats(0.1, 1e9), st.floats(1.0, 1.04))
@example(amount=999.5, near=1.0005)
@example(amount=2999.0, near=1.001)
def test_no_boundary_parts_neighbours_altogether(amount: float, near: float) -> None:
    assert shared(amount, amount * near) > 0.2


@pytest.mark.parametrize(
    ("one", "other"), [(950, 1050), (1199, 1299), (2950, 3050), (1299, 1299.99), ("1299", "1399")]
)
def test_prices_of_four_digits_are_near_one_another(one: Any, other: Any) -> None:
    assert shared(one, other) > 0.15
    assert shared(one, other) > shared(one, 190) + 0.1
    assert shared(one, other) > shared(one, 9000) + 0.1


def test_where_all_are_years_what_takes_them_for_amounts_is_told_apart() -> None:
    years = attribute_tokens({"year": [1519, 1994, 2100], "seen": "1994-05-01"})
    left_out = beyond_years(dict.fromkeys(years, 1))
    assert {"year~100:19", "year~200+:10", "year~log~1:10"} <= left_out
    assert not {token for token in left_out if token.startswith("seen")}
    kept = {token.partition(":")[0].rstrip("+") for token in set(years) - left_out if "~" in token}
    assert {token for token in kept if token.startswith("year")} == {
        f"year~{width}" for width in (2, 5, 10, 20, 50)
    }


@pytest.mark.parametrize("other", [1499, 2101, 1699.5, -1700, 0])
def test_a_name_has_years_where_nine_in_ten_of_its_numbers_are(other: float) -> None:
    tokens = dict.fromkeys(attribute_tokens({"made": [1599, 1799]}), 45)
    odd = [token for token in attribute_tokens({"made": other}) if "=" in token]
    assert beyond_years(tokens | dict.fromkeys(odd, 10))
    assert not beyond_years(tokens | dict.fromkeys(odd, 11))


def test_text_is_the_same_in_either_unicode_form() -> None:
    composed, apart = "Andr\u00e9 T\u00e9chin\u00e9", "Andre\u0301 Te\u0301chine\u0301"
    assert attribute_tokens({"director": apart}) == attribute_tokens({"director": composed})
    assert attribute_tokens({"director": "Andre Techine"}) != attribute_tokens(
        {"director": composed}
    )


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
