"""What is stored of an item, what comes back, and what is refused before any store sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from domain.errors import PermanentError
from domain.vectors import RANK, Vector
from index.filters import ATTRIBUTES, EXPIRES_KEY
from index.ids import point_id

UNIT_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class ItemPoint:
    """One item as it is written to the index.

    Attributes:
        vectors: "rank" (the fused vector) and the raw modality vectors present, [dim] float32.
        attributes: filterable scalars and lists of scalars.
        fingerprint: of the encoders and the fusion that made the vectors.
        indexed_at: when the item was indexed for the first time, seconds since 1970.
        expires_at: seconds since 1970 from which no search finds it; None: never.
        gate: g of its rank vector, in [0, 1): how far its interactions are trusted.
        rewritten_at: when its rank vector was last rewritten at this version, seconds since
            1970; 0: it was not.
    """

    id: str
    version: int
    vectors: Mapping[str, Vector]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    fingerprint: str = ""
    indexed_at: float = 0.0
    expires_at: float | None = None
    gate: float = 0.0
    rewritten_at: float = 0.0

    @property
    def modalities(self) -> list[str]:
        """Names of the raw vectors, sorted."""
        return sorted(name for name in self.vectors if name != RANK)


@dataclass(slots=True)
class StoredItem:
    """One item as the index holds it; `vectors` only those asked for, at their own length."""

    id: str
    version: int
    title: str
    attributes: dict[str, Any]
    modalities: tuple[str, ...]
    fingerprint: str
    indexed_at: float
    vectors: dict[str, Vector]
    expires_at: float | None = None
    gate: float = 0.0
    rewritten_at: float = 0.0


@dataclass(slots=True)
class Hit:
    """One result. `score` is the dot product for "rank", the cosine for a raw vector."""

    id: str
    version: int
    score: float
    title: str
    attributes: dict[str, Any]
    modalities: tuple[str, ...]
    vectors: dict[str, Vector]
    indexed_at: float = 0.0
    expires_at: float | None = None
    gate: float = 0.0
    rewritten_at: float = 0.0


def newest(points: Iterable[ItemPoint]) -> list[ItemPoint]:
    """Each id once, at its newest version; of equal versions the first.

    The store's own rule for a batch that holds an id twice is "the last wins, even if stale".
    """
    kept: dict[str, ItemPoint] = {}
    for point in points:
        held = kept.get(point.id)
        if held is None or point.version > held.version:
            kept[point.id] = point
    return list(kept.values())


def fault(point: ItemPoint, dims: Mapping[str, int]) -> PermanentError | None:
    """Why this point must not be written, or None.

    Engines accept NaN, infinity and zero vectors silently and answer nonsense ever after.
    """
    if RANK not in point.vectors:
        return _refused(point, "has no rank vector", "encode it again")
    for name, vector in point.vectors.items():
        dim = dims.get(name)
        if dim is None:
            known = ", ".join(sorted(dims))
            return _refused(
                point, f"vector {name!r} is not one of the collection's ({known})", "reindex"
            )
        if vector.shape != (dim,):
            return _refused(
                point,
                f"vector {name!r} has shape {list(vector.shape)}, the collection holds [{dim}]",
                "the models have changed: run `firstlight reindex`",
            )
        # One pass instead of three: the squared length is NaN or inf where any element is.
        with np.errstate(over="ignore", invalid="ignore"):
            length = float(np.dot(vector, vector))
        if not np.isfinite(length):
            if np.isfinite(vector).all():
                return _refused(
                    point, f"vector {name!r} is too long to be squared", "encode it again"
                )
            return _refused(point, f"vector {name!r} holds NaN or infinity", "encode it again")
        if length == 0.0:
            return _refused(point, f"vector {name!r} is zero", "encode it again")
    return None


def _refused(point: ItemPoint, message: str, remedy: str) -> PermanentError:
    return PermanentError(
        message, field=f"item {point.id!r} version {point.version}", remedy=remedy
    )


def to_body(point: ItemPoint) -> dict[str, Any]:
    """The point as Qdrant's JSON, vectors still arrays.

    Raw vectors are stored for cosine, which keeps their direction only; lengths that are not 1
    go into the payload, because re-fusion centres and so needs the vector as it was encoded.
    """
    lengths = {}
    vectors = {}
    for name, vector in point.vectors.items():
        vectors[name] = np.ascontiguousarray(vector, dtype=np.float32)
        if name != RANK:
            length = float(np.linalg.norm(vectors[name]))
            if abs(length - 1.0) > UNIT_TOLERANCE:
                lengths[name] = length
    payload = {
        "item_id": point.id,
        "version": point.version,
        "title": point.title,
        "modalities": point.modalities,
        "fingerprint": point.fingerprint,
        "indexed_at": point.indexed_at,
        ATTRIBUTES: dict(point.attributes),
    }
    if lengths:
        payload["lengths"] = lengths
    if point.expires_at is not None:
        payload[EXPIRES_KEY] = point.expires_at
    if point.gate:
        payload["gate"] = point.gate
    if point.rewritten_at:
        payload["rewritten_at"] = point.rewritten_at
    return {"id": point_id(point.id), "vector": vectors, "payload": payload}


def to_hit(point: Mapping[str, Any]) -> Hit:
    """A scored point in Qdrant's JSON."""
    payload = point["payload"]
    return Hit(
        id=payload["item_id"],
        version=payload["version"],
        score=point["score"],
        title=payload["title"],
        attributes=payload["attributes"],
        modalities=tuple(payload["modalities"]),
        vectors=_vectors(point.get("vector"), payload),
        indexed_at=payload["indexed_at"],
        expires_at=payload.get(EXPIRES_KEY),
        gate=payload.get("gate", 0.0),
        rewritten_at=payload.get("rewritten_at", 0.0),
    )


def to_stored(payload: Mapping[str, Any], vectors: object) -> StoredItem:
    """A record's payload and named vectors."""
    return StoredItem(
        id=payload["item_id"],
        version=payload["version"],
        title=payload["title"],
        attributes=payload["attributes"],
        modalities=tuple(payload["modalities"]),
        fingerprint=payload["fingerprint"],
        indexed_at=payload["indexed_at"],
        vectors=_vectors(vectors, payload),
        expires_at=payload.get(EXPIRES_KEY),
        gate=payload.get("gate", 0.0),
        rewritten_at=payload.get("rewritten_at", 0.0),
    )


def _vectors(named: object, payload: Mapping[str, Any]) -> dict[str, Vector]:
    if not isinstance(named, dict):
        return {}
    lengths = payload.get("lengths", {})
    found = {}
    for name, values in named.items():
        vector = np.asarray(values, dtype=np.float32)
        length = lengths.get(name)
        found[name] = vector if length is None else vector * np.float32(length)
    return found


def chunks(values: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    """Slices of at most `size`."""
    return (values[start : start + size] for start in range(0, len(values), size))
