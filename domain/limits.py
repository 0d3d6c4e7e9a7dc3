"""Bounds on what one event may hold. Set by FIRSTLIGHT_LIMITS_*; checked when events are parsed."""

from __future__ import annotations

from collections.abc import Sized
from typing import TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

S = TypeVar("S", bound=Sized)


class Limits(BaseModel):
    """Bounds on one event. Counts are per item; sizes are characters unless the name says bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    request_events: int = Field(1000, ge=1, description="Events in one POST /v1/events.")
    request_bytes: int = Field(
        32 * 2**20, ge=1024, description="Bytes of one JSON request body (uploads apart)."
    )
    title_chars: int = Field(1000, ge=1, description="Characters of a title.")
    description_chars: int = Field(100_000, ge=1, description="Characters of a description.")
    tags: int = Field(100, ge=0, description="Tags of one item.")
    tag_chars: int = Field(200, ge=1, description="Characters of one tag.")
    attributes: int = Field(100, ge=0, description="Attributes of one item.")
    attribute_values: int = Field(100, ge=1, description="Values of one list attribute.")
    attribute_chars: int = Field(1000, ge=1, description="Characters of one text attribute.")
    url_chars: int = Field(4096, ge=1, description="Characters of one media reference.")
    images: int = Field(16, ge=0, description="Pictures of one item.")
    audio: int = Field(8, ge=0, description="Clips of one item.")
    profile_chars: int = Field(20_000, ge=1, description="Characters of a user's profile text.")
    interests: int = Field(100, ge=0, description="Declared interests of one user.")


DEFAULT_LIMITS = Limits()

UNLIMITED = Limits.model_validate(dict.fromkeys(Limits.model_fields, 2**63 - 1))
"""For what was accepted already: it stays readable whatever the limits are now or elsewhere."""


def limits_of(info: ValidationInfo) -> Limits:
    """The limits handed to the parser as validation context, else the defaults."""
    context = info.context
    found = context.get("limits") if isinstance(context, dict) else None
    return found if isinstance(found, Limits) else DEFAULT_LIMITS


def check_length(value: Sized, name: str, info: ValidationInfo) -> None:
    """Raise ValueError where a text or a collection exceeds the limit of this name."""
    most = getattr(limits_of(info), name)
    if len(value) <= most:
        return
    texts = name.endswith("_chars")
    raise ValueError(
        f"{len(value)} {'characters' if texts else 'entries'}, the limit is {most};"
        f" {'shorten it' if texts else 'send fewer'} or raise FIRSTLIGHT_LIMITS_{name.upper()}"
    )


def within(name: str) -> AfterValidator:
    """Annotates a text or a collection whose length is bounded by the limit of this name."""

    def check(value: S, info: ValidationInfo) -> S:
        check_length(value, name, info)
        return value

    return AfterValidator(check)
