"""A collection's configuration as the engine's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import qdrant_edge as edge

from index.server.spec import CollectionSpec, Defaults, Json

_DISTANCES = {
    "Dot": edge.Distance.Dot,
    "Cosine": edge.Distance.Cosine,
    "Euclid": edge.Distance.Euclid,
    "Manhattan": edge.Distance.Manhattan,
}


def edge_config(spec: CollectionSpec, defaults: Defaults) -> edge.EdgeConfig:
    """The engine's configuration.

    Its own log is off: the journal is what makes writes durable. One segment, so that one graph
    is searched. `indexing_threshold` is 1 because when to build is decided outside the engine;
    what is built is then always a graph.
    """
    return edge.EdgeConfig(
        vectors={
            name: edge.EdgeVectorParams(
                vector.size,
                _DISTANCES[vector.distance],
                on_disk=vector.on_disk,
                hnsw_config=_edge_hnsw(spec.graph(name, defaults)),
                quantization_config=_edge_quantization(vector.quantization),
            )
            for name, vector in spec.vectors.items()
        },
        on_disk_payload=spec.on_disk_payload,
        hnsw_config=_edge_hnsw(spec.base_graph(defaults)),
        quantization_config=_edge_quantization(spec.quantization),
        optimizers=edge.EdgeOptimizersConfig(
            deleted_threshold=spec.optimizers.get("deleted_threshold"),
            vacuum_min_vector_number=spec.optimizers.get("vacuum_min_vector_number"),
            default_segment_number=1,
            max_segment_size=2**40,
            indexing_threshold=1,
        ),
        wal_enabled=False,
    )


def _edge_hnsw(graph: Mapping[str, Any]) -> edge.HnswIndexConfig:
    return edge.HnswIndexConfig(
        m=graph["m"],
        ef_construct=graph["ef_construct"],
        full_scan_threshold=graph["full_scan_threshold"],
        max_indexing_threads=graph["max_indexing_threads"],
        on_disk=graph.get("on_disk"),
        payload_m=graph.get("payload_m"),
    )


def _edge_quantization(value: Json | None) -> edge.ScalarQuantizationConfig | None:
    if value is None:
        return None
    scalar = value["scalar"]
    return edge.ScalarQuantizationConfig(
        edge.ScalarType.Int8, scalar.get("quantile"), scalar.get("always_ram")
    )
