"""The HTTP API's requests and answers; the server and the Python client both speak these.

Requests refuse unknown fields. Answers ignore them, so that an older client reads a newer server.
Times are ISO 8601 in UTC; durations carry their unit in the name.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    WrapValidator,
)

from domain.fields import Identifier
from domain.items import Item, StrictModel
from domain.limits import UNLIMITED
from domain.users import Interaction, User

Modality = Literal["text", "image", "audio"]
State = Literal["pending", "indexed", "dead", "deleted"]
EventStatus = Literal["accepted", "duplicate", "stale", "rejected"]


class Answer(BaseModel):
    """Base of every answer."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def _as_published(kind: type[StrictModel]) -> WrapValidator:
    """Limits hold for what comes in. An answer shows what was accepted, under whichever limits."""

    def read(value: Any, _: Callable[[Any], Any]) -> Any:
        if value is None or isinstance(value, kind):
            return value
        return kind.model_validate(value, context={"limits": UNLIMITED})

    return WrapValidator(read)


# --- errors -----------------------------------------------------------------------------------


class FieldError(Answer):
    """One thing wrong with a request: where, what, and what to do about it."""

    field: str = Field(description="Path of the field, such as events.3.data.title.")
    message: str
    remedy: str = ""


class Problem(Answer):
    """RFC 9457 problem details; the media type is application/problem+json."""

    type: str = Field(description="What kind of problem, as a stable URI reference.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path that was asked for.")
    errors: list[FieldError] = Field(default_factory=list)


# --- publishing -------------------------------------------------------------------------------


class Receipt(Answer):
    """What became of one event."""

    index: int = Field(description="Position in the request, from 0.")
    status: EventStatus
    event_id: str | None = Field(default=None, description="The event's id, given or made up.")
    kind: Literal["item", "user", "interaction"] | None = None
    id: str | None = Field(default=None, description="The item, the user, or the interaction.")
    version: int | None = Field(default=None, description="The version as accepted or assigned.")
    note: str = ""
    errors: list[FieldError] = Field(default_factory=list)


class Statistics(StrEnum):
    """What became of a deleted user's part of what was learned."""

    NONE = "none"
    SUBTRACTED = "subtracted"
    QUEUED = "queued"


class Removed(Answer):
    """What a user's deletion took away."""

    profile: bool = Field(description="Whether there was a profile.")
    interactions: int = Field(description="Interactions deleted from the ledger.")
    cached_vectors: int = Field(
        description="Encoded prompts of the user that this process held in memory."
    )
    statistics: Statistics = Field(
        Statistics.NONE,
        description="The user's part of what was learned: subtracted; none, for nothing of them was"
        " in it; or queued, for it cannot be reached now.",
    )
    learned_interactions: int = Field(
        0, description="Interactions whose part of the projection A was subtracted."
    )
    refolded_items: int = Field(
        0,
        description="Items whose counts and factors are computed anew without the user; 0 where a"
        " file was learned from, whose counts stay until the next training.",
    )
    projection: str | None = Field(
        None, description="The version that serves now, solved without the user."
    )
    option: str | None = Field(
        None,
        description="The learned option that served until now: nobody can be subtracted from it, so"
        " the closed form without the user serves instead, until the next whole training.",
    )


class ForgetReceipt(Receipt):
    """What became of a user's deletion, and what it took away."""

    user: str | None = None
    removed: Removed | None = None


class EventsAnswer(Answer):
    """Every event's own outcome, in the order of the request."""

    accepted: int = 0
    duplicate: int = 0
    stale: int = 0
    rejected: int = 0
    results: list[Receipt] = Field(default_factory=list)


class MediaProblem(Answer):
    """One picture or clip that could not be used; the item is indexed from the rest."""

    field: str
    message: str


class ItemAnswer(Answer):
    """An item and how far it has come."""

    id: str
    version: int
    state: State
    item: Annotated[Item | None, _as_published(Item)] = Field(
        default=None, description="As published; null once deleted."
    )
    lane: str | None = None
    attempts: int = 0
    next_attempt_at: datetime | None = None
    reason: str | None = Field(default=None, description="Why it is dead, or its last failure.")
    failures: list[MediaProblem] = Field(default_factory=list)
    fingerprint: str | None = None
    models: dict[str, Any] | None = Field(default=None, description="What encoded it.")
    accepted_at: datetime | None = None
    indexed_at: datetime | None = None
    updated_at: datetime | None = None
    latency_s: float | None = Field(default=None, description="Event accepted to searchable.")


class ItemsAnswer(Answer):
    """One page of items, by id."""

    items: list[ItemAnswer]
    next: str | None = Field(default=None, description="Give it as `after` for the next page.")


class UserAnswer(Answer):
    """A user's profile as published."""

    id: str
    version: int
    user: Annotated[User | None, _as_published(User)] = None
    updated_at: datetime | None = None


class UploadAnswer(Answer):
    """A stored picture or clip; put `reference` into an item's media."""

    reference: str = Field(description="upload:SHA256")
    sha256: str
    bytes: int
    kind: Literal["image", "audio"]
    media_type: str


class InteractionBody(Interaction):
    """An interaction; with an `id` it is counted once however often it is sent."""

    id: Identifier | None = None


# --- operating --------------------------------------------------------------------------------


class HealthAnswer(Answer):
    """The process lives; nothing else is claimed."""

    status: Literal["ok"] = "ok"
    version: str


class Check(Answer):
    """One proof: an encoding, a store query, a ledger read."""

    ok: bool
    took_ms: float
    detail: str = ""


class ReadyAnswer(Answer):
    """Whether a ranking could be answered now; each part was just tried."""

    ready: bool
    checks: dict[str, Check]


class ModelReport(Answer):
    """One encoder as loaded in the API process."""

    name: str
    model: str
    dim: int
    device: str
    precision: str
    fingerprint: str
    speedup: float | None = None
    cosine: float | None = None


class StatusAnswer(Answer):
    """What `firstlight status` shows."""

    version: str
    counts: dict[str, int] = Field(description="Items by state.")
    pending_by_lane: dict[str, int]
    oldest_pending_s: float
    queue_depth: dict[str, int] = Field(
        default_factory=dict, description="Messages waiting per lane; empty if unknown."
    )
    collection: str | None = None
    collection_items: int | None = None
    collections: list[str] = Field(default_factory=list)
    fusion: str | None = None
    projection: str | None = None
    pack: str
    models: list[ModelReport] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list, description="What could not be read, and why.")
