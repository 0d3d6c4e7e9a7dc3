"""The two calls that every item and every recommendation make: upsert and query.

Over HTTP their bodies are written and read by orjson, straight from float32 arrays: a quarter of
the processor time and half the bytes of qdrant-client's models, which print every float32 as a
float64. They go through qdrant-client's HTTP layer, or, to a store on this machine, over plain
connections. A client without HTTP (qdrant-client's local mode) is given the same JSON as models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import quote

import httpx
import orjson
from qdrant_client import QdrantClient, models
from qdrant_client.http import ApiClient
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from domain.setting_groups import IndexSettings
from index.connection import KEEPALIVE_S, is_loopback
from index.loopback import SUCCESS, Loopback

Json = dict[str, Any]


class HotCalls(Protocol):
    """Upsert and query, in Qdrant's JSON with numpy arrays for vectors."""

    def upsert(self, collection: str, body: Json) -> None:
        """{"points": [...], "update_filter": {...}} and perhaps "update_mode"; returns when it
        is durable."""

    def query(self, collection: str, searches: Sequence[Json]) -> list[list[Json]]:
        """The scored points of each search, in order."""

    def close(self) -> None:
        """Close connections other than the client's."""


def hot_calls(client: QdrantClient, settings: IndexSettings) -> HotCalls:
    """The quickest way that this client has."""
    try:
        http = client.http.client
    except NotImplementedError:
        return ModelCalls(client)
    if http.host.startswith("http:") and is_loopback(http.host):
        headers = {"User-Agent": http._client.headers["User-Agent"]}
        key = http._client.headers.get("api-key")
        if key is not None:
            headers["api-key"] = key
        return HttpCalls(
            Loopback(http.host, headers, timeout_s=settings.timeout_s, keepalive_s=KEEPALIVE_S)
        )
    return HttpCalls(ThroughClient(http))


class Wire(Protocol):
    """Sends JSON and gives back the content of the answer."""

    def send(self, method: str, path: str, body: bytes) -> bytes:
        """Raises ResponseHandlingException without an answer, UnexpectedResponse if it is no
        success."""

    def close(self) -> None:
        """Close its own connections."""


class ThroughClient:
    """Over qdrant-client's connections, through its middleware."""

    def __init__(self, http: ApiClient) -> None:
        self._http = http
        self._urls: dict[str, httpx.URL] = {}
        self._headers = httpx.Headers(http._client.headers)
        self._headers["Content-Type"] = "application/json"

    def send(self, method: str, path: str, body: bytes) -> bytes:
        request = httpx.Request(method, self._url(path), headers=self._headers, content=body)
        answer: httpx.Response = self._http.middleware(request, self._http.send_inner)
        if answer.status_code not in SUCCESS:
            raise UnexpectedResponse.for_response(answer)
        return answer.content

    def close(self) -> None:
        """Nothing: the client closes them."""

    def _url(self, path: str) -> httpx.URL:
        """Parsing a URL and merging it with the client's takes as long as printing the body."""
        found = self._urls.get(path)
        if found is None:
            found = self._urls[path] = httpx.URL(self._http.host.rstrip("/") + path)
        return found


class HttpCalls:
    """JSON bytes over a wire."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def upsert(self, collection: str, body: Json) -> None:
        self._send("PUT", "/points?wait=true", collection, body)

    def query(self, collection: str, searches: Sequence[Json]) -> list[list[Json]]:
        if len(searches) == 1:
            return [self._send("POST", "/points/query", collection, searches[0])["points"]]
        answers = self._send("POST", "/points/query/batch", collection, {"searches": searches})
        return [answer["points"] for answer in answers]

    def close(self) -> None:
        self._wire.close()

    def _send(self, method: str, path: str, collection: str, body: Json) -> Any:
        content = self._wire.send(
            method,
            f"/collections/{quote(collection, safe='')}{path}",
            orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY),
        )
        answer = orjson.loads(content)
        if not isinstance(answer, dict) or "result" not in answer:
            raise ResponseHandlingException(ValueError(f"no result in {answer}"))
        return answer["result"]


class ModelCalls:
    """The same through qdrant-client's models."""

    def __init__(self, client: QdrantClient) -> None:
        self._client = client

    def upsert(self, collection: str, body: Json) -> None:
        made = models.PointsList.model_validate(body)
        self._client.upsert(
            collection,
            made.points,
            update_filter=made.update_filter,
            update_mode=made.update_mode,
        )

    def query(self, collection: str, searches: Sequence[Json]) -> list[list[Json]]:
        requests = [
            models.QueryRequest.model_validate({**search, "query": search["query"].tolist()})
            for search in searches
        ]
        answers = self._client.query_batch_points(collection, requests)
        return [[point.model_dump() for point in answer.points] for answer in answers]

    def close(self) -> None:
        """Nothing: the client closes its own."""
