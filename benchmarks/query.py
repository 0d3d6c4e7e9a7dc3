"""Query: POST /v1/recommend for a cached user over the bare store query; exact and by the graph.

By exact search at 100,000 items. The graph of as many takes longer to build than all else here,
so what it answers is measured at 20,000 items, by setting FIRSTLIGHT_INDEX_EXACT_UP_TO to that.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np

from api.client import FirstlightClient
from benchmarks.report import Figure
from benchmarks.system import environment, running, wait_indexed
from index import ItemIndex, ItemPoint

SLICE = 500
QUERIES = 100
WARM = 20
LIMIT = 10
PROFILE = "I like slow science fiction about what it means to be human."
MAX_EXTRA_MS = 3.0
BUILD_TIMEOUT_S = 900.0
BUILT = 0.9
"""The share of points from which a graph counts as built: the store builds no new one for less."""


@dataclass(frozen=True)
class Setup:
    """How many items, and how the store is to find the best."""

    name: str
    points: int
    exact: bool

    @property
    def exact_up_to(self) -> int:
        """Of the index: everything, or all but the last item, which starts the one build."""
        return 2 * self.points if self.exact else self.points

    @property
    def search(self) -> str:
        """For the figure's data."""
        if self.exact:
            return "exact search"
        return f"HNSW graph, FIRSTLIGHT_INDEX_EXACT_UP_TO={self.exact_up_to}"


SETUPS = (Setup("query", 100_000, exact=True), Setup("query by graph", 20_000, exact=False))


def measure() -> list[Figure]:
    """The service's extra time over the store's own, in ms and as a share, of each setup."""
    return [figure for setup in SETUPS for figure in _measured(setup)]


def _measured(setup: Setup) -> list[Figure]:
    extra = {"FIRSTLIGHT_INDEX_EXACT_UP_TO": str(setup.exact_up_to)}
    with environment(**extra) as settings, running(settings) as client:
        client.put_item({"id": "first", "version": 1, "title": "The first item"})
        wait_indexed(client, 1)
        index = ItemIndex.connect(settings)
        collection = index.serving()
        if collection is None:
            raise RuntimeError("nothing is served")
        dim = index.dims(collection)["rank"]
        _fill(index, collection, dim, setup.points)
        if not setup.exact:
            _wait_built(index, collection, setup.points)
        return _compare(client, index, collection, dim, setup)


def _fill(index: ItemIndex, collection: str, dim: int, count: int) -> None:
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((200, dim)).astype(np.float32)
    for start in range(0, count, SLICE):
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


def _wait_built(index: ItemIndex, collection: str, count: int) -> None:
    deadline = time.monotonic() + BUILD_TIMEOUT_S
    while index.info(collection).indexed < BUILT * count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"no graph of {count:,} points within {BUILD_TIMEOUT_S:.0f} s")
        time.sleep(0.5)


def _compare(
    client: FirstlightClient, index: ItemIndex, collection: str, dim: int, setup: Setup
) -> list[Figure]:
    answer = client.recommend(profile=PROFILE, limit=LIMIT, exact=setup.exact)
    if len(answer.results) != LIMIT:
        raise RuntimeError(f"{len(answer.results)} results instead of {LIMIT}")
    query = np.random.default_rng(8).standard_normal(dim).astype(np.float32)
    service, store = [], []
    for number in range(QUERIES + WARM):
        started = time.perf_counter()
        client.recommend(profile=PROFILE, limit=LIMIT, exact=setup.exact)
        between = time.perf_counter()
        index.query(collection, query, limit=LIMIT, exact=setup.exact)
        ended = time.perf_counter()
        if number >= WARM:
            service.append(1000 * (between - started))
            store.append(1000 * (ended - between))
    ours, bare = statistics.median(service), statistics.median(store)
    extra = ours - bare
    common = {
        "better": "lower",
        "target": 1.0,
        "ours": ours,
        "other": bare,
        "unit": "ms",
        "against": "the same query through the store, same process as the client",
        "data": f"{setup.points:,} random clustered vectors of {dim} dimensions, {setup.search},"
        f" {QUERIES} queries",
        "notes": {"extra_ms": extra, "p95_ms": float(np.percentile(service, 95))},
    }
    return [
        Figure(name=f"{setup.name}, extra over the store", ratio=extra / bare, **common),  # type: ignore[arg-type]
        Figure(
            name=f"{setup.name}, extra over {MAX_EXTRA_MS:g} ms",
            ratio=extra / MAX_EXTRA_MS,
            **common,  # type: ignore[arg-type]
        ),
    ]
