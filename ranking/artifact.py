"""Hybrids on disk: JSON, safetensors, and arrays that are memory-mapped. Nothing is unpickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from domain.errors import RejectedError
from ranking.collaborative import Collaborative
from ranking.graph.term import GraphTerm
from ranking.hybrid import ITEMS, Gate, Hybrid, alone
from ranking.layout import FusionLike
from ranking.moments import Moments
from ranking.newcomers import Newcomers
from ranking.projection import Projection
from ranking.rows import Rows
from ranking.space import RankSpace

FORMAT = 3
FACTS_FILE = "hybrid.json"
ARRAYS_FILE = "hybrid.safetensors"
NEWCOMERS = "collaborative.newcomers."

Arrays = dict[str, NDArray[np.float32]]


def save(hybrid: Hybrid, folder: Path) -> None:
    """Write the artifact into a folder that exists."""
    hybrid.projection.save(folder)
    if hybrid.items is not None:
        hybrid.items.save(folder / ITEMS)
    save_file(_arrays(hybrid), folder / ARRAYS_FILE)
    facts: dict[str, Any] = {
        "format": FORMAT,
        "version": hybrid.version,
        "item_version": hybrid.item_version,
        "factors": hybrid.space.factors,
        "graph_dim": hybrid.space.graph,
        "gate": {one.name: getattr(hybrid.gate, one.name) for one in fields(Gate)},
        "facts": dict(hybrid.facts),
    }
    if hybrid.collaborative is not None:
        facts["collaborative"] = {
            name: getattr(hybrid.collaborative, name)
            for name in ("method", "regularization", "alpha", "level")
        }
    if hybrid.graph is not None:
        facts["graph"] = {"beta": hybrid.graph.beta, "version": hybrid.graph_version}
    (folder / FACTS_FILE).write_text(json.dumps(facts, indent=1), encoding="utf-8")


def load(folder: Path, fusion: FusionLike, space: RankSpace) -> Hybrid:
    """Read an artifact and check it against the fusion and the space that serve.

    A projection that somebody put there by itself is a hybrid without the other parts.

    Raises:
        RejectedError: it cannot be read or `Hybrid.check` refuses it.
    """
    projection = Projection.load(folder, fusion)
    if not (folder / FACTS_FILE).exists():
        return alone(projection, space)
    try:
        facts = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise ValueError(f"format {facts['format']}, this version reads {FORMAT}")
        arrays = load_file(folder / ARRAYS_FILE)
        found = Hybrid(
            version=str(facts["version"]),
            projection=projection,
            space=replace(space, factors=int(facts["factors"]), graph=int(facts["graph_dim"])),
            gate=Gate(**{name: float(value) for name, value in facts["gate"].items()}),
            moments=_moments(arrays, "content"),
            collaborative=_collaborative(facts.get("collaborative"), arrays),
            graph=_graph(facts.get("graph"), arrays),
            graph_version=str((facts.get("graph") or {}).get("version", "")),
            items=_rows(folder / ITEMS),
            item_version=str(facts["item_version"]),
            facts=dict(facts["facts"]),
        )
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        SafetensorError,
    ) as error:
        raise RejectedError(
            f"the hybrid in {folder} cannot be read: {error!r}", remedy="publish it again"
        ) from error
    found.check(fusion, space)
    return found


def facts_of(folder: Path) -> dict[str, Any] | None:
    """Where a hybrid on disk comes from; nothing is told of a projection by itself, and None where
    it cannot be read."""
    try:
        return dict(json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))["facts"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def named(hybrid: Hybrid) -> Hybrid:
    """The same hybrid, its versions digests of its content."""
    item_side = hashlib.blake2b(repr((hybrid.gate.k, hybrid.gate.warm)).encode(), digest_size=6)
    if hybrid.items is not None:
        hybrid.items.digest(item_side)
    digest = hashlib.blake2b(hybrid.projection.version.encode(), digest_size=6)
    digest.update(item_side.digest())
    digest.update(repr((hybrid.gate, hybrid.space.factors, hybrid.space.graph)).encode())
    if hybrid.collaborative is not None:
        side = hybrid.collaborative
        told = (side.method, side.regularization, side.alpha, side.level)
        digest.update(repr(told).encode())
    if hybrid.graph is not None:
        digest.update(repr((hybrid.graph.beta, hybrid.graph_version)).encode())
    digest.update(json.dumps(dict(hybrid.facts), sort_keys=True).encode())
    for name, array in sorted(_arrays(hybrid).items()):
        digest.update(name.encode())
        digest.update(array.tobytes())
    return replace(
        hybrid, version=f"h-{digest.hexdigest()}", item_version=f"i-{item_side.hexdigest()}"
    )


def _arrays(hybrid: Hybrid) -> Arrays:
    found: Arrays = {}
    if hybrid.moments is not None:
        found |= _of_moments("content", hybrid.moments)
    if hybrid.collaborative is not None:
        found["collaborative.item_gram"] = hybrid.collaborative.item_gram
        found["collaborative.user_gram"] = hybrid.collaborative.user_gram
        found |= _of_moments("collaborative", hybrid.collaborative.moments)
        if hybrid.collaborative.newcomers is not None:
            for part, matrix in hybrid.collaborative.newcomers.matrices.items():
                found[f"{NEWCOMERS}{part}"] = matrix
    if hybrid.graph is not None:
        for name in ("matrix", "bias", "covariance"):
            found[f"graph.{name}"] = getattr(hybrid.graph, name)
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in found.items()}


def _of_moments(name: str, moments: Moments) -> Arrays:
    return {f"{name}.mean": moments.mean, f"{name}.covariance": moments.covariance}


def _moments(arrays: Arrays, name: str) -> Moments | None:
    if f"{name}.mean" not in arrays:
        return None
    return Moments(arrays[f"{name}.mean"], arrays[f"{name}.covariance"])


def _collaborative(facts: Mapping[str, Any] | None, arrays: Arrays) -> Collaborative | None:
    if facts is None:
        return None
    moments = _moments(arrays, "collaborative")
    if moments is None:
        raise ValueError("collaborative factors without their moments")
    newcomers = {
        name.removeprefix(NEWCOMERS): matrix
        for name, matrix in arrays.items()
        if name.startswith(NEWCOMERS)
    }
    return Collaborative(
        method=facts["method"],
        item_gram=arrays["collaborative.item_gram"],
        user_gram=arrays["collaborative.user_gram"],
        regularization=float(facts["regularization"]),
        alpha=float(facts["alpha"]),
        moments=moments,
        level=float(facts["level"]),
        newcomers=Newcomers(newcomers) if newcomers else None,
    )


def _graph(facts: Mapping[str, Any] | None, arrays: Arrays) -> GraphTerm | None:
    if facts is None:
        return None
    return GraphTerm(
        beta=float(facts["beta"]),
        matrix=arrays["graph.matrix"],
        bias=arrays["graph.bias"],
        covariance=arrays["graph.covariance"],
    )


def _rows(folder: Path) -> Rows | None:
    return Rows.load(folder) if folder.is_dir() else None
