"""Feature vectors of a dataset: embedded once by the product's encoders, fused per split.

An item's text is what the product's workers read (`encoders.render_item`), a user's profile is
what its API reads (`encoders.render.profile_prompt`). Items go through the encoder cache of the
data directory, profiles through one beside it (`cache/evaluation`), so that a second run only
looks vectors up. Vectors that the dataset brings along take the place of encoders.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from domain.errors import FirstlightError, RejectedError, RetryableError
from domain.settings import Settings
from domain.vectors import DEMOGRAPHICS_DIM, Matrix, Vector
from encoders import Encoder, Encoders, Fusion, ItemInputs, render_item
from encoders.attributes import ATTRIBUTES
from encoders.cache import EmbeddingCache, cache_key
from encoders.demographics import demographics_vector
from encoders.render import profile_prompt, scrubbed
from evaluation.graph_block import GRAPH

if TYPE_CHECKING:
    from domain.items import Item
    from evaluation.dataset import Dataset

MEDIA = ("image", "audio")
ENCODED = ("text", *MEDIA)
"""Modalities that encoders make; whatever else is asked for, the dataset must bring."""

DERIVED = (ATTRIBUTES, GRAPH)
"""Features that need no encoder: made per split, from the dataset's attributes and triples."""

_CHUNK = 128
"""Items between two reports of progress, and files of media in memory at once."""

_PATIENCE_S = 3600.0
"""Bound on one encoding: no request waits here, and the machine may be busy with others."""

Progress = Callable[[str, int, int], None]
"""Called with what is being encoded, how many are done, and how many there are."""


def silent(_what: str, _done: int, _total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Features:
    """Raw vectors of a dataset's items and users, before fusion.

    Attributes:
        items: {modality: [n_items, raw_dim] float32}; a row of zeros where an item has none.
        profiles: {part: [n_users, d_part] float32}; a row of zeros where a user says nothing.
        models: {modality or part: what made the vectors}, for the report.
        weights: {modality: what its block counts for} of what encoders made.
        failures: "item ID: reason" of every picture, clip or text that could not be encoded.
    """

    items: dict[str, Matrix]
    profiles: dict[str, Matrix] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    failures: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """16 hex digits over all vectors: equal features give equal results."""
        digest = hashlib.sha256()
        for kind, matrices in (("items", self.items), ("profiles", self.profiles)):
            for name, matrix in sorted(matrices.items()):
                digest.update(f"{kind}/{name}{matrix.shape}".encode())
                digest.update(np.ascontiguousarray(matrix).tobytes())
        return digest.hexdigest()[:16]

    def coverage(self) -> dict[str, float]:
        """Share of items (or users) that have each modality (or profile part)."""
        named = {**self.items, **{f"user {name}": m for name, m in self.profiles.items()}}
        return {name: float(present(matrix).mean()) for name, matrix in named.items()}


def present(matrix: Matrix) -> NDArray[np.bool_]:
    """[n] bool: the rows that are not all zeros."""
    return np.asarray(matrix.any(axis=1))


def available(dataset: Dataset) -> tuple[str, ...]:
    """The features that a data set has something for, texts first, the graph last."""
    items = dataset.items
    there = {
        "text": any(item.has_text for item in items),
        "image": any(item.media.images for item in items),
        "audio": any(item.media.audio for item in items),
    }
    made = [name for name in ENCODED if there[name] or name in dataset.vectors]
    given = [name for name in dataset.vectors if name not in ENCODED]
    described = [ATTRIBUTES] if any(item.attributes for item in items) else []
    linked = [GRAPH] if dataset.graph and dataset.entity_of_item else []
    return (*made, *given, *described, *linked)


# ---------------------------------------------------------------------- embedding


def embed(
    dataset: Dataset,
    settings: Settings,
    modalities: Sequence[str],
    *,
    profiles: bool = True,
    progress: Progress = silent,
) -> Features:
    """Raw vectors of the modalities asked for, from the dataset or from the settings' encoders.

    DERIVED features are no vectors yet: see `fuse`.

    Args:
        profiles: whether users' profiles are embedded too.

    Raises:
        RejectedError: a modality that no item has, or that is unknown.
        RetryableError: an encoder is in trouble.
    """
    wanted = [name for name in modalities if name not in DERIVED]
    unknown = [name for name in wanted if name not in dataset.vectors and name not in ENCODED]
    if unknown:
        known = sorted({*ENCODED, *DERIVED, *dataset.vectors})
        raise RejectedError(
            f"{dataset.name} has no {unknown[0]!r} vectors",
            field="--features",
            remedy=f"choose from {', '.join(known)}",
        )
    items = {name: _given(dataset, name) for name in wanted if name in dataset.vectors}
    models = dict.fromkeys(items, "given with the dataset")
    weights: dict[str, float] = {}
    failures: list[str] = []
    people: dict[str, Matrix] = {}
    encoded = [name for name in wanted if name not in items]
    if encoded:
        encoders = Encoders.load(_patient(settings), parts=frozenset())
        try:
            weights = {name: encoders.weights[name] for name in encoded}
            for name in encoded:
                items[name] = _encode_items(dataset, encoders, name, failures, progress)
                models[name] = _model(getattr(encoders, name))
            if profiles:
                people, described = _encode_profiles(
                    dataset, encoders, settings, encoded, failures, progress
                )
                models.update({f"user {name}": model for name, model in described.items()})
        finally:
            encoders.close()
    if profiles and (declared := _demographics(dataset, settings)) is not None:
        people["demographics"] = declared
    for name, matrix in items.items():
        if not present(matrix).any():
            raise RejectedError(f"no item of {dataset.name} has any {name}", field="--features")
    return Features(
        {name: items[name] for name in wanted}, people, models, weights, tuple(failures)
    )


def _patient(settings: Settings) -> Settings:
    timeout_s = max(settings.encoder.timeout_s, _PATIENCE_S)
    encoder = settings.encoder.model_copy(update={"timeout_s": timeout_s})
    return settings.model_copy(update={"encoder": encoder})


def _given(dataset: Dataset, name: str) -> Matrix:
    rows, vectors = dataset.vectors[name]
    matrix = np.zeros((len(dataset.items), vectors.shape[1]), dtype=np.float32)
    matrix[rows] = vectors
    return matrix


def _model(encoder: Encoder[Any]) -> str:
    return f"{encoder.stages.model} ({encoder.fingerprint[:12]})"


def _encode_items(
    dataset: Dataset, encoders: Encoders, name: str, failures: list[str], progress: Progress
) -> Matrix:
    encoder: Encoder[Any] = getattr(encoders, name)
    matrix = np.zeros((len(dataset.items), encoder.dim), dtype=np.float32)
    for start in range(0, len(dataset.items), _CHUNK):
        chunk = dataset.items[start : start + _CHUNK]
        progress(f"{name} of items", start, len(dataset.items))
        inputs = [_inputs(item, name, failures) for item in chunk]
        filled = [at for at, one in enumerate(inputs) if one.text or one.images or one.audio]
        outcomes = encoders.encode_items([inputs[at] for at in filled])
        for at, outcome in zip(filled, outcomes, strict=True):
            if isinstance(outcome.error, RetryableError):
                raise outcome.error
            failures += [
                f"item {chunk[at].id}: {one.field}: {one.message}" for one in outcome.failures
            ]
            if name in outcome.vectors:
                matrix[start + at] = outcome.vectors[name]
    progress(f"{name} of items", len(dataset.items), len(dataset.items))
    return matrix


def _inputs(item: Item, name: str, failures: list[str]) -> ItemInputs:
    if name == "text":
        return ItemInputs(text=render_item(item).strip())
    found: list[tuple[str, bytes]] = []
    for at, reference in enumerate(item.media.images if name == "image" else item.media.audio):
        place = f"media.{'images' if name == 'image' else 'audio'}[{at}]"
        try:
            found.append((place, _local(reference).read_bytes()))
        except OSError as error:
            failures.append(f"item {item.id}: {place}: {reference}: {error.strerror}")
    media = tuple(found)
    return ItemInputs(images=media) if name == "image" else ItemInputs(audio=media)


def _local(reference: str) -> Path:
    return Path(unquote(urlsplit(reference).path) if "://" in reference else reference)


def _encode_profiles(
    dataset: Dataset,
    encoders: Encoders,
    settings: Settings,
    encoded: Sequence[str],
    failures: list[str],
    progress: Progress,
) -> tuple[dict[str, Matrix], dict[str, str]]:
    """As `Encoders.encode_profile`, many at a time: the parts whose item block is there."""
    prompts = [profile_prompt(user, settings.ranking) for user in dataset.users]
    if not any(prompts):
        return {}, {}
    towers: dict[str, Encoder[str]] = {}
    if "text" in encoded:
        towers["text"] = encoders.text_query
        towers["profile"] = encoders.user
    if "image" in encoded:
        towers["image_text"] = encoders.image_text
    made: dict[int, Matrix] = {}
    cache = EmbeddingCache(settings.folder("cache") / "evaluation", settings.encoder.cache_bytes)
    try:
        for name, encoder in towers.items():
            if id(encoder) not in made:
                made[id(encoder)] = _encode_texts(
                    encoder, f"{name} of users", prompts, cache, failures, progress
                )
    finally:
        cache.close()
    return (
        {name: made[id(encoder)] for name, encoder in towers.items()},
        {name: _model(encoder) for name, encoder in towers.items()},
    )


def _demographics(dataset: Dataset, settings: Settings) -> Matrix | None:
    """[n_users, DEMOGRAPHICS_DIM] float32; None where no user declares anything."""
    found = np.zeros((len(dataset.users), DEMOGRAPHICS_DIM), dtype=np.float32)
    for row, user in enumerate(dataset.users):
        said = scrubbed(user, settings.ranking.pii_regions) if settings.ranking.scrub_pii else user
        vector = demographics_vector(said.demographics)
        if vector is not None:
            found[row] = vector
    return found if found.any() else None


def _encode_texts(
    encoder: Encoder[str],
    what: str,
    prompts: Sequence[str],
    cache: EmbeddingCache,
    failures: list[str],
    progress: Progress,
) -> Matrix:
    distinct = sorted({prompt for prompt in prompts if prompt})
    keys = {
        prompt: cache_key(f"query {encoder.fingerprint}", prompt.encode()) for prompt in distinct
    }
    found = cache.get_many(list(keys.values()), encoder.dim)
    by_prompt: dict[str, Vector] = {p: found[key] for p, key in keys.items() if key in found}
    missing = [prompt for prompt in distinct if prompt not in by_prompt]
    for start in range(0, len(missing), _CHUNK):
        progress(what, start, len(missing))
        chunk = missing[start : start + _CHUNK]
        new: dict[str, Vector] = {}
        for prompt, outcome in zip(chunk, encoder.encode(chunk), strict=True):
            if isinstance(outcome, RetryableError):
                raise outcome
            if isinstance(outcome, FirstlightError):
                failures.append(f"a profile: {outcome.message}")
            else:
                new[prompt] = outcome
        cache.put_many({keys[prompt]: vector for prompt, vector in new.items()})
        by_prompt.update(new)
    progress(what, len(missing), len(missing))
    matrix = np.zeros((len(prompts), encoder.dim), dtype=np.float32)
    for row, prompt in enumerate(prompts):
        if prompt in by_prompt:
            matrix[row] = by_prompt[prompt]
    return matrix


# ---------------------------------------------------------------------- fusing


def subsets_of(modalities: Sequence[str]) -> list[tuple[str, ...]]:
    """Each modality alone, then the first two, three ... together, all of them left out."""
    alone = [(name,) for name in modalities]
    added = [tuple(modalities[:count]) for count in range(2, len(modalities))]
    return alone + added if len(modalities) > 1 else []


def fuse(
    dataset: Dataset,
    features: Features,
    subset: Sequence[str],
    fit_on: NDArray[np.bool_],
    settings: Settings,
) -> tuple[Fusion, Matrix, dict[str, Matrix]]:
    """The product's fusion, fitted on some items and applied to all.

    A cold item arrives after the fit, so its vectors must not be in the statistics.

    Args:
        subset: modalities, in the order of the blocks; "attributes" always comes last.
        fit_on: [n_items] bool, the items of the fit: those that are not cold.

    Returns:
        The fusion; [n_items, fusion.dim] float32 of `Fusion.fuse_many`, a row of zeros where an
        item has none of the subset; and the raw vectors that were fused,
        {block: [n_items, raw_dim]}.
    """
    raw = {name: features.items[name] for name in subset if name != ATTRIBUTES}
    there = {name: present(matrix) for name, matrix in raw.items()}
    vectors: list[dict[str, Vector]] = [
        {name: matrix[row] for name, matrix in raw.items() if there[name][row]}
        for row in range(len(dataset.items))
    ]
    with_attributes = ATTRIBUTES in subset
    rows = [row for row in np.flatnonzero(fit_on) if vectors[row] or with_attributes]
    weights = {**features.weights, **settings.fusion.weights}
    fusion = Fusion.fit(
        [vectors[row] for row in rows],
        {name: matrix.shape[1] for name, matrix in raw.items()},
        block_dim=settings.fusion.block_dim,
        weights={name: weight for name, weight in weights.items() if name in subset},
        query_samples=_query_samples(features, subset),
        attributes=[dataset.items[row].attributes for row in rows] if with_attributes else None,
    )
    if fusion.attributes is not None:
        described = fusion.attributes.encode([item.attributes for item in dataset.items])
        dim = next(len(block.mean) for block in fusion.blocks if block.name == ATTRIBUTES)
        raw[ATTRIBUTES] = np.zeros((len(dataset.items), dim), dtype=np.float32)
        for row, vector in enumerate(described):
            if vector is not None:
                vectors[row][ATTRIBUTES] = raw[ATTRIBUTES][row] = vector
    fused = np.zeros((len(dataset.items), fusion.dim), dtype=np.float32)
    filled = [row for row, one in enumerate(vectors) if one]
    if filled:
        fused[filled] = fusion.fuse_many([vectors[row] for row in filled])
    return fusion, fused, raw


def _query_samples(features: Features, subset: Sequence[str]) -> dict[str, Matrix]:
    """What centres a profile in the pictures' space: the mean of its own tower."""
    words = features.profiles.get("image_text")
    if words is None or "image" not in subset:
        return {}
    return {"image_text": words[present(words)]}
