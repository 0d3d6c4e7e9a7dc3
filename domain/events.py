"""CloudEvents-shaped events: the one way in.

An event is accepted once, however often it is sent: items and users by (id, version),
interactions by the event's id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import Field, TypeAdapter, ValidationError

from domain.fields import Identifier, Text, Timestamp, Version
from domain.items import Item, StrictModel
from domain.limits import DEFAULT_LIMITS, Limits
from domain.users import Interaction, User


class ItemReference(StrictModel):
    """Which item (and up to which version) a deletion speaks of."""

    id: Identifier
    version: Version | None = None


class UserReference(StrictModel):
    """Which user (and up to which version) a deletion speaks of."""

    id: Identifier
    version: Version | None = None


class Envelope(StrictModel):
    """The CloudEvents attributes that are read; `data` and `type` come with each kind."""

    specversion: Literal["1.0"] = "1.0"
    id: Identifier = Field(
        default_factory=lambda: str(uuid4()),
        description="Makes interactions idempotent; made up where the publisher sends none.",
    )
    source: Text = Field(default="/", min_length=1, max_length=256)
    time: Timestamp = Field(default_factory=lambda: datetime.now(UTC))


class ItemCreated(Envelope):
    """A new item."""

    type: Literal["item.created"] = "item.created"
    data: Item


class ItemUpdated(Envelope):
    """A new version of an item; it replaces the whole item."""

    type: Literal["item.updated"] = "item.updated"
    data: Item


class ItemDeleted(Envelope):
    """The item is gone until a newer version comes."""

    type: Literal["item.deleted"] = "item.deleted"
    data: ItemReference


class UserUpdated(Envelope):
    """A new or changed user; it replaces the whole profile."""

    type: Literal["user.updated"] = "user.updated"
    data: User


class UserDeleted(Envelope):
    """The user's profile and interactions are to be removed."""

    type: Literal["user.deleted"] = "user.deleted"
    data: UserReference


class InteractionRecorded(Envelope):
    """A user did something with an item."""

    type: Literal["interaction"] = "interaction"
    data: Interaction


ItemEvent = ItemCreated | ItemUpdated | ItemDeleted
UserEvent = UserUpdated | UserDeleted
Event = Annotated[ItemEvent | UserEvent | InteractionRecorded, Field(discriminator="type")]

EVENT: TypeAdapter[ItemEvent | UserEvent | InteractionRecorded] = TypeAdapter(Event)


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing wrong with an event: where, and what to do."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class BadEvent:
    """An event that could not be accepted, with every problem found in it."""

    event_id: str | None
    problems: tuple[FieldProblem, ...]


A_TIME = "send one such as 2026-01-31T09:30:00Z"
REMEDIES = {
    "missing": "add it",
    "string_type": "send a text",
    "string_too_short": "send at least one character",
    "string_too_long": "shorten it",
    "int_type": "send a whole number",
    "int_from_float": "send a whole number",
    "int_parsing": "send a whole number",
    "float_type": "send a number",
    "bool_type": "send true or false",
    "list_type": "send a list",
    "dict_type": "send an object",
    "too_long": "send fewer",
    "too_short": "send at least one",
    "greater_than": "send a larger number",
    "greater_than_equal": "send a larger number",
    "less_than": "send a smaller number",
    "less_than_equal": "send a smaller number",
    "literal_error": "send one of these as it is written here",
    "enum": "send one of these as it is written here",
    "datetime_parsing": A_TIME,
    "datetime_from_date_parsing": A_TIME,
    "datetime_object_invalid": A_TIME,
    "datetime_type": A_TIME,
    "finite_number": "NaN and infinity are not allowed",
}
"""By pydantic's kind of problem, where its message says only what is wrong."""

NO_NAME = (
    "not a name for an attribute;"
    " use letters, digits, _ and -, at most 64, the first one a letter or _"
)
"""The only texts with a pattern are names of attributes."""


def problems_of(error: ValidationError) -> tuple[FieldProblem, ...]:
    """Every problem of a validation error as (field, message), the event type left out.

    A message is what is wrong, and behind a semicolon what to do, where that is known.
    """
    found = []
    for entry in error.errors(include_url=False, include_context=False):
        where = [str(part) for part in entry["loc"]]
        if len(where) > 1 and where[0] in EVENT_TYPES:  # which kind of event it is
            del where[0]
        message = entry["msg"].removeprefix("Value error, ")
        if entry["type"] == "extra_forbidden":
            message = "unknown field; remove it or correct its name"
        elif len(where) > 1 and where[-1] == "[key]":  # pydantic's mark of a name in an object
            where = [*where[:-2], where[-2] or '""']
        if entry["type"] == "string_pattern_mismatch":
            message = NO_NAME
        elif entry["type"] == "union_tag_invalid":
            message = f"unknown event type; use one of {', '.join(EVENT_TYPES)}"
        elif entry["type"] == "union_tag_not_found":
            where, message = ["type"], f"missing; use one of {', '.join(EVENT_TYPES)}"
        elif entry["type"] == "string_unicode":
            message = "contains a lone surrogate; send valid Unicode"
        elif entry["type"] in ("model_type", "model_attributes_type"):
            message = "not a JSON object; send an object"
        elif entry["type"] in REMEDIES:
            message = f"{message}; {REMEDIES[entry['type']]}"
        found.append(FieldProblem(".".join(where) or "event", message))
    return tuple(found)


EVENT_TYPES = (
    "item.created",
    "item.updated",
    "item.deleted",
    "user.updated",
    "user.deleted",
    "interaction",
)


def parse_event(raw: Any, limits: Limits = DEFAULT_LIMITS) -> Event | BadEvent:
    """One decoded JSON value as an event, or what is wrong with it. Never raises."""
    try:
        return EVENT.validate_python(raw, context={"limits": limits})
    except ValidationError as error:
        found = raw.get("id") if isinstance(raw, dict) else None
        event_id = found if isinstance(found, str) else None
        return BadEvent(event_id, problems_of(error))


def parse_events(raws: Sequence[Any], limits: Limits = DEFAULT_LIMITS) -> list[Event | BadEvent]:
    """Each value judged for itself, in order: a bad event harms no neighbour."""
    return [parse_event(raw, limits) for raw in raws]
