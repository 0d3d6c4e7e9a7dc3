"""What goes into the encoders for one item, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.errors import FirstlightError, PermanentError, RetryableError
from domain.vectors import Vector
from encoders.encoder import Encoder, mean_vector

TEXT_FIELD = "text"
"""Field name of the rendered text in failures."""


@dataclass(frozen=True, slots=True)
class ItemInputs:
    """One item's content.

    Attributes:
        text: the rendered text (`render_item`), "" for none.
        images, audio: (field name such as "media.images[0]", content of the file) each.
    """

    text: str = ""
    images: tuple[tuple[str, bytes], ...] = ()
    audio: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class MediaFailure:
    """One part of an item that could not be encoded, and why."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class EncodedItem:
    """One item's outcome.

    Attributes:
        vectors: raw vectors by modality, those present: [dim] float32, finite, unit norm.
        failures: parts that failed; the item stands without them.
        error: None, or why the item as a whole failed: PermanentError where no modality is left,
            RetryableError where an encoder was in trouble (then try again, whatever is there).
    """

    vectors: dict[str, Vector]
    failures: tuple[MediaFailure, ...] = ()
    error: FirstlightError | None = None


@dataclass(frozen=True, slots=True)
class _Part:
    item: int
    modality: str
    field: str


def encode_items(
    items: Sequence[ItemInputs],
    text: Encoder[str] | None,
    image: Encoder[bytes] | None,
    audio: Encoder[bytes] | None,
) -> list[EncodedItem]:
    """Encode items together, each modality batched over all of them and running beside the others.

    An encoder may be None where no item has its modality.
    """
    words = [(_Part(at, "text", TEXT_FIELD), one.text) for at, one in enumerate(items)]
    words = [(part, value) for part, value in words if value.strip()]
    pictures = _media(items, "image")
    clips = _media(items, "audio")
    started = [
        (parts, encoder.start([value for _, value in parts]))
        for parts, encoder in ((words, text),)
        if encoder is not None and parts
    ]
    outcomes: list[tuple[_Part, Vector | FirstlightError]] = []
    # Sounds first: their windows are the longest work, pictures are decoded meanwhile.
    media = [
        (parts, encoder.start([value for _, value in parts]))
        for parts, encoder in ((clips, audio), (pictures, image))
        if encoder is not None and parts
    ]
    for parts, encoding in started:
        outcomes += zip([part for part, _ in parts], encoding.finish(), strict=True)
    for media_parts, media_encoding in media:
        found = media_encoding.finish()
        outcomes += zip([part for part, _ in media_parts], found, strict=True)
    by_item: list[list[tuple[_Part, Vector | FirstlightError]]] = [[] for _ in items]
    for part, outcome in outcomes:
        by_item[part.item].append((part, outcome))
    return [_encoded(one) for one in by_item]


def _media(items: Sequence[ItemInputs], modality: str) -> list[tuple[_Part, bytes]]:
    return [
        (_Part(at, modality, field), content)
        for at, item in enumerate(items)
        for field, content in (item.images if modality == "image" else item.audio)
    ]


def _encoded(outcomes: Sequence[tuple[_Part, Vector | FirstlightError]]) -> EncodedItem:
    found: dict[str, list[Vector]] = {}
    failures: list[MediaFailure] = []
    retryable: RetryableError | None = None
    for part, outcome in outcomes:
        if isinstance(outcome, RetryableError):
            retryable = RetryableError(outcome.message, field=part.field, remedy=outcome.remedy)
        if isinstance(outcome, FirstlightError):
            message = f"{outcome.message}; {outcome.remedy}" if outcome.remedy else outcome.message
            failures.append(MediaFailure(part.field, message))
        else:
            found.setdefault(part.modality, []).append(outcome)
    vectors = _averaged(found, failures)
    if retryable is not None:
        return EncodedItem(vectors, tuple(failures), retryable)
    if not vectors:
        reasons = "; ".join(f"{one.field}: {one.message}" for one in failures)
        error = PermanentError(
            "nothing of the item can be encoded" + (f" ({reasons})" if reasons else ""),
            remedy="publish it again with a text, a picture or a clip that can be read",
        )
        return EncodedItem({}, tuple(failures), error)
    return EncodedItem(vectors, tuple(failures))


def _averaged(
    found: Mapping[str, Sequence[Vector]], failures: list[MediaFailure]
) -> dict[str, Vector]:
    """Several pictures or clips of one item count alike: the mean of their unit vectors."""
    vectors: dict[str, Vector] = {}
    for modality, several in found.items():
        mean = several[0] if len(several) == 1 else mean_vector(several)
        if isinstance(mean, FirstlightError):
            failures.append(MediaFailure(modality, mean.message))
        else:
            vectors[modality] = mean
    return vectors
