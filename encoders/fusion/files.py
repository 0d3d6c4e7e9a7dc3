"""A fusion on disk: fusion.json (layout) and fusion.safetensors (arrays)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from domain.errors import RejectedError
from domain.modality_gates import ModalityGates
from domain.vectors import BlockMap, Matrix
from encoders.attributes import ATTRIBUTES
from encoders.attributes.vocabulary import Vocabulary
from encoders.fusion.imputation import Imputation
from encoders.fusion.statistics import passthrough_block

FORMAT = 1
LAYOUT = "fusion.json"
ARRAYS = "fusion.safetensors"
GATES = "gates"


@dataclass(frozen=True, slots=True)
class Learned:
    """What a fusion has beside its blocks."""

    imputations: Sequence[Imputation]
    vocabulary: Vocabulary | None
    gates: ModalityGates | None


def save(
    folder: Path,
    version: str,
    blocks: Sequence[BlockMap],
    items: Mapping[str, int],
    learned: Learned,
) -> None:
    """Write both files. A pass-through has no arrays."""
    imputations, vocabulary = learned.imputations, learned.vocabulary
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Matrix] = {}
    for block in blocks:
        if items[block.name]:
            arrays[f"mean.{block.name}"] = block.mean
            arrays[f"projection.{block.name}"] = block.projection
        for tower, mean in block.query_means.items():
            arrays[f"query_mean.{block.name}.{tower}"] = mean
    for number, imputation in enumerate(imputations):
        arrays[f"imputation.{number}"] = imputation.matrix
    if vocabulary is not None:
        arrays["attributes.idf"] = vocabulary.idf
        arrays["attributes.directions"] = vocabulary.directions
    if learned.gates is not None:
        arrays[GATES] = learned.gates.weights
    layout = {
        "format": FORMAT,
        "version": version,
        "blocks": [
            {
                "name": block.name,
                "raw_dim": len(block.mean),
                "dim": block.dim,
                "weight": block.weight,
                "items": items[block.name],
                "query_towers": list(block.query_means),
            }
            for block in blocks
        ],
        "imputations": [
            {"target": i.target, "sources": i.sources, "gain": i.gain} for i in imputations
        ],
        "attribute_tokens": vocabulary.tokens if vocabulary is not None else None,
    }
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    (folder / ARRAYS).write_bytes(save_tensors(contiguous))
    (folder / LAYOUT).write_text(json.dumps(layout, indent=2), encoding="utf-8")


def load(folder: Path) -> tuple[str, list[BlockMap], dict[str, int], Learned]:
    """What `save` wrote: version, blocks, items per block, and the rest.

    Raises:
        RejectedError: a file is missing or malformed, or an array has a wrong shape, a wrong type
            or is not finite.
    """
    try:
        layout = json.loads((folder / LAYOUT).read_bytes())
        arrays = load_tensors((folder / ARRAYS).read_bytes())
        if layout["format"] != FORMAT:
            raise RejectedError(f"the fusion in {folder} has format {layout['format']}")
        blocks, items = _blocks(layout["blocks"], arrays)
        imputations = _imputations(layout["imputations"], arrays, blocks)
        # absent from what was saved before there were attributes
        vocabulary = _vocabulary(layout.get("attribute_tokens"), arrays, blocks)
        gates = ModalityGates(arrays[GATES]) if GATES in arrays else None
        return str(layout["version"]), blocks, items, Learned(imputations, vocabulary, gates)
    except RejectedError:
        raise
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise RejectedError(
            f"the fusion in {folder} cannot be read: {error}",
            remedy="restore the folder or fit a new fusion",
        ) from error


def _blocks(
    entries: Sequence[Mapping[str, Any]], arrays: Mapping[str, Matrix]
) -> tuple[list[BlockMap], dict[str, int]]:
    blocks: list[BlockMap] = []
    items: dict[str, int] = {}
    start = 0
    for entry in entries:
        name, raw_dim, dim = str(entry["name"]), int(entry["raw_dim"]), int(entry["dim"])
        weight = float(entry["weight"])
        if raw_dim < 1 or dim < 1 or not (np.isfinite(weight) and weight > 0) or name in items:
            raise RejectedError(f"block {name!r} is malformed", field=LAYOUT)
        items[name] = int(entry["items"])
        if items[name]:
            block = BlockMap(
                name,
                _array(arrays, f"mean.{name}", (raw_dim,)),
                _array(arrays, f"projection.{name}", (raw_dim, dim)),
                weight,
                start,
                start + dim,
                {
                    tower: _array(arrays, f"query_mean.{name}.{tower}", (raw_dim,))
                    for tower in entry["query_towers"]
                },
            )
        else:
            block = passthrough_block(name, raw_dim, weight, start)
        blocks.append(block)
        start = block.stop
    if not blocks:
        raise RejectedError("a fusion needs at least one block", field=LAYOUT)
    return blocks, items


def _imputations(
    entries: Sequence[Mapping[str, Any]],
    arrays: Mapping[str, Matrix],
    blocks: Sequence[BlockMap],
) -> list[Imputation]:
    dims = {block.name: block.dim for block in blocks}
    found = []
    for number, entry in enumerate(entries):
        sources = tuple(str(name) for name in entry["sources"])
        target = str(entry["target"])
        shape = (sum(dims[name] for name in sources), dims[target])
        matrix = _array(arrays, f"imputation.{number}", shape)
        found.append(Imputation(target, sources, matrix, float(entry["gain"])))
    return found


def _vocabulary(
    tokens: object, arrays: Mapping[str, Matrix], blocks: Sequence[BlockMap]
) -> Vocabulary | None:
    if tokens is None:
        return None
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise RejectedError("is not a list of tokens", field=f"{LAYOUT} attribute_tokens")
    (raw_dim,) = [len(block.mean) for block in blocks if block.name == ATTRIBUTES]
    idf = _array(arrays, "attributes.idf", (len(tokens),))
    directions = _array(arrays, "attributes.directions", (len(tokens), raw_dim))
    return Vocabulary(tuple(tokens), idf, directions)


def _array(arrays: Mapping[str, Matrix], name: str, shape: tuple[int, ...]) -> Matrix:
    array = arrays[name]
    if array.shape != shape or array.dtype != np.float32:
        raise RejectedError(
            f"is {array.dtype} {array.shape}, not float32 {shape}", field=f"{ARRAYS} {name}"
        )
    if not np.isfinite(array).all():
        raise RejectedError("holds NaN or inf", field=f"{ARRAYS} {name}")
    return array
