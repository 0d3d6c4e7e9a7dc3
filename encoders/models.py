"""What `firstlight models` shows and does: list the packs, check or prefetch the chosen one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from domain.errors import FirstlightError
from domain.settings import Settings
from encoders.encoders import EncoderReport, Encoders
from encoders.packs import STANDARD, resolve
from encoders.sources import locate
from encoders.spec import ModelSpec, Pack
from encoders.starter import EFFICIENTNET, MINILM, WHISPER, described

State = Literal["ready", "absent", "broken"]

_DIMS = {
    "starter": {"text": 384, "image": 384, "audio": 768},
    "standard": {"text": 768, "image": 512, "audio": 1536, "user": 1024},
    "tiny": {"text": 48, "image": 32, "audio": 64, "user": 40},
}


@dataclass(frozen=True, slots=True)
class ModelLine:
    """One model of a pack, as it is listed.

    Attributes:
        part: text, image, audio or user.
        source: hub id, or the packages whose weights it is made of.
        dim: length of its vectors.
    """

    part: str
    source: str
    revision: str | None
    license: str
    dim: int
    note: str


@dataclass(frozen=True, slots=True)
class PackLine:
    """One pack, as it is listed. `chosen`: the settings name it."""

    name: str
    chosen: bool
    about: str
    models: tuple[ModelLine, ...]


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """How one encoder of the chosen pack fares.

    Attributes:
        part: as in ModelLine; image_text is the image model's text tower.
        state: ready; absent (not on this machine yet, prefetch it); broken (see `problem`).
        problem: what is wrong and what to do; "" where it is ready.
        report: device, precision and fingerprint, where the model was loaded.
    """

    part: str
    model: str
    license: str
    note: str
    state: State
    problem: str = ""
    report: EncoderReport | None = None


def packs(settings: Settings) -> list[PackLine]:
    """Every pack with its models. Touches neither the disk nor the network."""
    starter = described(
        MINILM.distribution,
        f"{EFFICIENTNET.distribution} + {MINILM.distribution}",
        WHISPER.distribution,
    )
    note = "seeded random weights, for tests"
    tiny = Pack(
        name="tiny",
        text=ModelSpec("text", "bert", "BertModel", license="Apache-2.0", note=note),
        image=ModelSpec("image", "open_clip", "CLIP", license="Apache-2.0", note=note),
        audio=ModelSpec("audio", "wav2vec2", "Wav2Vec2Model", license="Apache-2.0", note=note),
        user=ModelSpec("user", "last_token", "Qwen3Model", license="Apache-2.0", note=note),
        about="Seeded random models of the real classes. Fast, meaningless: for tests only.",
    )
    return [
        PackLine(
            pack.name,
            pack.name == settings.encoder.pack,
            pack.about,
            tuple(
                ModelLine(
                    part,
                    spec.source,
                    spec.revision,
                    spec.license,
                    _DIMS[pack.name][part],
                    spec.note,
                )
                for part, spec in _specs(pack)
            ),
        )
        for pack in (starter, STANDARD, tiny)
    ]


def check(settings: Settings) -> list[ModelCheck]:
    """Whether the models in use are here, are the pinned ones, load and encode. No download.

    Models of `starter` and `tiny` that are not assembled yet are assembled.

    Raises:
        RejectedError, RetryableError: the pack itself cannot be resolved: a wheel is missing, a
            setting names nothing.
    """
    pack = resolve(settings)
    encoders = Encoders(settings, pack)
    try:
        found: list[ModelCheck] = []
        for part, spec in _specs(pack):
            if on_this_machine(spec):
                found += _loaded(encoders, part, spec)
            else:
                found.append(_absent(part, spec))
        return found
    finally:
        encoders.close()


def prefetch(settings: Settings) -> Iterator[ModelCheck]:
    """Download or assemble the models in use, one after another; each is told when it is there.

    Raises:
        RejectedError, RetryableError: as `check`.
    """
    for part, spec in _specs(resolve(settings)):
        try:
            locate(spec)
        except FirstlightError as error:
            yield _line(part, spec, "absent", str(error))
        else:
            yield _line(part, spec, "ready")


def on_this_machine(spec: ModelSpec) -> bool:
    """Whether a model's files are here already; a local path always counts as here."""
    from huggingface_hub import try_to_load_from_cache

    if spec.family == "open_clip":
        kind, _, name = spec.source.partition(":")
        if kind == "hf-hub":
            config = "open_clip_config.json"
        elif kind == "local-dir" or Path(spec.source.partition("/")[2]).expanduser().is_file():
            return True
        else:
            return _tag_is_cached(spec.source)
    else:
        name, config = spec.source, "config.json"
        if name.startswith((".", "/", "~")) or Path(name).expanduser().is_dir():
            return True
    return isinstance(try_to_load_from_cache(name, config, revision=spec.revision), str)


def _tag_is_cached(source: str) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from open_clip.pretrained import get_pretrained_cfg

    architecture, _, tag = source.partition("/")
    hub_id = str((get_pretrained_cfg(architecture, tag) or {}).get("hf_hub", "")).rstrip("/")
    names = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    return bool(hub_id) and any(
        isinstance(try_to_load_from_cache(hub_id, name), str) for name in names
    )


def _specs(pack: Pack) -> list[tuple[str, ModelSpec]]:
    found = [("text", pack.text), ("image", pack.image), ("audio", pack.audio)]
    return [*found, ("user", pack.user)] if pack.user is not None else found


def _loaded(encoders: Encoders, part: str, spec: ModelSpec) -> list[ModelCheck]:
    """The model's encoders: an image model has two, each with a precision of its own."""
    try:
        getattr(encoders, part)
    except FirstlightError as error:
        return [_line(part, spec, "broken", str(error))]
    names = ("image", "image_text") if part == "image" else (part,)
    return [
        _line(report.name, spec, "ready", report=report)
        for report in encoders.describe()
        if report.name in names
    ]


def _absent(part: str, spec: ModelSpec) -> ModelCheck:
    return _line(part, spec, "absent", "not on this machine; run `firstlight models --prefetch`")


def _line(
    part: str,
    spec: ModelSpec,
    state: State,
    problem: str = "",
    report: EncoderReport | None = None,
) -> ModelCheck:
    return ModelCheck(part, spec.source, spec.license, spec.note, state, problem, report)
