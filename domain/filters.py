"""Conditions on attributes, as the API takes them and the index applies them.

{"genre": "Comedy", "year": {"gte": 1990, "lt": 2000}, "country": {"any": ["US", "GB"]},
 "format": {"not": ["vhs"]}}: all conditions hold together.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from domain.fields import AttributeName, Scalar
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
    gt: float | None = Field(default=None, allow_inf_nan=False)
    gte: float | None = Field(default=None, allow_inf_nan=False)
    lt: float | None = Field(default=None, allow_inf_nan=False)
    lte: float | None = Field(default=None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
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
    return value


Filters = dict[AttributeName, Annotated[Condition, BeforeValidator(_to_condition)]]
"""Conditions by attribute name; a bare value means eq, a bare list means any."""
