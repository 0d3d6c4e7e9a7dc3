"""The two calls that every item and every recommendation make: upsert and query.

Over HTTP their bodies are written and read by orjson, straight from float32 arrays: a quarter of
the processor time and half the bytes of qdrant-client's models, which print every float32 as a
float64. They go through qdrant-client's middleware and over its connections, but not through what
httpx does in between for browsers: cookies, redirects, hooks. A client without HTTP
(qdrant-client's local mode) is given the same JSON as models.
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

Json = dict[str, Any]

SUCCESS = frozenset({200, 201, 202})


class HotCalls(Protocol):
    """Upsert and query, in Qdrant's JSON with numpy arrays for vectors."""

    def upsert(self, collection: str, body: Json) -> None:
        """{"points": [...], "update_filter": {...}} and perhaps "update_mode"; returns when it
        is durable."""

    def query(self, collection: str, searches: Sequence[Json]) -> list[list[Json]]:
        """The scored points of each search, in order."""


def hot_calls(client: QdrantClient) -> HotCalls:
    """The quickest way that this client has."""
    try:
        return HttpCalls(client.http.client)
    except NotImplementedError:
        return ModelCalls(client)


class HttpCalls:
    """JSON bytes over qdrant-client's connections."""

    def __init__(self, http: ApiClient) -> None:
        self._http = http
        self._transport = http._client._transport_for_url(httpx.URL(http.host))
        self._urls: dict[tuple[str, str], httpx.URL] = {}
        self._headers = httpx.Headers(http._client.headers)
        self._headers["Content-Type"] = "application/json"

    def upsert(self, collection: str, body: Json) -> None:
        self._send("PUT", "/points?wait=true", collection, body)

    def query(self, collection: str, searches: Sequence[Json]) -> list[list[Json]]:
        if len(searches) == 1:
            return [self._send("POST", "/points/query", collection, searches[0])["points"]]
        answers = self._send("POST", "/points/query/batch", collection, {"searches": searches})
        return [answer["points"] for answer in answers]

    def _send(self, method: str, path: str, collection: str, body: Json) -> Any:
        request = httpx.Request(
            method,
            self._url(path, collection),
            headers=self._headers,
            content=orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY),
        )
        response = self._http.middleware(request, self._exchange)
        if response.status_code not in SUCCESS:
            raise UnexpectedResponse.for_response(response)
        answer = orjson.loads(response.content)
        if not isinstance(answer, dict) or "result" not in answer:
            raise ResponseHandlingException(ValueError(f"no result in {answer}"))
        return answer["result"]

    def _exchange(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self._transport.handle_request(request)
            response.read()
        except httpx.HTTPError as error:
            raise ResponseHandlingException(error) from error
        return response

    def _url(self, path: str, collection: str) -> httpx.URL:
        """Parsing a URL and merging it with the client's takes as long as printing the body."""
        found = self._urls.get((path, collection))
        if found is None:
            host = self._http.host.rstrip("/")
            found = httpx.URL(f"{host}/collections/{quote(collection, safe='')}{path}")
            self._urls[path, collection] = found
        return found


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
