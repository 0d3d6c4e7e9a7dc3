"""One nearest-neighbour search: what can be asked, how it is put, exact or by the graph."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from qdrant_client import QdrantClient

from domain.errors import RejectedError
from domain.filters import Filters
from domain.setting_groups import IndexSettings
from domain.vectors import RANK, Vector
from index.filters import Json, to_filter

COUNT_FOR_S = 30.0
SIFTED_FOR_S = 60.0


@dataclass(frozen=True, slots=True)
class Search:
    """One nearest-neighbour query.

    Attributes:
        vector: [dim of `using`] float32; finite, for "rank" not necessarily unit norm.
        using: which named vector is searched.
        filters: conditions on attributes; all hold together.
        exclude: item ids that are never returned.
        exact: scan everything (True), walk the HNSW graph (False), or by the size of the
            collection (None).
        with_vectors: named vectors to return with each hit.
        live_at: seconds since 1970; what has expired by then is never returned. None: all are.
    """

    vector: Vector
    limit: int
    using: str = RANK
    filters: Filters | None = None
    exclude: Collection[str] = ()
    exact: bool | None = None
    with_vectors: Sequence[str] = ()
    live_at: float | None = None


def search_body(
    search: Search,
    dims: Mapping[str, int],
    settings: IndexSettings,
    size: int,
    *,
    sift: bool = True,
) -> Json:
    """The search as Qdrant's JSON, its vector still an array.

    Args:
        dims: length of each named vector of the collection.
        size: about how many points the collection has.
        sift: whether the store is to leave out what has expired.

    Raises:
        RejectedError: an unknown or misshapen vector, NaN or infinity in it, limit < 1.
    """
    _check(search, dims)
    exact = size <= settings.exact_up_to if search.exact is None else search.exact
    body: Json = {
        "query": np.ascontiguousarray(search.vector, dtype=np.float32),
        "using": search.using,
        "limit": search.limit,
        "params": {"exact": True} if exact else {"hnsw_ef": settings.hnsw_ef},
        "with_payload": True,
    }
    live_at = search.live_at if sift else None
    condition = to_filter(search.filters, search.exclude, live_at)
    if condition is not None:
        body["filter"] = condition
    if search.with_vectors:
        body["with_vector"] = list(search.with_vectors)
    return body


def _check(search: Search, dims: Mapping[str, int]) -> None:
    dim = dims.get(search.using)
    if dim is None:
        raise RejectedError(
            f"there is no vector {search.using!r}",
            field="using",
            remedy=f"there are: {', '.join(sorted(dims))}",
        )
    if search.vector.shape != (dim,):
        raise RejectedError(
            f"the query has shape {list(search.vector.shape)}, {search.using!r} is [{dim}]",
            field="vector",
        )
    if not np.isfinite(search.vector).all():
        raise RejectedError("the query holds NaN or infinity", field="vector")
    if search.limit < 1:
        raise RejectedError(f"{search.limit} results", field="limit", remedy="ask for at least 1")


class Expiring:
    """In which collections expired items were met lately.

    A condition on every search would cost every search, and mostly nothing has expired: items
    are taken out soon after they have. So a search is first made without the condition, and
    again with it when one of its hits had expired.
    """

    def __init__(self) -> None:
        self._met_at: dict[str, float] = {}

    def met(self, collection: str) -> bool:
        """Whether to search with the condition at once."""
        return time.monotonic() - self._met_at.get(collection, float("-inf")) < SIFTED_FOR_S

    def meet(self, collection: str) -> None:
        """An expired item was found."""
        self._met_at[collection] = time.monotonic()


class Sizes:
    """About how many points each collection has, counted again every COUNT_FOR_S seconds."""

    def __init__(self, client: QdrantClient) -> None:
        self._client = client
        self._counts: dict[str, tuple[int, float]] = {}
        self._counting = threading.Lock()

    def of(self, collection: str) -> int:
        """The number; while one thread counts anew, the others take the one before."""
        held = self._counts.get(collection)
        now = time.monotonic()
        if held is not None and now - held[1] < COUNT_FOR_S:
            return held[0]
        if not self._counting.acquire(blocking=held is None):
            return held[0] if held is not None else 0
        try:
            found = self._client.count(collection, exact=False).count
            self._counts[collection] = (found, now)
            return found
        finally:
            self._counting.release()

    def forget(self, collection: str) -> None:
        """The collection is gone or made anew."""
        self._counts.pop(collection, None)
