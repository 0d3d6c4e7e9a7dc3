"""What a collection is made of: Qdrant's create-collection JSON, checked, kept and shown again."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from typing import Any

from index.server.bodies import FULL_QDRANT, Body
from index.server.errors import unsupported, wrong

Json = dict[str, Any]

MAX_DIM = 65_536
FULL_SCAN_KB = 10_000
"""Qdrant's default: a filter that leaves less than this is scanned instead of walked."""
BYTES_PER_NUMBER = 4

DISTANCES = ("Dot", "Cosine", "Euclid", "Manhattan")
_NAME = re.compile(r'[^<>:"/\\|?*\x00-\x1f]{1,255}')


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a collection gets where its creator says nothing.

    Attributes:
        exact_up_to: points up to which search is exact.
        hnsw_m, hnsw_ef_construct: the graph.
        hnsw_ef: candidates of a search through the graph.
        flush_interval_s: how often the engine's files are brought up to date.
    """

    exact_up_to: int = 50_000
    hnsw_m: int = 32
    hnsw_ef_construct: int = 256
    hnsw_ef: int = 512
    flush_interval_s: int = 30


@dataclass(frozen=True, slots=True)
class VectorSpec:
    """One named vector. The diffs hold what its creator said, in Qdrant's words."""

    size: int
    distance: str
    on_disk: bool = False
    hnsw: Json = field(default_factory=dict)
    quantization: Json | None = None


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """A collection's configuration, as its creator gave it."""

    vectors: dict[str, VectorSpec]
    hnsw: Json = field(default_factory=dict)
    optimizers: Json = field(default_factory=dict)
    quantization: Json | None = None
    on_disk_payload: bool = False
    metadata: Json | None = None

    @property
    def dims(self) -> dict[str, int]:
        """Length of each named vector."""
        return {name: vector.size for name, vector in self.vectors.items()}

    def graph(self, name: str, defaults: Defaults) -> Json:
        """The HNSW settings of one vector: its own, then the collection's, then the defaults."""
        return {**self.base_graph(defaults), **self.vectors[name].hnsw}

    def base_graph(self, defaults: Defaults) -> Json:
        """The HNSW settings of a vector that has none of its own."""
        base = {
            "m": defaults.hnsw_m,
            "ef_construct": defaults.hnsw_ef_construct,
            "full_scan_threshold": FULL_SCAN_KB,
            "max_indexing_threads": max(1, (os.cpu_count() or 2) - 1),
        }
        return {**base, **self.hnsw}

    def exact_up_to(self, name: str, defaults: Defaults) -> int | None:
        """Points up to which the vector is searched exactly; None: always.

        `indexing_threshold` is in kilobytes of vectors, as in Qdrant; 0 switches the graph off, and
        so does m = 0.
        """
        threshold = self.optimizers.get("indexing_threshold")
        if threshold == 0 or self.graph(name, defaults)["m"] == 0:
            return None
        if threshold is None:
            return defaults.exact_up_to
        return int(threshold * 1024 // (self.vectors[name].size * BYTES_PER_NUMBER))

    def flush_interval_s(self, defaults: Defaults) -> int:
        """Seconds between two flushes of the engine."""
        return int(self.optimizers.get("flush_interval_sec", defaults.flush_interval_s))

    def to_json(self) -> Json:
        """As stored in collection.json; `parse_spec` reads it back."""
        return {
            "vectors": {name: _vector_json(one) for name, one in self.vectors.items()},
            "hnsw_config": self.hnsw,
            "optimizers_config": self.optimizers,
            "quantization_config": self.quantization,
            "on_disk_payload": self.on_disk_payload,
            "metadata": self.metadata,
        }

    def to_info(self, defaults: Defaults) -> Json:
        """The `config` of Qdrant's collection info."""
        vectors: Json = {name: _vector_json(one) for name, one in self.vectors.items()}
        first = next(iter(self.vectors))
        threshold = defaults.exact_up_to * self.vectors[first].size * BYTES_PER_NUMBER // 1024
        optimizers = {
            "deleted_threshold": 0.2,
            "vacuum_min_vector_number": 1000,
            "default_segment_number": 1,
            "indexing_threshold": threshold,
            "flush_interval_sec": defaults.flush_interval_s,
            **self.optimizers,
        }
        return {
            "params": {
                "vectors": vectors.get("", vectors),
                "shard_number": 1,
                "replication_factor": 1,
                "write_consistency_factor": 1,
                "on_disk_payload": self.on_disk_payload,
            },
            "hnsw_config": self.base_graph(defaults),
            "optimizer_config": optimizers,
            "wal_config": None,
            "quantization_config": self.quantization,
            "metadata": self.metadata,
        }

    def updated(self, body: Body) -> CollectionSpec:
        """With the changes of a PATCH: HNSW and optimizer settings, used from the next build."""
        for name in ("vectors", "quantization_config", "params"):
            body.refuse(name, "create a collection with it, fill it and swap the alias")
        for name in ("sparse_vectors", "strict_mode_config"):
            body.refuse(name)
        changed = replace(
            self,
            hnsw={**self.hnsw, **_hnsw(body.take("hnsw_config"))},
            optimizers={**self.optimizers, **_optimizers(body.take("optimizers_config"))},
            metadata=body.take("metadata", self.metadata),
        )
        body.done()
        return changed


def check_name(name: str, what: str = "Collection") -> str:
    """A collection's or alias's name, as Qdrant restricts it."""
    if not _NAME.fullmatch(name) or name in (".", "..", "aliases"):
        raise wrong(f'{what} name {name!r} is not valid: 1-255 characters, none of <>:"/\\|?*')
    return name


def parse_spec(body: Body) -> CollectionSpec:
    """A create-collection body."""
    for name in ("shard_number", "replication_factor", "write_consistency_factor"):
        if body.whole(name, 1) != 1:
            raise unsupported(f"`{name}` other than 1", FULL_QDRANT)
    body.refuse("sparse_vectors", "store dense vectors, or " + FULL_QDRANT)
    body.refuse("wal_config", "leave it out: every write is durable before it is acknowledged")
    for name in ("payload", "id_tracker", "sharding_method", "strict_mode_config", "init_from"):
        body.refuse(name, f"leave it out, or {FULL_QDRANT}")
    value = body.take("vectors")
    if not isinstance(value, dict) or not value:
        raise wrong("`vectors` is missing: at least one dense vector is needed")
    if {"size", "distance"} <= value.keys():
        value = {"": value}
    spec = CollectionSpec(
        vectors={name: _vector(Body(one, f"vector {name!r}")) for name, one in value.items()},
        hnsw=_hnsw(body.take("hnsw_config")),
        optimizers=_optimizers(body.take("optimizers_config")),
        quantization=_quantization(body.take("quantization_config")),
        on_disk_payload=body.flag("on_disk_payload"),
        metadata=body.take("metadata"),
    )
    body.done()
    return spec


def _vector(body: Body) -> VectorSpec:
    body.refuse("multivector_config", "store one dense vector per name")
    body.refuse("memory", "use on_disk")
    if body.text("datatype", "float32") != "float32":
        raise unsupported(f"`datatype` other than float32 in {body.where}", "use scalar int8")
    size = body.whole("size", 0, most=MAX_DIM)
    if not size:
        raise wrong(f"{body.where}: `size` must be between 1 and {MAX_DIM}")
    distance = body.text("distance")
    if distance not in DISTANCES:
        raise wrong(f"{body.where}: `distance` must be one of {', '.join(DISTANCES)}")
    spec = VectorSpec(
        size=size,
        distance=distance,
        on_disk=body.flag("on_disk"),
        hnsw=_hnsw(body.take("hnsw_config")),
        quantization=_quantization(body.take("quantization_config")),
    )
    body.done()
    return spec


def _vector_json(vector: VectorSpec) -> Json:
    found: Json = {"size": vector.size, "distance": vector.distance, "on_disk": vector.on_disk}
    if vector.hnsw:
        found["hnsw_config"] = vector.hnsw
    if vector.quantization:
        found["quantization_config"] = vector.quantization
    return found


def _hnsw(value: Any) -> Json:
    if value is None:
        return {}
    body = Body(value, "hnsw_config")
    body.refuse("memory", "use on_disk")
    body.refuse("inline_storage", "leave it out")
    found: Json = {
        "m": body.whole("m", None, most=1024),
        "ef_construct": body.whole("ef_construct", None, least=4, most=100_000),
        "full_scan_threshold": body.whole("full_scan_threshold", None),
        "max_indexing_threads": body.whole("max_indexing_threads", None, most=1024),
        "payload_m": body.whole("payload_m", None, most=1024),
    }
    if "on_disk" in body:
        found["on_disk"] = body.flag("on_disk")
    body.done()
    return {name: one for name, one in found.items() if one is not None}


def _optimizers(value: Any) -> Json:
    if value is None:
        return {}
    body = Body(value, "optimizers_config")
    for name in ("memmap_threshold", "max_optimization_threads", "prevent_unoptimized"):
        body.refuse(name, "leave it out: builds run in a process of their own")
    body.refuse("max_segment_size", "leave it out: a collection has one graph")
    body.refuse("default_segment_number", "leave it out: a collection has one graph")
    found: Json = {
        "indexing_threshold": body.whole("indexing_threshold", None),
        "flush_interval_sec": body.whole("flush_interval_sec", None, least=1, most=3600),
        "vacuum_min_vector_number": body.whole("vacuum_min_vector_number", None, least=100),
        "deleted_threshold": body.number("deleted_threshold"),
    }
    body.done()
    return {name: one for name, one in found.items() if one is not None}


def _quantization(value: Any) -> Json | None:
    if value is None:
        return None
    body = Body(value, "quantization_config")
    for name in ("product", "binary", "turbo"):
        body.refuse(name, "use scalar int8")
    scalar = Body(body.need("scalar"), "scalar quantization")
    body.done()
    if scalar.text("type") != "int8":
        raise wrong("scalar quantization: `type` must be int8")
    scalar.refuse("memory", "use always_ram")
    found: Json = {"type": "int8"}
    quantile = scalar.number("quantile")
    if quantile is not None:
        found["quantile"] = quantile
    if "always_ram" in scalar:
        found["always_ram"] = scalar.flag("always_ram")
    scalar.done()
    return {"scalar": found}
