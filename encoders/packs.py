"""Which models an installation runs: a named pack, with any model replaced by a setting."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from domain.errors import RejectedError, RetryableError
from domain.settings import Settings
from encoders.spec import Family, Modality, ModelSpec, Pack
from encoders.starter import starter_pack
from encoders.tiny import tiny_pack

LAST_TOKEN = frozenset({"qwen2", "qwen3", "llama", "mistral", "gemma", "gemma2", "gemma3_text"})
"""Model types that read from left to right: only their last token has seen the whole text."""

WAVEFORM = frozenset(
    {"wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat", "data2vec-audio"}
)
"""Model types that take a waveform and give frames, as Wav2Vec2 does."""

INSTRUCTION = (
    "Instruct: Given what a person says about themselves, retrieve the items they would like\n"
    "Query: "
)
"""Put before a profile where the embedder was trained with instructions (Qwen3-Embedding)."""

STANDARD = Pack(
    name="standard",
    text=ModelSpec(
        "text",
        "bert",
        "intfloat/multilingual-e5-base",
        revision="d13f1b27baf31030b7fd040960d60d909913633f",
        prefix="passage: ",
        query_prefix="query: ",
        max_tokens=512,
        license="MIT",
        note="Texts in about a hundred languages, 768 dimensions.",
    ),
    image=ModelSpec(
        "image",
        "open_clip",
        "hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        revision="1a25a446712ba5ee05982a381eed697ef9b435cf",
        license="MIT",
        note="CLIP, open_clip's ViT-B-32 trained on LAION-2B (English), 512 dimensions.",
    ),
    audio=ModelSpec(
        "audio",
        "wav2vec2",
        "facebook/wav2vec2-base",
        revision="0b5b8e868dd84f03fd87d01f9c4ff0f080fecfe8",
        layer=6,
        license="Apache-2.0",
        note="Wav2Vec2 trained on read English speech, the middle layer of 12.",
    ),
    user=ModelSpec(
        "user",
        "last_token",
        "Qwen/Qwen3-Embedding-0.6B",
        revision="97b0c614be4d77ee51c0cef4e5f07c00f9eb65b3",
        query_prefix=INSTRUCTION,
        max_tokens=8192,
        license="Apache-2.0",
        note="A language-model embedder for profiles, more than a hundred languages.",
    ),
    about=(
        "Hub models for production; the first start downloads about 3.4 GB. Sized for a GPU; a"
        " processor serves it, slowly."
    ),
)


def _standard(folder: Path) -> Pack:  # noqa: ARG001 - the hub keeps a cache of its own
    return STANDARD


PACKS: dict[str, Callable[[Path], Pack]] = {
    "starter": starter_pack,
    "standard": _standard,
    "tiny": tiny_pack,
}
"""A pack by its name, from the directory in which it may keep assembled models."""


def resolve(settings: Settings) -> Pack:
    """The pack the settings name, with FIRSTLIGHT_ENCODER_*_MODEL in place of its models.

    Assembles the models of `starter` and `tiny` where they are not yet.

    Raises:
        RejectedError: a wheel of the pack is not installed, or a setting names no usable model.
        RetryableError: what a hub id is could not be asked, as the hub cannot be reached.
    """
    chosen = settings.encoder
    pack = PACKS[chosen.pack](settings.folder("models"))
    if chosen.text_model:
        pack = replace(pack, text=text_spec("text", chosen.text_model))
    if chosen.image_model:
        pack = replace(pack, image=image_spec(chosen.image_model))
    if chosen.audio_model:
        pack = replace(pack, audio=audio_spec(chosen.audio_model))
    if chosen.user_model:
        pack = replace(pack, user=text_spec("user", chosen.user_model))
    return pack


def text_spec(modality: Modality, source: str) -> ModelSpec:
    """A text or user model by hub id or directory; its family by its configuration."""
    known = _known(modality, source)
    if known is not None:
        return known
    model_type = _model_type(modality, source)
    if model_type in WAVEFORM or model_type == "whisper":
        raise RejectedError(
            f"{source} is a model of sound ({model_type})",
            field=_setting(modality),
            remedy="name a text model, or set FIRSTLIGHT_ENCODER_AUDIO_MODEL",
        )
    family: Family = "last_token" if model_type in LAST_TOKEN else "bert"
    spec = ModelSpec(modality, family, source, note=f"set by {_setting(modality)}")
    name = Path(source).name.lower()
    if family == "last_token":
        return replace(spec, query_prefix=INSTRUCTION)
    if "e5-" in name and "instruct" not in name:
        return replace(spec, prefix="passage: ", query_prefix="query: ")
    return spec


def image_spec(source: str) -> ModelSpec:
    """An open_clip model: ARCHITECTURE/CHECKPOINT, hf-hub:ID, local-dir:PATH or a directory."""
    known = _known("image", source)
    if known is not None:
        return known
    if ":" not in source and Path(source).expanduser().is_dir():
        source = f"local-dir:{Path(source).expanduser()}"
    return ModelSpec("image", "open_clip", source, note=f"set by {_setting('image')}")


def audio_spec(source: str) -> ModelSpec:
    """An audio model by hub id or directory; the average of its layers is taken."""
    known = _known("audio", source)
    if known is not None:
        return known
    model_type = _model_type("audio", source)
    if model_type not in WAVEFORM and model_type != "whisper":
        raise RejectedError(
            f"{source} is a {model_type or 'nameless'} model, which is no known model of sound",
            field=_setting("audio"),
            remedy=f"name a model of type {', '.join(sorted({*WAVEFORM, 'whisper'}))}",
        )
    family: Family = "whisper" if model_type == "whisper" else "wav2vec2"
    return ModelSpec("audio", family, source, note=f"set by {_setting('audio')}")


def _known(modality: Modality, source: str) -> ModelSpec | None:
    """The standard pack's own description where a setting names one of its models."""
    for spec in (STANDARD.text, STANDARD.image, STANDARD.audio, STANDARD.user):
        if spec is not None and spec.source == source and spec.family != "open_clip":
            fits = modality in (spec.modality, "user" if spec.modality == "text" else "")
            return replace(spec, modality=modality) if fits else None
        if spec is not None and spec.source == source and modality == "image":
            return spec
    return None


def _model_type(modality: Modality, source: str) -> str:
    folder = Path(source).expanduser()
    if folder.is_dir():
        path = folder / "config.json"
        if not path.is_file():
            raise RejectedError(
                f"{folder} holds no config.json",
                field=_setting(modality),
                remedy="name the directory of a transformers model",
            )
    elif source.startswith((".", "/", "~")):
        raise RejectedError(f"no directory {source}", field=_setting(modality))
    else:
        path = _hub_config(modality, source)
    try:
        found = json.loads(path.read_bytes())
        return str(found.get("model_type", ""))
    except (ValueError, AttributeError) as error:
        raise RejectedError(
            f"{path} is no model configuration: {error}", field=_setting(modality)
        ) from error


def _hub_config(modality: Modality, source: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        return Path(hf_hub_download(source, "config.json"))
    except (HFValidationError, RepositoryNotFoundError) as error:
        raise RejectedError(
            f"{source} is neither a directory nor a model on the hub", field=_setting(modality)
        ) from error
    except Exception as error:
        raise RetryableError(
            f"the hub could not be asked what {source} is: {type(error).__name__}",
            field=_setting(modality),
            remedy="name a local directory, or `firstlight models --prefetch` where the hub can"
            " be reached",
        ) from error


def _setting(modality: Modality) -> str:
    return f"FIRSTLIGHT_ENCODER_{modality.upper()}_MODEL"
