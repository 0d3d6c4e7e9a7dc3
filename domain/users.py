"""Users and what they did."""

from __future__ import annotations

from typing import Self

from pydantic import Field, ValidationInfo, model_validator

from domain.fields import AttributeName, Identifier, Text, Timestamp, Version
from domain.items import Attribute, StrictModel
from domain.limits import limits_of


class User(StrictModel):
    """What is known about one person; every part is optional but the id."""

    id: Identifier
    version: Version | None = Field(default=None, description="As an item's: newest wins.")
    profile: Text = Field(default="", description="The person in their own words.")
    interests: list[Text] = Field(default_factory=list, description="Declared interests.")
    demographics: dict[AttributeName, Attribute] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _within_limits(self, info: ValidationInfo) -> Self:
        limits = limits_of(info)
        if len(self.profile) > limits.profile_chars:
            raise ValueError(
                f"profile: {len(self.profile)} characters, the limit is {limits.profile_chars};"
                " shorten it"
            )
        if len(self.interests) > limits.interests:
            raise ValueError(
                f"interests: {len(self.interests)}, the limit is {limits.interests}; send fewer"
            )
        if len(self.demographics) > limits.attributes:
            raise ValueError(
                f"demographics: {len(self.demographics)} names, the limit is {limits.attributes}"
            )
        for interest in self.interests:
            if len(interest) > limits.tag_chars:
                raise ValueError(
                    f"interests: one of {len(interest)} characters, the limit is {limits.tag_chars}"
                )
        return self


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
    weight: float = Field(
        default=1.0,
        gt=0,
        le=1e6,
        allow_inf_nan=False,
        description="How strongly it speaks for the item.",
    )
    time: Timestamp | None = Field(default=None, description="When; the event's time if left out.")
