"""Makes starter_projection.safetensors, the matrix between the starter pack's two towers.

`python -m encoders.starter_projection` writes it anew from the installed wheels. Nothing at run
time needs this file; it is here so that the matrix can be checked and improved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.quiet import quiet
from encoders.starter import EFFICIENTNET, MINILM
from encoders.starter_image import PROJECTION, WINDOW

RIDGE = 10.0
"""Of those that benchmarks/image_projection.py tries, the one that finds unseen classes best."""

Double: TypeAlias = NDArray[np.float64]


def make(path: Path) -> None:
    """Write the matrix as float16, scaled to a root mean square of 1."""
    from safetensors.torch import save_file

    embed = embedder(MINILM.verified().parent)
    names, defined = (unit(embed(texts)) for texts in class_texts())
    matrix = projection(classifier(EFFICIENTNET.verified()), names + defined, RIDGE)
    matrix /= np.sqrt(np.mean(matrix**2))
    save_file({"projection": torch.from_numpy(matrix).half().contiguous()}, path)


def classifier(checkpoint: Path) -> Double:
    """[1000, 1280] the weight vectors of the ImageNet classes."""
    seen = torch.load(checkpoint, map_location="cpu", weights_only=True)
    weights: Double = seen["_fc.weight"].double().numpy()
    return weights


def class_texts() -> tuple[list[str], list[str]]:
    """The 1,000 ImageNet classes: their names, and each name with its WordNet definition."""
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo()
    names = list(IMAGENET_CLASSNAMES)
    definitions = [
        info.index_to_description(at, detailed=True).split(": ", 1)[-1] for at in range(len(names))
    ]
    return names, [f"{name}: {what}" for name, what in zip(names, definitions, strict=True)]


def unit(rows: Double) -> Double:
    """Rows over their norms."""
    scaled: Double = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def embedder(text_model: Path) -> Callable[[Sequence[str]], Double]:
    """Texts -> [n, 384] mean-pooled, as the text tower embeds them."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(text_model, local_files_only=True)
    with quiet("transformers"):
        model: Any = AutoModel.from_pretrained(
            text_model, local_files_only=True, weights_only=True, dtype=torch.float32
        ).eval()

    def embed(texts: Sequence[str]) -> Double:
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        rows = np.zeros((len(texts), int(model.config.hidden_size)))
        for start in range(0, len(order), 32):
            batch = order[start : start + 32]
            tokens = tokenizer(
                [texts[at] for at in batch],
                padding=True,
                truncation=True,
                max_length=WINDOW,
                return_tensors="pt",
            )
            with torch.inference_mode():
                states = model(**tokens).last_hidden_state
            mask = tokens["attention_mask"].unsqueeze(-1)
            rows[batch] = ((states * mask).sum(1) / mask.sum(1)).numpy()
        return rows

    return embed


def projection(classes: Double, names: Double, ridge: float | None) -> Double:
    """Ridge regression from classifier weights to embedded names, both centred.

    Args:
        classes: [n, features] classifier weights.
        names: [n, dim] embedded names of the same classes.
        ridge: over the mean eigenvalue of the weights' Gram matrix; None leaves the regression
            out and takes the plain product, the limit of a strong ridge.

    Returns:
        [features, dim] float64.
    """
    seen = classes - classes.mean(axis=0)
    said = names - names.mean(axis=0)
    if ridge is None:
        product: Double = seen.T @ said
        return product
    gram = seen.T @ seen
    level = float(np.trace(gram)) / len(gram)
    gram[np.diag_indices(len(gram))] += ridge * level
    matrix: Double = np.linalg.solve(gram, seen.T @ said)
    return matrix


if __name__ == "__main__":
    make(PROJECTION)
