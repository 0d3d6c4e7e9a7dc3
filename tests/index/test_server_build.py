"""What the child process builds from the frames it is sent."""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import qdrant_edge as edge

from index.server.bodies import Body
from index.server.build import build, frame, read_frames
from index.server.effects import PutPoints, encode
from index.server.engine_config import edge_config
from index.server.graph import Coverage, build_due
from index.server.points import PointRecord
from index.server.spec import CollectionSpec, Defaults, parse_spec

DIM = 16
N = 600


def spec(**more: Any) -> CollectionSpec:
    vectors = {"rank": {"size": DIM, "distance": "Dot"}, "text": {"size": 4, "distance": "Cosine"}}
    return parse_spec(Body({"vectors": vectors, **more}, "test"))


def stream(made: CollectionSpec, vectors: np.ndarray) -> bytes:
    head = {
        "config": made.to_json(),
        "defaults": asdict(Defaults(hnsw_m=8, hnsw_ef_construct=32)),
        "indexes": {"n": "integer"},
    }
    points = [
        PointRecord(n, {"rank": vectors[n]} | ({"text": vectors[n][:4]} if n % 2 else {}), {"n": n})
        for n in range(len(vectors))
    ]
    frames = [
        orjson.dumps(head),
        encode([PutPoints(points[:400])]),
        encode([PutPoints(points[400:])]),
    ]
    return b"".join(frame(data) for data in [*frames, b""])


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"quantization_config": {"scalar": {"type": "int8", "quantile": 0.99, "always_ram": True}}},
    ],
    ids=["float32", "int8"],
)
def test_the_built_shard_holds_every_point_its_graph_and_its_payload_indexes(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    made = spec(**more)
    vectors = np.random.default_rng(3).standard_normal((N, DIM)).astype(np.float32)
    build(tmp_path / "built", read_frames(io.BytesIO(stream(made, vectors))))
    shard = edge.EdgeShard.load(str(tmp_path / "built"), edge_config(made, Defaults()))
    info = shard.info()
    assert info.points_count == N
    assert info.indexed_vectors_count == N + N // 2
    assert list(info.payload_schema) == ["n"]
    hits = 0
    for query in vectors[:50]:
        found = shard.query(
            edge.QueryRequest(
                5,
                query=edge.Query.Nearest(query, using="rank"),
                params=edge.SearchParams(
                    hnsw_ef=128, quantization=edge.QuantizationSearchParams(rescore=True)
                ),
            )
        )
        hits += len(
            {point.id for point in found} & set(np.argsort(-(vectors @ query))[:5].tolist())
        )
    assert hits >= 0.97 * 250
    shard.close()


def test_a_stream_that_ends_early_is_no_stream(tmp_path: Path) -> None:
    content = stream(spec(), np.ones((N, DIM), np.float32))
    for cut in (1, 4, 5000):
        with pytest.raises(EOFError):
            build(tmp_path / f"cut-{cut}", read_frames(io.BytesIO(content[:-cut])))


@pytest.mark.parametrize(
    ("points", "covered", "stale", "more", "due"),
    [
        (100, 0, 0, {}, False),
        (101, 0, 0, {}, True),
        (1000, 1000, 100, {}, False),
        (1000, 1000, 101, {}, True),
        (10**6, 0, 0, {"optimizers_config": {"indexing_threshold": 0}}, False),
        (10**6, 0, 0, {"hnsw_config": {"m": 0}}, False),
        (256, 0, 0, {"optimizers_config": {"indexing_threshold": 16}}, False),
        (1025, 0, 0, {"optimizers_config": {"indexing_threshold": 16}}, True),
    ],
)
def test_a_build_is_due_beyond_the_exact_size_and_after_a_tenth_has_changed(
    points: int, covered: int, stale: int, more: dict[str, Any], due: bool
) -> None:
    coverage = Coverage(covered, 0, set(range(stale)))
    assert build_due(points, coverage, spec(**more), Defaults(exact_up_to=100)) is due
