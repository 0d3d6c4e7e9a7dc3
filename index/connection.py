"""A qdrant-client to a URL: pooled, bounded in time, and patient with a restarted server."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException

from domain.settings import Settings

KEEPALIVE_S = 4.0
"""Shorter than the 5 s after which both uvicorn and Qdrant close an idle connection."""

CONNECTIONS = 128


def is_loopback(url: str) -> bool:
    """Whether the URL names this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def client_for(settings: Settings) -> QdrantClient:
    """A thread-safe REST client; nothing is sent yet."""
    url = settings.index_url
    local = is_loopback(url)
    key = settings.index.api_key
    secret = key.get_secret_value() if key is not None else None
    client = QdrantClient(
        url=url,
        # Over loopback a key in clear needs no warning, which only `api_key` gives.
        api_key=None if local else secret,
        headers={"api-key": secret} if local and secret else None,
        check_compatibility=False,
        limits=httpx.Limits(
            max_connections=CONNECTIONS,
            max_keepalive_connections=CONNECTIONS,
            keepalive_expiry=KEEPALIVE_S,
        ),
        # A proxy from the environment is for the outside world.
        trust_env=not local,
    )
    client.http.client.add_middleware(_bounded(settings.index.timeout_s))
    return client


def _bounded(
    timeout_s: float,
) -> Callable[[httpx.Request, Callable[[httpx.Request], httpx.Response]], httpx.Response]:
    timeouts = httpx.Timeout(timeout_s).as_dict()

    def send(
        request: httpx.Request, call_next: Callable[[httpx.Request], httpx.Response]
    ) -> httpx.Response:
        request.extensions["timeout"] = timeouts
        try:
            return call_next(request)
        except ResponseHandlingException as error:
            # The server closed an idle connection as it was being reused, or was restarted.
            # Every call of the store may be repeated: writes are conditional on versions.
            if not isinstance(error.source, httpx.RemoteProtocolError | httpx.ReadError):
                raise
            return call_next(request)

    return send
