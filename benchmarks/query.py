"""Query: POST /v1/recommend for a cached user over the bare store query, at 100,000 items."""

from __future__ import annotations

import statistics
import time

import numpy as np

from api.client import FirstlightClient
from benchmarks.report import Figure
from benchmarks.system import environment, running, wait_indexed
from index import ItemIndex, ItemPoint

POINTS = 100_000
SLICE = 500
QUERIES = 100
LIMIT = 10
PROFILE = "I like slow science fiction about what it means to be human."
MAX_EXTRA_MS = 3.0
EXACT = {"FIRSTLIGHT_INDEX_EXACT_UP_TO": "200000"}
"""Building the graph of 100,000 items takes longer than all else; what the service adds to a
query does not depend on how the store finds the answer."""


def measure() -> list[Figure]:
    """The service's extra time over the store's own, in ms and as a share."""
    with environment(**EXACT) as settings, running(settings) as client:
        client.put_item({"id": "first", "version": 1, "title": "The first item"})
        wait_indexed(client, 1)
        index = ItemIndex.connect(settings)
        collection = index.serving()
        if collection is None:
            raise RuntimeError("nothing is served")
        vector = next(
            iter(index.fetch(collection, ["first"], with_vectors=["rank"]).values())
        ).vectors["rank"]
        _fill(index, collection, len(vector))
        return _compare(client, index, collection, len(vector))


def _fill(index: ItemIndex, collection: str, dim: int) -> None:
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((200, dim)).astype(np.float32)
    for start in range(0, POINTS, SLICE):
        noise = rng.standard_normal((SLICE, dim)).astype(np.float32)
        vectors = centres[rng.integers(200, size=SLICE)] + 0.7 * noise
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        points = [
            ItemPoint(
                id=f"p{start + row}",
                version=1,
                vectors={"rank": vectors[row]},
                attributes={"shelf": f"s{row % 20}"},
                title=f"item {start + row}",
                fingerprint="bench",
                indexed_at=time.time(),
            )
            for row in range(SLICE)
        ]
        index.upsert(collection, points)


def _compare(client: FirstlightClient, index: ItemIndex, collection: str, dim: int) -> list[Figure]:
    answer = client.recommend(profile=PROFILE, limit=LIMIT)
    if len(answer.results) != LIMIT:
        raise RuntimeError(f"{len(answer.results)} results instead of {LIMIT}")
    query = np.random.default_rng(8).standard_normal(dim).astype(np.float32)
    service, store = [], []
    for number in range(QUERIES + 20):
        started = time.perf_counter()
        client.recommend(profile=PROFILE, limit=LIMIT)
        between = time.perf_counter()
        index.query(collection, query, limit=LIMIT, filters=None, exclude=())
        ended = time.perf_counter()
        if number >= 20:
            service.append(1000 * (between - started))
            store.append(1000 * (ended - between))
    ours, bare = statistics.median(service), statistics.median(store)
    extra = ours - bare
    common = {
        "better": "lower",
        "ours": ours,
        "other": bare,
        "unit": "ms",
        "against": "the same query through the store, same process as the client",
        "data": f"{POINTS:,} random clustered vectors of {dim} dimensions, exact search,"
        f" {QUERIES} queries",
    }
    notes = {"extra_ms": extra, "p95_ms": float(np.percentile(service, 95))}
    return [
        Figure(
            name="query, extra over the store's own time",
            ratio=extra / bare,
            target=1.0,
            notes=notes,
            **common,  # type: ignore[arg-type]
        ),
        Figure(
            name=f"query, extra over {MAX_EXTRA_MS:g} ms allowed",
            ratio=extra / MAX_EXTRA_MS,
            target=1.0,
            notes=notes,
            **common,  # type: ignore[arg-type]
        ),
    ]
