"""An item as its publisher describes it."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from domain.fields import (
    MAX_VERSION,
    TOO_LARGE,
    AttributeName,
    AttributeValue,
    Identifier,
    Text,
    Timestamp,
    Version,
    check_scalar,
)
from domain.limits import UNLIMITED, check_length, limits_of, within


class StrictModel(BaseModel):
    """Unknown fields are refused; nothing is coerced silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _check_attribute(value: Any, info: ValidationInfo) -> AttributeValue:
    values = value if isinstance(value, list) else [value]
    check_length(values, "attribute_values", info)
    checked = [check_scalar(one) for one in values]
    for one in checked:
        if isinstance(one, str):
            check_length(one, "attribute_chars", info)
        elif isinstance(one, float) and abs(one) > MAX_VERSION and limits_of(info) != UNLIMITED:
            # Every float out there is whole, and JSON's integers from 2^64 on arrive as one,
            # altered. What was accepted before that was refused stays readable.
            raise ValueError(TOO_LARGE)
    return checked if isinstance(value, list) else checked[0]


Attribute = Annotated[
    AttributeValue,
    PlainValidator(_check_attribute),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": ["string", "number", "boolean"]},
                {"type": "array", "items": {"type": ["string", "number", "boolean"]}},
            ]
        }
    ),
]

Attributes = Annotated[dict[AttributeName, Attribute], within("attributes")]

Phrase = Annotated[Text, within("tag_chars")]
"""A tag or a declared interest."""


def _check_reference(value: str) -> str:
    if not value.startswith(("https://", "http://", "file:///", "/", "upload:")):
        raise ValueError(
            "not a media reference; send an http(s) URL, file:///path, an absolute path,"
            " or upload:SHA256 as answered by POST /v1/uploads"
        )
    return value


MediaReference = Annotated[Text, within("url_chars"), AfterValidator(_check_reference)]
"""Where one picture or clip is: a URL, an allow-listed local path, or an upload."""


class Media(StrictModel):
    """Pictures and clips of one item; several of each are allowed and averaged."""

    images: Annotated[list[MediaReference], within("images")] = Field(default_factory=list)
    audio: Annotated[list[MediaReference], within("audio")] = Field(default_factory=list)


class Item(StrictModel):
    """What a publisher says about one item. At least one modality must be present."""

    id: Identifier
    version: Version | None = Field(
        default=None,
        description="Newest wins. A whole number or a timestamp with a zone that the publisher"
        " owns; without one, acceptance assigns the next.",
        json_schema_extra={"examples": [3, "2026-01-31T09:30:00Z"]},
    )
    title: Annotated[Text, within("title_chars")] = ""
    description: Annotated[Text, within("description_chars")] = ""
    tags: Annotated[list[Phrase], within("tags")] = Field(default_factory=list)
    attributes: Attributes = Field(default_factory=dict)
    media: Media = Field(default_factory=Media)
    expires_at: Timestamp | None = Field(
        default=None,
        description="From then on no answer holds the item. A newer version may move it.",
        json_schema_extra={"examples": ["2026-12-31T23:59:59Z"]},
    )

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.has_text and not self.media.images and not self.media.audio:
            raise ValueError(
                "the item is empty; give at least one of title, description, tags,"
                " a text attribute, media.images, media.audio"
            )
        return self

    @property
    def has_text(self) -> bool:
        """Whether anything of the item can be read by the text encoder."""
        texts = [self.title, self.description, *self.tags]
        for value in self.attributes.values():
            values = value if isinstance(value, list) else [value]
            texts += [one for one in values if isinstance(one, str)]
        return any(text.strip() for text in texts)

    @property
    def lane(self) -> str:
        """The queue of the heaviest modality: audio, image or text."""
        if self.media.audio:
            return "audio"
        return "image" if self.media.images else "text"
