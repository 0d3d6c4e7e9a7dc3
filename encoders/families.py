"""Model families: which loader reads a model, and what may be known of it without loading it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from domain.errors import RejectedError
from domain.settings import Settings
from encoders.encoder import Stages
from encoders.sources import Located
from encoders.spec import ModelSpec

TEXT = ("bert", "last_token")
OPEN_CLIP = ("open_clip",)
AUDIO = ("wav2vec2", "whisper")

# Versions of preprocessing and pooling: part of the fingerprint. Change one together with any
# code that changes the vectors of its encoder.
_VERSIONS = {
    "text": "text-2",
    "text_query": "text-2",
    "user": "text-2",
    "image": "image-1",
    "image_text": "words-2",
    "audio": "audio-2",
}


def preprocessing(part: str, spec: ModelSpec, settings: Settings) -> Sequence[object]:
    """What decides an encoder's vectors beside its model's files and spec."""
    found: list[object] = [_VERSIONS[part]]
    if part == "audio":
        found += [settings.encoder.audio_window_s, settings.encoder.audio_windows]
    if part in ("text_query", "user"):
        found.append(spec.query_prefix)
    return found


def raw_dim(located: Located) -> int:
    """Length of a model's vectors, from its configuration alone.

    Raises:
        RejectedError: the configuration does not tell.
    """
    family = located.spec.family
    if family == "open_clip":
        if located.path.is_dir():
            config: Any = located.config("open_clip_config.json").get("model_cfg", {})
        else:
            from open_clip import get_model_config

            config = get_model_config(located.spec.source.partition("/")[0]) or {}
        dim = config.get("embed_dim")
    else:
        config = located.config()
        dim = next(
            (config[key] for key in ("hidden_size", "d_model", "dim") if key in config), None
        )
        if dim is not None and family in AUDIO:
            dim = 2 * int(str(dim))
    if dim is None:
        raise RejectedError(f"the configuration of {located.spec.source} names no vector length")
    return int(str(dim))


def text_stages(
    located: Located, device: Any, prefix: str, shared: Stages[Any] | None = None
) -> Stages[str]:
    """A text model, or the same one with another prefix."""
    from encoders.text import TextStages

    _expect(located, TEXT)
    model = cast("TextStages | None", shared)
    return TextStages(located, device, prefix=prefix, shared=model)


def audio_stages(located: Located, device: Any, settings: Settings) -> Stages[bytes]:
    """An audio model of any family."""
    from encoders.audio import AudioStages, TransformersWaveforms, WaveformModel
    from encoders.whisper import WhisperWaveforms

    _expect(located, AUDIO)
    waveforms: WaveformModel
    if located.spec.family == "whisper":
        waveforms = WhisperWaveforms(located)
    else:
        waveforms = TransformersWaveforms(located)
    return AudioStages(
        located.spec.source,
        waveforms,
        device,
        settings.encoder,
        max_duration_s=settings.fetch.audio_duration_s,
    )


def _expect(located: Located, families: Sequence[str]) -> None:
    spec = located.spec
    if spec.family not in families:
        raise RejectedError(
            f"{spec.source} is of family {spec.family}, which is no {spec.modality} model",
            remedy=f"give one of {', '.join(families)}",
        )
