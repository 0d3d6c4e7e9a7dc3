"""The starter pack's image model: EfficientNet-lite0 and MiniLM joined as open_clip loads them.

Both towers keep their weights. Between them stands one matrix, made without a single picture: the
classifier's weight vector of an ImageNet class is what a picture of that class looks like to the
network, and MiniLM tells what the class's name means, so ridge regression from the 1,000 weight
vectors to the 1,000 embedded names maps what is seen to words. encoders/starter_projection.py made
the matrix that lies beside it; it is kept, not made anew, so that every machine has the same.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.errors import RejectedError
from encoders.sources import OPEN_CLIP_CONFIG

if TYPE_CHECKING:
    import torch

RECIPE = "efficientnet-lite0 x minilm: 1"
"""Names the directory; change it with anything below that changes the model."""

PROJECTION = Path(__file__).with_name("starter_projection.safetensors")
"""[1280, 384] float16."""

WINDOW = 64
"""Tokens of a text; captions and class names are short, and every text is padded to this."""

_TRUNK = "tf_efficientnet_lite0"
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def recipe() -> str:
    """RECIPE and the content of the matrix."""
    return f"{RECIPE} {hashlib.sha256(PROJECTION.read_bytes()).hexdigest()}"


def build(draft: Path, home: Path, text_model: Path, checkpoint: Path) -> None:
    """Write the joined model.

    Args:
        draft: an empty directory.
        home: where it will lie in the end: open_clip finds the text tower's configuration by it.
        text_model: directory of MiniLM.
        checkpoint: EfficientNet-lite0's weights; read weights-only, nothing is unpickled.
    """
    import torch
    from safetensors.torch import load_file, save_file

    seen = torch.load(checkpoint, map_location="cpu", weights_only=True)
    weights = {f"visual.trunk.{name}": one for name, one in trunk_weights(seen).items()}
    weights["visual.head.proj.weight"] = load_file(PROJECTION)["projection"].float().T.contiguous()
    tower = load_file(text_model / "model.safetensors")
    for name, one in tower.items():
        if not name.startswith("pooler.") and name != "embeddings.position_ids":
            weights[f"text.transformer.{name}"] = one
    weights["logit_scale"] = torch.tensor(math.log(1 / 0.07))
    contiguous = {name: one.contiguous() for name, one in weights.items()}
    save_file(contiguous, draft / "open_clip_model.safetensors")
    shutil.copyfile(text_model / "config.json", draft / "config.json")
    for name in _TOKENIZER:
        shutil.copyfile(text_model / name, draft / name)
    (draft / OPEN_CLIP_CONFIG).write_text(json.dumps(_config(home), indent=2))


def settle(home: Path) -> None:
    """Correct the path that open_clip's configuration holds, where the directory was moved."""
    path = home / OPEN_CLIP_CONFIG
    config: dict[str, Any] = json.loads(path.read_text())
    if config["model_cfg"]["text_cfg"]["hf_model_name"] == str(home):
        return
    descriptor, name = tempfile.mkstemp(prefix=".config-", dir=home)
    with os.fdopen(descriptor, "w") as file:
        json.dump(_config(home), file, indent=2)
    Path(name).chmod(0o644)
    Path(name).replace(path)


def _config(home: Path) -> dict[str, Any]:
    return {
        "model_cfg": {
            "embed_dim": 384,
            "custom_text": True,
            "vision_cfg": {
                "image_size": 224,
                "timm_model_name": _TRUNK,
                "timm_model_pretrained": False,
                "timm_pool": "avg",
                "timm_proj": "linear",
            },
            "text_cfg": {
                "context_length": WINDOW,
                "hf_model_name": str(home),
                "hf_tokenizer_name": str(home),
                "hf_pooler_type": "mean_pooler",
                "hf_proj_type": None,
                "hf_model_pretrained": False,
            },
        },
        "preprocess_cfg": {
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
    }


def trunk_weights(seen: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The checkpoint's tensors under timm's names: the same network, listed in the same order.

    Raises:
        RejectedError: the order does not fit after all.
    """
    import timm

    trunk = timm.create_model(_TRUNK, pretrained=False)
    own = trunk.state_dict()
    pairs = list(zip(own.items(), seen.items(), strict=False))
    if len(own) != len(seen) or any(a.shape != b.shape for (_, a), (_, b) in pairs):
        raise RejectedError("the EfficientNet-lite0 weights do not fit timm's network")
    classifier = {"classifier.weight", "classifier.bias"}
    return {name: one for (name, _), (_, one) in pairs if name not in classifier}
