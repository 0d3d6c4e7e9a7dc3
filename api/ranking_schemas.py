"""Requests and answers of ranking: recommendations, neighbours, search, onboarding.

As in `api.schemas`, requests refuse unknown fields and answers ignore them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from api.schemas import Answer
from domain.fields import Identifier, Text
from domain.filters import Filters
from domain.items import Attributes, Phrase, StrictModel
from domain.limits import within
from domain.rules import Rules

Target = Literal["all", "text", "image", "audio"]
Limit = Annotated[
    int, Field(strict=True, description="How many results.", json_schema_extra={"minimum": 1})
]
"""Checked against the settings where it is used, so that too few and too many read alike."""

Flag = Annotated[bool, Field(strict=True)]
Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]

Words = Annotated[Text, within("profile_chars")]
"""What a person says, bounded as a profile is."""

Interests = Annotated[list[Phrase], within("interests")]
"""As a stored user's, within the same limits; so are demographics."""


class RecommendRequest(StrictModel):
    """Who asks, by any mix of a stored user, a sentence, and liked items; and what may come."""

    user: Identifier | None = Field(default=None, description="A user known from user.updated.")
    profile: Words | None = Field(
        default=None, description="The person in words; takes the stored profile's place."
    )
    interests: Interests = Field(default_factory=list)
    demographics: Attributes = Field(
        default_factory=dict, description="In the place of those that are stored."
    )
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
    interests: Interests = Field(default_factory=list)
    demographics: Attributes = Field(default_factory=dict)
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
            raise ValueError(
                f"{found} given as the example; give exactly one of text, image, audio"
            )
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
