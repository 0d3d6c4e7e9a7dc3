"""The encoders of one process: a pack's models on one device."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from domain.errors import FirstlightError, RejectedError
from domain.log import logger
from domain.settings import Settings
from domain.vectors import Vector
from encoders.cache import EmbeddingCache
from encoders.encoder import Encoder, Stages
from encoders.families import OPEN_CLIP, preprocessing, raw_dim
from encoders.items import EncodedItem, ItemInputs, encode_items
from encoders.lanes import Lanes
from encoders.sources import Located, fingerprint, locate
from encoders.spec import ModelSpec, Pack
from encoders.uncollected import uncollected

if TYPE_CHECKING:
    from encoders.precision import Network

log = logger(__name__)

ITEM_PARTS = ("text", "image", "audio")
"""Encoders of items; their vectors are stored, so they make up the fingerprint."""

PARTS = ("text", "image", "image_text", "audio", "user")
ALL = frozenset(PARTS)


@dataclass(frozen=True, slots=True)
class EncoderReport:
    """One loaded encoder, for `firstlight models`.

    Attributes:
        precision: such as "float32" or "bfloat16 cast".
        speedup, cosine: what the probe measured against float32; 1.0 where float32 stayed.
    """

    name: str
    model: str
    dim: int
    device: str
    precision: str
    speedup: float
    cosine: float
    fingerprint: str


class Encoders:
    """Text, image, audio and user encoders. A part that was not loaded loads at first use."""

    def __init__(self, settings: Settings, pack: Pack) -> None:
        """Find nothing and load nothing yet; see `load`."""
        layer = settings.encoder.audio_layer
        self.pack = pack if layer is None else replace(pack, audio=replace(pack.audio, layer=layer))
        self._settings = settings
        self._lock = threading.RLock()
        self._located: dict[ModelSpec, Located] = {}
        self._encoders: dict[str, Encoder[Any]] = {}
        self._device: Lanes | None = None
        self._torch_device: Any = None
        self._cache: EmbeddingCache | None = None

    @classmethod
    def load(cls, settings: Settings, *, parts: frozenset[str] = ALL) -> Encoders:
        """The encoders of the settings' pack, with `parts` of PARTS loaded now.

        Raises:
            RejectedError: a setting names a model or device that is not there.
            RetryableError: a hub model is not on this machine and the hub cannot be reached.
        """
        from encoders.packs import resolve

        encoders = cls(settings, resolve(settings))
        encoders.prepare(parts)
        return encoders

    def prepare(self, parts: frozenset[str]) -> None:
        """Load these of PARTS now. Raises as `load` does."""
        for part in PARTS:
            if part in parts:
                self._encoder(part)

    @property
    def text(self) -> Encoder[str]:
        """Texts of items."""
        return self._encoder("text")

    @property
    def text_query(self) -> Encoder[str]:
        """Texts of people, into the same space as `text`: the model's query prefix is used."""
        return self._encoder("text_query")

    @property
    def image(self) -> Encoder[bytes]:
        """Pictures of items."""
        return self._encoder("image")

    @property
    def image_text(self) -> Encoder[str]:
        """Words into the pictures' space: CLIP's text tower."""
        return self._encoder("image_text")

    @property
    def audio(self) -> Encoder[bytes]:
        """Clips of items."""
        return self._encoder("audio")

    @property
    def user(self) -> Encoder[str]:
        """Rendered profiles; `text_query` itself where the pack has no user model."""
        return self._encoder("user")

    @property
    def fingerprint(self) -> str:
        """16 hex digits over the item encoders' fingerprints; needs their files, loads nothing."""
        parts = "\n".join(self._fingerprint(part) for part in ITEM_PARTS)
        return hashlib.sha256(parts.encode()).hexdigest()[:16]

    @property
    def dims(self) -> dict[str, int]:
        """Length of the raw vectors of text, image and audio; loads nothing."""
        return {part: raw_dim(self._locate(part)) for part in ITEM_PARTS}

    @property
    def weights(self) -> dict[str, float]:
        """Of the blocks of text, image and audio, as their models are described."""
        return {part: getattr(self.pack, part).weight for part in ITEM_PARTS}

    def encode_items(self, items: Sequence[ItemInputs]) -> list[EncodedItem]:
        """Each item's vectors and failures, in order; see `encoders.items.encode_items`."""
        return encode_items(
            items,
            self.text if any(one.text.strip() for one in items) else None,
            self.image if any(one.images for one in items) else None,
            self.audio if any(one.audio for one in items) else None,
        )

    def encode_profile(self, prompt: str) -> dict[str, Vector]:
        """A rendered profile as the query side sees it.

        Returns:
            "text": in the items' text space; "image_text": in the pictures' space; "profile": by
            the user model, the same array as "text" where that is the text model.

        Raises:
            PermanentError: an empty prompt.
            RetryableError: an encoder is in trouble.
        """
        asked: dict[str, Encoder[str]] = {"text": self.text_query, "image_text": self.image_text}
        if self.user is not self.text_query:
            asked["profile"] = self.user
        pending = {name: encoder.submit([prompt])[0] for name, encoder in asked.items()}
        vectors = {name: one.result() for name, one in pending.items()}
        vectors.setdefault("profile", vectors["text"])
        return vectors

    def describe(self) -> list[EncoderReport]:
        """The encoders that are loaded."""
        with self._lock:
            loaded = dict(self._encoders)
        return [self._report(name, loaded[name]) for name in PARTS if name in loaded]

    def check(self) -> None:
        """Raise RetryableError when the device is stuck or dead."""
        if self._device is not None:
            self._device.check()

    def close(self) -> None:
        """End the device's lanes and close the cache; what waits fails with RetryableError."""
        with self._lock:
            if self._device is not None:
                self._device.close()
            if self._cache is not None:
                self._cache.close()
            self._encoders.clear()

    def _report(self, name: str, encoder: Encoder[Any]) -> EncoderReport:
        network: Network | None = encoder.stages.network
        precision = None if network is None else network.precision
        return EncoderReport(
            name=name,
            model=encoder.stages.model,
            dim=encoder.dim,
            device="cpu" if network is None else str(network.device),
            precision="float32" if precision is None else precision.label,
            speedup=1.0 if precision is None else precision.speedup,
            cosine=1.0 if precision is None else precision.cosine,
            fingerprint=encoder.fingerprint,
        )

    def _spec(self, part: str) -> ModelSpec:
        if part == "user":
            return self.pack.user or self.pack.text
        return {
            "text": self.pack.text,
            "text_query": self.pack.text,
            "image": self.pack.image,
            "image_text": self.pack.image,
            "audio": self.pack.audio,
        }[part]

    def _locate(self, part: str) -> Located:
        spec = self._spec(part)
        with self._lock:
            if spec not in self._located:
                self._located[spec] = locate(spec)
            return self._located[spec]

    def _fingerprint(self, part: str) -> str:
        kept = self._settings.folder("cache") / "hashes"
        return fingerprint(
            self._locate(part), preprocessing(part, self._spec(part), self._settings), kept
        )

    def _encoder(self, part: str) -> Encoder[Any]:
        found = self._encoders.get(part)
        if found is not None:
            return found
        with self._lock:
            if part not in self._encoders:
                with uncollected():
                    self._load(part)
            return self._encoders[part]

    def _load(self, part: str) -> None:
        if part == "user" and self.pack.user is None:
            self._encoders[part] = self._encoder("text_query")
            return
        self._start_device()
        spec = self._spec(part)
        started = time.perf_counter()
        located = self._locate(part)
        try:
            if spec.family in OPEN_CLIP:
                self._load_open_clip(part, located, started)
            elif part == "text_query":
                self._load_text_query(located, started)
            else:
                self._add(part, self._stages(part, located), started)
        except (FirstlightError, MemoryError):
            raise
        except Exception as error:
            raise RejectedError(
                f"the {spec.modality} model {spec.source} cannot be loaded:"
                f" {type(error).__name__}: {error}",
                field=f"FIRSTLIGHT_ENCODER_{spec.modality.upper()}_MODEL",
                remedy="run `firstlight models` to check it, or choose another",
            ) from error

    def _stages(self, part: str, located: Located) -> Stages[Any]:
        from encoders.families import audio_stages, text_stages

        if part == "audio":
            return audio_stages(located, self._torch_device, self._settings)
        spec = located.spec
        prefix = spec.query_prefix or spec.prefix if part == "user" else spec.prefix
        return text_stages(located, self._torch_device, prefix)

    def _load_text_query(self, located: Located, started: float) -> None:
        """The text model with its query prefix; an encoder of its own even without one, for
        what people say must not end up in the cache on disk, which no deletion reaches."""
        text = self._encoder("text")
        stages, spec = text.stages, located.spec
        if (spec.query_prefix or spec.prefix) != spec.prefix:
            from encoders.families import text_stages

            stages = text_stages(located, self._torch_device, spec.query_prefix, shared=stages)
        self._add("text_query", stages, started, settled=True)

    def _load_open_clip(self, part: str, located: Located, started: float) -> None:
        from encoders.image import ImageStages, OpenClip, WordsStages

        clip = OpenClip(located)
        if part == "image":
            limit = self._settings.fetch.image_pixels
            stages = ImageStages(clip, self._torch_device, max_pixels=limit)
            self._add("image", stages, started)
        # Whoever encodes pictures has the words' tower in memory anyway.
        if "image_text" not in self._encoders:
            self._add("image_text", WordsStages(clip, self._torch_device), started)

    def _add(
        self, name: str, stages: Stages[Any], started: float, *, settled: bool = False
    ) -> None:
        from encoders.precision import settle

        settings = self._settings.encoder
        key = self._fingerprint(name)
        if stages.network is not None and not settled:
            stages.network = settle(
                stages.network,
                stages.core,
                stages.probe(),
                settings.precision,
                name=name,
                key=key,
                folder=self._settings.folder("cache") / "precision",
            )
        assert self._device is not None
        self._encoders[name] = Encoder(
            name,
            stages,
            self._device,
            fingerprint=key,
            settings=settings,
            cache=self._item_cache() if name in ITEM_PARTS else None,
        )
        report = self._report(name, self._encoders[name])
        log.info(
            "encoder loaded",
            encoder=name,
            model=report.model,
            device=report.device,
            precision=report.precision,
            speedup=round(report.speedup, 2),
            cosine=round(report.cosine, 5),
            seconds=round(time.perf_counter() - started, 2),
        )

    def _item_cache(self) -> EmbeddingCache | None:
        if self._cache is None and self._settings.encoder.cache_bytes:
            self._cache = EmbeddingCache(
                self._settings.folder("cache"), self._settings.encoder.cache_bytes
            )
        return self._cache

    def _start_device(self) -> None:
        if self._device is not None:
            return
        from encoders.device import choose_device, start_lanes

        self._torch_device = choose_device(self._settings.encoder.device)
        self._device = start_lanes(self._torch_device, self._settings.encoder)
