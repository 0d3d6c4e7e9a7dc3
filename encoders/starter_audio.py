"""The starter pack's audio model: the encoder of Whisper tiny.en, as transformers loads it.

The weights lie in a package in CTranslate2's format. Only the encoder is taken: the decoder's part
of the written model is empty.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encoders.ctranslate import Arrays, read_model
from encoders.quiet import quiet

if TYPE_CHECKING:
    import torch

RECIPE = "whisper tiny.en encoder: 2"
"""Names the directory; change it with anything below that changes the model."""

_HEADS = 6


def build(draft: Path, checkpoint: Path) -> None:
    """Write the encoder as a WhisperModel without decoder layers.

    Raises:
        RejectedError: the checkpoint is not readable.
    """
    import torch
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    weights = encoder_weights(read_model(checkpoint, "encoder/"))
    positions, width = weights["embed_positions.weight"].shape
    layers = sum(name.endswith("fc1.weight") for name in weights)
    config = WhisperConfig(
        d_model=width,
        encoder_layers=layers,
        encoder_attention_heads=_HEADS,
        encoder_ffn_dim=weights["layers.0.fc1.weight"].shape[0],
        max_source_positions=positions,
        num_mel_bins=weights["conv1.weight"].shape[1],
        decoder_layers=0,
        decoder_attention_heads=1,
        decoder_ffn_dim=1,
        max_target_positions=1,
        vocab_size=1,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
    )
    with quiet("transformers"), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the decoder's empty shell
        model: Any = WhisperModel(config)
        model.get_encoder().load_state_dict(weights, strict=True)
        model.save_pretrained(draft)
        extractor: Any = WhisperFeatureExtractor
        extractor(feature_size=config.num_mel_bins).save_pretrained(draft)
    _forget_version(draft / "config.json")


def _forget_version(path: Path) -> None:
    """Which transformers wrote the model decides nothing, and must not be in its fingerprint."""
    config = json.loads(path.read_text())
    config.pop("transformers_version", None)
    path.write_text(json.dumps(config, indent=2, sort_keys=True))


def encoder_weights(arrays: Arrays) -> dict[str, torch.Tensor]:
    """CTranslate2's arrays under transformers' names; q, k and v come stacked in one matrix."""
    import torch

    found = {
        "embed_positions.weight": arrays["encoder/position_encodings/encodings"],
        "layer_norm.weight": arrays["encoder/layer_norm/gamma"],
        "layer_norm.bias": arrays["encoder/layer_norm/beta"],
    }
    for conv in ("conv1", "conv2"):
        for kind in ("weight", "bias"):
            found[f"{conv}.{kind}"] = arrays[f"encoder/{conv}/{kind}"]
    layer = 0
    while (source := f"encoder/layer_{layer}") + "/ffn/linear_0/weight" in arrays:
        attention, target = f"{source}/self_attention", f"layers.{layer}"
        for kind in ("weight", "bias"):
            stacked = arrays[f"{attention}/linear_0/{kind}"]
            width = len(stacked) // 3
            for at, part in enumerate("qkv"):
                if (part, kind) != ("k", "bias"):  # Whisper's keys have no bias
                    found[f"{target}.self_attn.{part}_proj.{kind}"] = stacked[
                        at * width : (at + 1) * width
                    ]
            found[f"{target}.self_attn.out_proj.{kind}"] = arrays[f"{attention}/linear_1/{kind}"]
            for at in (0, 1):
                found[f"{target}.fc{at + 1}.{kind}"] = arrays[f"{source}/ffn/linear_{at}/{kind}"]
        for name, norm in (
            ("self_attn_layer_norm", f"{attention}/layer_norm"),
            ("final_layer_norm", f"{source}/ffn/layer_norm"),
        ):
            found[f"{target}.{name}.weight"] = arrays[f"{norm}/gamma"]
            found[f"{target}.{name}.bias"] = arrays[f"{norm}/beta"]
        layer += 1
    return {name: torch.from_numpy(one.copy()) for name, one in found.items()}
