"""The HTTP API's requests and answers; the server and the Python client both speak these.

Requests refuse unknown fields. Answers ignore them, so that an older client reads a newer server.
Times are ISO 8601 in UTC; durations carry their unit in the name.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    WrapValidator,
    model_validator,
)

from domain.fields import AttributeName, Identifier, Text
from domain.filters import Filters
from domain.items import Attribute, Item, StrictModel
from domain.limits import UNLIMITED, within
from domain.rules import Rules
from domain.users import Interaction, User

Modality = Literal["text", "image", "audio"]
Target = Literal["all", "text", "image", "audio"]
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
        0, description="Items whose counts and factors are computed anew without the user."
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


# --- asking -----------------------------------------------------------------------------------

Limit = Annotated[
    int, Field(strict=True, description="How many results.", json_schema_extra={"minimum": 1})
]
"""Checked against the settings where it is used, so that too few and too many read alike."""

Flag = Annotated[bool, Field(strict=True)]
Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]


Words = Annotated[Text, within("profile_chars")]
"""What a person says, bounded as a profile is."""


class RecommendRequest(StrictModel):
    """Who asks, by any mix of a stored user, a sentence, and liked items; and what may come."""

    user: Identifier | None = Field(default=None, description="A user known from user.updated.")
    profile: Words | None = Field(
        default=None, description="The person in words; takes the stored profile's place."
    )
    interests: list[Words] = Field(default_factory=list, max_length=100)
    liked: list[Identifier] = Field(
        default_factory=list, max_length=1000, description="Item ids, newest first."
    )
    filters: Filters = Field(default_factory=dict)
    limit: Limit = 10
    exclude_seen: Flag = Field(
        default=True, description="Leave out what the user interacted with, and `liked`."
    )
    exact: Flag | None = Field(
        default=None, description="Force exact (true) or approximate (false) search."
    )
    diversity: Share | None = Field(
        default=None, description="Strength of MMR, from 0 (by score alone) to 1 (unlike alone)."
    )
    rules: Rules | None = Field(default=None, description="Business rules of this answer.")
    explore: Share | None = Field(
        default=None, description="Share of the results that tries what is unsure."
    )
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**53)] | None = Field(
        default=None, description="Makes what explores the same each time."
    )
    explain: Flag = Field(default=False, description="Tell what made up each score, in full.")


class Reply(StrictModel):
    """What a new user said of one item."""

    item: Identifier
    liked: Flag | None = Field(description="true, false, or null: they do not know it.")


class OnboardingRequest(StrictModel):
    """What is known of a new user so far: all of it, every time, for nothing is kept."""

    profile: Words | None = Field(default=None, description="The person in words.")
    interests: list[Words] = Field(default_factory=list, max_length=100)
    demographics: dict[AttributeName, Attribute] = Field(default_factory=dict, max_length=100)
    answers: list[Reply] = Field(
        default_factory=list, max_length=100, description="So far; of one item the last counts."
    )
    count: Annotated[int, Field(strict=True, ge=0, le=20)] = Field(
        default=5, description="How many items to ask about next."
    )
    filters: Filters = Field(default_factory=dict, description="Of the results.")
    limit: Limit = 10
    exact: Flag | None = None


class SimilarRequest(StrictModel):
    """Items like one item, in one modality or fused."""

    item: Identifier
    within: Target = Field(default="all", description="One modality, or all of them fused.")
    filters: Filters = Field(default_factory=dict)
    limit: Limit = 10
    exact: Flag | None = None


class SearchRequest(StrictModel):
    """Items by one example: words, a picture, or a sound."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    text: Words | None = None
    image: str | None = Field(
        default=None, description="upload:SHA256, or the file in base64 (a data: URL will do)."
    )
    audio: str | None = Field(
        default=None, description="upload:SHA256, or the file in base64 (a data: URL will do)."
    )
    within: Target = Field(
        default="all", alias="in", description="Modality to search in, or all of them fused."
    )
    filters: Filters = Field(default_factory=dict)
    limit: Limit = 10
    exact: Flag | None = None

    @model_validator(mode="after")
    def _one_example(self) -> Self:
        given = [name for name in ("text", "image", "audio") if getattr(self, name) is not None]
        if len(given) != 1:
            found = ", ".join(given) or "none"
            raise ValueError(f"give exactly one of text, image, audio; found {found}")
        if self.text is not None and not self.text.strip():
            raise ValueError("text: empty; say what to look for")
        return self


class ScoreSource(Answer):
    """What one source put into a score: an item of the history, the profile's words, the bias."""

    source: str = Field(
        description="text, image_text, profile, demographics (what was said), history, bias, cf,"
        " graph, rules or explore."
    )
    item: str | None = Field(default=None, description="The history's item; null: the rest of it.")
    title: str = ""
    score: float = Field(description="Exactly the sum of `parts`.")
    parts: dict[str, float]


class Explanation(Answer):
    """A score in full: its sources add up to it, and part by part to its parts."""

    sources: list[ScoreSource] = Field(default_factory=list)
    paths: list[str] = Field(
        default_factory=list, description="What the item shares with the history, in words."
    )


class AttributeShare(Answer):
    """What one attribute value added to the score's part "attributes"."""

    name: str
    value: str | bool | int | float
    score: float = Field(description="Its share; those of all the item's values sum to the part.")


class RankedItem(Answer):
    """One result. `score` is exactly the sum of `parts` in their order."""

    rank: int = Field(description="From 1.")
    id: str
    version: int
    title: str = ""
    score: float
    parts: dict[str, float] = Field(
        default_factory=dict,
        description="The score by modality block, then bias, and what else made it up.",
    )
    reason: str = Field(
        description="What carried the score most: a modality, attributes, bias, cf, graph, or new."
    )
    because: list[AttributeShare] = Field(
        default_factory=list,
        description="The attribute values that raised the score most, at most 5.",
    )
    modalities: list[str] = Field(default_factory=list, description="What the item consists of.")
    attributes: dict[str, Any] = Field(default_factory=dict)
    moved_by: Literal["pin", "diversity"] | None = Field(
        default=None, description="What placed it elsewhere than its score would."
    )
    explanation: Explanation | None = Field(default=None, description="Where `explain` asks.")


class RankingModel(Answer):
    """Which artifacts produced an answer."""

    collection: str | None = None
    fusion: str | None = None
    projection: str | None = None


class RankedAnswer(Answer):
    """Results, best first."""

    results: list[RankedItem] = Field(default_factory=list)
    notes: list[str] = Field(
        default_factory=list, description="What the caller should know, such as skipped items."
    )
    model: RankingModel = Field(default_factory=RankingModel)
    took_ms: float = 0.0


class AskedItem(Answer):
    """An item to ask a new user about."""

    id: str
    title: str = ""
    attributes: dict[str, Any] = Field(default_factory=dict)
    known: float = Field(description="How likely somebody knows it, from who took it so far.")


class OnboardingAnswer(RankedAnswer):
    """What to ask next, and the ranking as far as the answers go."""

    ask: list[AskedItem] = Field(
        default_factory=list, description="The items whose answers tell most, best first."
    )
    learned: float = Field(
        default=0.0,
        description="Share of what was unsure about the user's best items that the answers told.",
    )


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
