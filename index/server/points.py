"""Points: ids and vectors checked before the engine sees them.

The engine accepts NaN silently and refuses a whole batch for one wrong dimension, so both are
caught here and the message names the point.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

import numpy as np

from domain.vectors import Vector
from index.server.bodies import FULL_QDRANT, Body
from index.server.errors import unsupported, wrong

PointId: TypeAlias = int | str
"""An unsigned integer, or a UUID in its canonical form."""

MAX_ID = 2**64 - 1


@dataclass(frozen=True, slots=True)
class PointRecord:
    """One point: its vectors by name ({name: [dim] float32}; "" is the unnamed one)."""

    id: PointId
    vectors: dict[str, Vector]
    payload: dict[str, Any]


def read_id(value: Any) -> PointId:
    """A point id as Qdrant takes it."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_ID:
        return value
    if isinstance(value, str):
        try:
            return str(UUID(value))
        except ValueError:
            pass
    raise wrong(f"{value!r} is not a valid point ID, it must be an unsigned integer or a UUID")


def read_ids(values: Sequence[Any]) -> list[PointId]:
    """Point ids, each once, in order."""
    return list(dict.fromkeys(read_id(value) for value in values))


def read_vector(value: Any, dim: int, where: str) -> Vector:
    """A dense vector.

    Returns:
        [dim] float32, finite.
    """
    if isinstance(value, dict):
        kind = "a sparse vector" if "indices" in value else "an inference object"
        raise unsupported(f"{kind} ({where})", "send a dense vector of numbers")
    if not isinstance(value, list):
        raise wrong(f"{where}: a vector must be a list of numbers")
    if value and isinstance(value[0], list):
        raise unsupported(f"a multi-vector ({where})", "send one dense vector")
    try:
        with np.errstate(over="ignore"):
            found = np.asarray(value)
            vector = found.astype(np.float32, copy=False)
    except (ValueError, TypeError, OverflowError):
        raise wrong(f"{where}: a vector must be a list of numbers") from None
    if found.ndim != 1 or found.dtype.kind not in "fiu":
        raise wrong(f"{where}: a vector must be a list of numbers")
    if vector.size != dim:
        raise wrong(f"Vector dimension error: expected dim: {dim}, got {vector.size} ({where})")
    if not np.isfinite(vector).all():
        raise wrong(f"{where}: the vector holds NaN or infinity (as float32)")
    return vector


def _stored_vector(value: Any, dim: int, where: str) -> Vector:
    vector = read_vector(value, dim, where)
    if not vector.any():
        raise wrong(f"{where}: the vector is all zeros and would match nothing")
    return vector


def read_vectors(value: Any, dims: Mapping[str, int], where: str) -> dict[str, Vector]:
    """The vectors of a point: one list for the unnamed vector, else {name: list}."""
    if isinstance(value, list):
        value = {"": value}
    if not isinstance(value, dict):
        raise wrong(f"{where}: `vector` must be a list of numbers or an object of them")
    if value and dims.keys().isdisjoint(value) and {"text", "model"} <= value.keys():
        raise unsupported(f"an inference object ({where})", "send a dense vector of numbers")
    vectors = {}
    for name, numbers in value.items():
        if name not in dims:
            raise wrong(f"Not existing vector name error: {name} ({where})")
        label = f"{where}, vector {name!r}" if name else where
        vectors[name] = _stored_vector(numbers, dims[name], label)
    return vectors


def read_payload(value: Any, where: str) -> dict[str, Any]:
    """A payload, absent or an object."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(f"{where}: `payload` must be an object")
    return value


def read_points(body: Body, dims: Mapping[str, int]) -> Iterator[PointRecord]:
    """The points of an upsert, in its list form or its batch form."""
    body.refuse("shard_key")
    if "batch" in body:
        yield from _read_batch(Body(body.need("batch"), "batch"), dims)
        return
    for value in body.items("points"):
        point = Body(value, "point")
        id_ = read_id(point.need("id"))
        point.where = f"point {id_}"
        yield PointRecord(
            id_,
            read_vectors(point.need("vector"), dims, point.where),
            read_payload(point.take("payload"), point.where),
        )
        point.done()


def _read_batch(batch: Body, dims: Mapping[str, int]) -> Iterator[PointRecord]:
    ids = [read_id(value) for value in batch.items("ids")]
    vectors = batch.need("vectors")
    payloads = batch.take("payloads") or [None] * len(ids)
    batch.done()
    if isinstance(vectors, dict):
        uneven = [name for name, column in vectors.items() if len(column) != len(ids)]
        if uneven:
            raise wrong(f"batch: `vectors` {uneven[0]!r} and `ids` differ in length")
        rows: list[Any] = [
            {name: column[n] for name, column in vectors.items()} for n in range(len(ids))
        ]
    else:
        rows = vectors if isinstance(vectors, list) else []
    if len(rows) != len(ids) or not isinstance(payloads, list) or len(payloads) != len(ids):
        raise wrong("batch: `ids`, `vectors` and `payloads` differ in length")
    for id_, row, payload in zip(ids, rows, payloads, strict=True):
        where = f"point {id_}"
        yield PointRecord(id_, read_vectors(row, dims, where), read_payload(payload, where))


def read_point_vectors(body: Body, dims: Mapping[str, int]) -> Iterator[PointRecord]:
    """The points of an update of vectors; their payloads are empty and mean nothing."""
    body.refuse("shard_key", FULL_QDRANT)
    for value in body.items("points"):
        point = Body(value, "point")
        id_ = read_id(point.need("id"))
        yield PointRecord(id_, read_vectors(point.need("vector"), dims, f"point {id_}"), {})
        point.done()
