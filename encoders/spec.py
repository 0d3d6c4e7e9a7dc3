"""What is to be loaded: one model's description, and a pack of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Modality: TypeAlias = Literal["text", "image", "audio", "user"]

Family: TypeAlias = Literal["bert", "last_token", "open_clip", "wav2vec2", "whisper"]
"""Which loader reads the model.

- bert: transformers AutoModel, mean pooling over tokens (BERT, RoBERTa, e5, MiniLM ...)
- last_token: transformers AutoModel, the last token's state (Qwen3-Embedding ...)
- open_clip: any architecture open_clip can load; image and text tower
- wav2vec2: waveform models of AutoModel (Wav2Vec2, HuBERT, WavLM)
- whisper: the encoder of a Whisper model
"""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model.

    Attributes:
        modality: what it encodes; "image" brings its text tower along.
        family: which loader reads it.
        source: hub id or local directory; for open_clip ARCHITECTURE/CHECKPOINT, hf-hub:ID or
            local-dir:PATH.
        revision: commit, tag or branch on the hub; None for a local directory or the default.
        weights_sha256: sha256 of the weights file where it is pinned, checked at load.
        prefix: put before every text that is stored (e5: "passage: ").
        query_prefix: put before a user's or searcher's text (e5: "query: "; an instruction for
            Qwen3-Embedding: "Instruct: ...\\nQuery: ").
        max_tokens: window of a text model, special tokens included; None takes the model's own.
        layer: of an audio model: index into its hidden states (0 is the input of the first
            layer, -1 the last output), or "mean" over all of them.
        weight: of its block in a fused vector, where FIRSTLIGHT_FUSION_WEIGHTS says nothing.
        license: SPDX name of the weights' licence.
        note: one sentence for `firstlight models`.
    """

    modality: Modality
    family: Family
    source: str
    revision: str | None = None
    weights_sha256: str | None = None
    prefix: str = ""
    query_prefix: str = ""
    max_tokens: int | None = None
    layer: int | Literal["mean"] = "mean"
    weight: float = 1.0
    license: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Pack:
    """The models of one installation. `user` None: the text model serves users too."""

    name: str
    text: ModelSpec
    image: ModelSpec
    audio: ModelSpec
    user: ModelSpec | None = None
    about: str = ""
