"""Business rules of one answer: what is left out, placed, lifted, pressed down, and limited.

{"exclude": ["film-3"], "pin": [{"item": "film-9", "position": 1}],
 "boost": [{"where": {"publisher": "ours"}, "by": 0.2}],
 "bury": [{"where": {"stock": {"lte": 0}}, "by": 1}],
 "at_most": [{"attribute": "director", "count": 2}],
 "freshness": {"half_life_days": 7, "strength": 0.1}}
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from domain.fields import AttributeName, Identifier, Number
from domain.filters import Filters
from domain.items import StrictModel

MOST_BY = 1e6

Whole = Annotated[int, Field(strict=True)]


class Pin(StrictModel):
    """One item at one place."""

    item: Identifier
    position: Whole = Field(ge=1, description="From 1; behind the last result it is the last.")


class Lift(StrictModel):
    """Items that meet all conditions gain (boost) or lose (bury) this much of score."""

    where: Filters = Field(min_length=1, description="Conditions as in `filters`.")
    by: Number = Field(gt=0, le=MOST_BY, description="Points of score.")


class AtMost(StrictModel):
    """No more than `count` results with the same value. Of a list, every value counts."""

    attribute: AttributeName
    count: Whole = Field(ge=1)


class Freshness(StrictModel):
    """Items gain strength * 2^(-age / half-life), age since they were first indexed."""

    half_life_days: Number = Field(gt=0, le=1e5)
    strength: Number = Field(ge=0, le=MOST_BY, description="Points of score at age 0.")


class Rules(StrictModel):
    """All of them hold together. What they add to a score is its part "rules"."""

    exclude: list[Identifier] = Field(
        default_factory=list, max_length=1000, description="Item ids that are left out."
    )
    pin: list[Pin] = Field(default_factory=list, max_length=100)
    boost: list[Lift] = Field(default_factory=list, max_length=20)
    bury: list[Lift] = Field(default_factory=list, max_length=20)
    at_most: list[AtMost] = Field(default_factory=list, max_length=10)
    freshness: Freshness | None = None

    @model_validator(mode="after")
    def _without_contradiction(self) -> Self:
        left_out = set(self.exclude)
        items: set[str] = set()
        places: set[int] = set()
        for pin in self.pin:
            if pin.item in left_out:
                raise ValueError(f"pin: {pin.item!r} is excluded too; drop one of the two")
            if pin.item in items:
                raise ValueError(f"pin: {pin.item!r} is pinned twice; pin it once")
            if pin.position in places:
                raise ValueError(
                    f"pin: two items at position {pin.position}; give each its own position"
                )
            items.add(pin.item)
            places.add(pin.position)
        names = [one.attribute for one in self.at_most]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"at_most: {name!r} is limited twice; limit it once")
        return self

    @property
    def score(self) -> bool:
        """Whether any of them changes scores."""
        return bool(self.boost or self.bury or self.freshness)

    @property
    def select(self) -> bool:
        """Whether any of them needs more candidates than results."""
        return bool(self.score or self.at_most or self.pin)
