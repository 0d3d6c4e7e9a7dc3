"""Conditions on attributes, as the API takes them and the index applies them.

{"genre": "Comedy", "year": {"gte": 1990, "lt": 2000}, "country": {"any": ["US", "GB"]},
 "format": {"not": ["vhs"]}}: all conditions hold together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from domain.fields import AttributeName, Number, Scalar
from domain.items import Attribute, StrictModel


class Condition(StrictModel):
    """What one attribute must be. A list attribute matches when any of its values does."""

    eq: Attribute | None = Field(default=None, description="Equal to this.")
    any: list[Attribute] | None = Field(
        default=None, min_length=1, max_length=1000, description="Equal to one of these."
    )
    not_: list[Attribute] | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        alias="not",
        description="Equal to none of these; an item without the attribute passes.",
    )
    gt: Number | None = None
    gte: Number | None = None
    lt: Number | None = None
    lte: Number | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if all(said is None for said in (self.eq, self.any, self.not_)) and not self.has_range:
            raise ValueError("an empty condition; use eq, any, not, gt, gte, lt or lte")
        if isinstance(self.eq, list):
            raise ValueError("eq takes one value; use any for a list")
        return self

    @property
    def has_range(self) -> bool:
        """Whether any bound is set."""
        return any(bound is not None for bound in (self.gt, self.gte, self.lt, self.lte))


def _to_condition(value: Any) -> Any:
    if isinstance(value, list):
        return {"any": value}
    if isinstance(value, Scalar):
        return {"eq": value}
    if not isinstance(value, dict | Condition):
        raise ValueError(
            'not a condition; send a value, a list of values, or an object such as {"gte": 1990}'
        )
    return value


Filters = dict[AttributeName, Annotated[Condition, BeforeValidator(_to_condition)]]
"""Conditions by attribute name; a bare value means eq, a bare list means any."""


def passes(attributes: Mapping[str, Any], filters: Filters) -> bool:
    """Whether an item's attributes meet all conditions, as the index judges them."""
    return all(_meets(attributes.get(name), condition) for name, condition in filters.items())


def _meets(value: Any, condition: Condition) -> bool:
    values = value if isinstance(value, list) else [] if value is None else [value]
    if condition.eq is not None and not _any_equal(values, [condition.eq]):
        return False
    if condition.any is not None and not _any_equal(values, condition.any):
        return False
    if condition.not_ is not None and _any_equal(values, condition.not_):
        return False
    if not condition.has_range:
        return True
    return any(_in_range(one, condition) for one in values)


def _any_equal(values: list[Scalar], wanted: Collection[Any]) -> bool:
    keys = {_key(one) for one in values}
    return any(_key(one) in keys for one in wanted if not isinstance(one, list))


def _key(value: Scalar) -> tuple[bool, Scalar]:
    return isinstance(value, bool), value


def _in_range(value: Scalar, condition: Condition) -> bool:
    if isinstance(value, bool | str):
        return False
    return not (
        (condition.gt is not None and not value > condition.gt)
        or (condition.gte is not None and not value >= condition.gte)
        or (condition.lt is not None and not value < condition.lt)
        or (condition.lte is not None and not value <= condition.lte)
    )
