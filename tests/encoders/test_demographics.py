"""Demographics as a vector: the same facts, the same direction; near numbers, near vectors."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from domain.vectors import DEMOGRAPHICS_DIM
from encoders.demographics import demographics_vector

VALUES = st.one_of(
    st.text(max_size=8),
    st.booleans(),
    st.integers(-9999, 9999),
    st.floats(allow_nan=False, allow_infinity=False),
)
NAMES = st.sampled_from(["age", "country", "occupation", "member_since", "x"])


@given(st.dictionaries(NAMES, st.one_of(VALUES, st.lists(VALUES, max_size=3)), max_size=5))
def test_it_is_of_unit_length_or_absent_and_the_order_of_names_does_not_matter(facts) -> None:
    found = demographics_vector(facts)
    again = demographics_vector(dict(reversed(facts.items())))
    if found is None:
        assert again is None
        return
    assert found.shape == (DEMOGRAPHICS_DIM,)
    assert found.dtype == np.float32
    assert abs(float(np.linalg.norm(found)) - 1.0) < 1e-5
    assert np.allclose(found, again, atol=1e-6)


def test_nothing_declared_is_nothing() -> None:
    assert demographics_vector({}) is None
    assert demographics_vector({"note": "", "also": []}) is None


def test_ages_that_are_near_look_more_alike_than_ages_that_are_far() -> None:
    def of(age: int) -> np.ndarray:
        found = demographics_vector({"age": age})
        assert found is not None
        return found

    assert of(30) @ of(31) > of(30) @ of(60) + 0.2
    assert of(30) @ of(30) > 0.999
