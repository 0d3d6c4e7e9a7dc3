"""Users and what they did."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from domain.fields import Identifier, Number, Text, Timestamp, Version
from domain.items import Attributes, Phrase, StrictModel
from domain.limits import within

LEAST_WEIGHT, MOST_WEIGHT = 1e-6, 1e6
"""Of one interaction. Sums of weights within these lose nothing that matters to rounding, so that
what a user added can be taken off again."""


class User(StrictModel):
    """What is known about one person; every part is optional but the id."""

    id: Identifier
    version: Version | None = Field(default=None, description="As an item's: newest wins.")
    profile: Annotated[Text, within("profile_chars")] = Field(
        default="", description="The person in their own words."
    )
    interests: Annotated[list[Phrase], within("interests")] = Field(
        default_factory=list, description="Declared interests."
    )
    demographics: Attributes = Field(default_factory=dict)


class Interaction(StrictModel):
    """One thing a user did with one item."""

    user: Identifier
    item: Identifier
    kind: Text = Field(
        default="view",
        min_length=1,
        max_length=64,
        description="What was done, in the publisher's words: view, like, purchase, play ...",
    )
    weight: Number = Field(
        default=1.0,
        ge=LEAST_WEIGHT,
        le=MOST_WEIGHT,
        description="How strongly it speaks for the item, from 0.000001 to 1,000,000.",
    )
    time: Timestamp | None = Field(default=None, description="When; the event's time if left out.")
