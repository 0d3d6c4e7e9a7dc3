"""Query: POST /v1/recommend for a cached user over the bare store query; exact and by the graph.

By exact search at 100,000 items. The graph of as many takes longer to build than all else here,
so what it answers is measured at 20,000 items, by setting FIRSTLIGHT_INDEX_EXACT_UP_TO to that.

Service and store are asked alike: the same body over one plain HTTP connection each, answers read
as bytes. The store is asked what the service asks it: how far a graph is walked depends on the
vector. What the Python clients on top cost is measured beside it: this project's against its own
store class, and against a stock qdrant-client.
"""

from __future__ import annotations

import http.client
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import numpy as np
import orjson
from qdrant_client import QdrantClient, models

from api.client import FirstlightClient
from api.history import History
from api.queries import Queries
from api.state import open_parts
from benchmarks.report import Figure
from benchmarks.system import environment, running, wait_indexed
from domain.settings import Settings
from domain.users import User
from domain.vectors import RANK, Vector
from index import ItemIndex, ItemPoint, Search
from index.searches import search_body

SLICE = 500
QUERIES = 400
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


PLAINLY = "the store's own query, either asked over one plain connection"
BY_CLASS = "this project's store class, by this project's Python client"
BY_STOCK = "a stock qdrant-client, by this project's Python client"

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
        _fill(index, collection, index.dims(collection)[RANK], setup.points)
        if not setup.exact:
            _wait_built(index, collection, setup.points)
        return _compare(client, index, collection, settings, setup)


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


class Plain:
    """One HTTP connection that stays open, and nothing around it."""

    def __init__(self, url: str) -> None:
        at = urlsplit(url)
        self._connection = http.client.HTTPConnection(at.hostname or "", at.port)

    def post(self, path: str, body: bytes) -> bytes:
        """The answer's body. Raises RuntimeError unless it is a 200."""
        self._connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{path} answered {answer.status}: {content[:200]!r}")
        return content

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _compare(
    client: FirstlightClient, index: ItemIndex, collection: str, settings: Settings, setup: Setup
) -> list[Figure]:
    dim = index.dims(collection)[RANK]
    query = _vector(settings)
    answer = client.recommend(profile=PROFILE, limit=LIMIT, exact=setup.exact)
    asked_alike = index.query(collection, query, limit=LIMIT, exact=setup.exact)
    if [one.id for one in answer.results] != [hit.id for hit in asked_alike]:
        raise RuntimeError("the service's results are not those of the query that is compared")
    body = search_body(
        Search(query, LIMIT, exact=setup.exact), {RANK: dim}, settings.index, setup.points
    )
    search = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    asked = orjson.dumps({"profile": PROFILE, "limit": LIMIT, "exact": setup.exact})
    points = f"/collections/{quote(collection, safe='')}/points/query"
    stock = QdrantClient(url=settings.index_url, check_compatibility=False)
    service, store = Plain(settings.api_url), Plain(settings.index_url)
    with closing(stock), closing(service), closing(store):
        recommended, bare, by_client, by_class, by_stock = _medians(
            [
                lambda: service.post("/v1/recommend", asked),
                lambda: store.post(points, search),
                lambda: client.recommend(profile=PROFILE, limit=LIMIT, exact=setup.exact),
                lambda: index.query(collection, query, limit=LIMIT, exact=setup.exact),
                lambda: stock.query_points(
                    collection,
                    query=query,
                    using=RANK,
                    limit=LIMIT,
                    search_params=models.SearchParams(**body["params"]),
                    timeout=30,
                ),
            ]
        )
    told = f"{setup.points:,} random clustered vectors of {dim} dimensions, {setup.search}"
    return [
        Figure(
            name=f"{setup.name}, extra over {name}",
            ratio=(ours.median - other.median) / unit,
            better="lower",
            target=1.0,
            ours=ours.median,
            other=other.median,
            unit="ms",
            against=against,
            data=f"{told}, {QUERIES} queries",
            notes={"extra_ms": ours.median - other.median, "p95_ms": ours.p95},
        )
        for name, ours, other, unit, against in (
            ("the store", recommended, bare, bare.median, PLAINLY),
            (f"{MAX_EXTRA_MS:g} ms", recommended, bare, MAX_EXTRA_MS, PLAINLY),
            (f"the store class, {MAX_EXTRA_MS:g} ms", by_client, by_class, MAX_EXTRA_MS, BY_CLASS),
            (f"qdrant-client, {MAX_EXTRA_MS:g} ms", by_client, by_stock, MAX_EXTRA_MS, BY_STOCK),
        )
    ]


def _vector(settings: Settings) -> Vector:
    """What the service asks the store for PROFILE, [dim of "rank"]."""
    parts = open_parts(settings)
    with closing(parts):
        parts.models.load()
        space = parts.spaces.current()
        if space is None:
            raise RuntimeError("nothing is served")
        said = parts.models.person(User(id="-", profile=PROFILE))
        return Queries(settings.ranking.profile_weight_k0).of(space, said, History()).vector


@dataclass(frozen=True, slots=True)
class Times:
    """Of one call, in ms."""

    median: float
    p95: float


def _medians(calls: Sequence[Callable[[], object]]) -> list[Times]:
    """The calls in turns, so that whatever else the machine does meets all of them, each of them
    first in every round as often as last."""
    taken: list[list[float]] = [[] for _ in calls]
    for number in range(QUERIES + WARM):
        for turn in range(len(calls)):
            at = (number + turn) % len(calls)
            started = time.perf_counter()
            calls[at]()
            if number >= WARM:
                taken[at].append(1000 * (time.perf_counter() - started))
    return [Times(statistics.median(one), float(np.percentile(one, 95))) for one in taken]
