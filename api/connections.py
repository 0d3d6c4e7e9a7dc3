"""What both Python clients send over: pools of connections, and a call as the pools take it.

httpx, of which this is the lower half, spends more time around a request than the request takes:
it parses the URL anew, merges headers, cookies and credentials, and follows redirects.
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import unquote, urlencode

import httpcore
import httpx

from api.calls import Call

MAX_CONNECTIONS = 100
MAX_IDLE = 20
IDLE_S = 5.0
LIMITS: dict[str, Any] = {
    "max_connections": MAX_CONNECTIONS,
    "max_keepalive_connections": MAX_IDLE,
    "keepalive_expiry": IDLE_S,
}
"""Of either pool; the service closes a connection only when it was idle for longer."""

FAILURES = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)
"""What a pool raises when there is no answer."""


class Service:
    """The API at one URL, which may hold a path before /v1 and credentials."""

    def __init__(self, url: str, api_key: str | None, timeout_s: float) -> None:
        self.url = httpx.URL(url)
        self._prefix = self.url.raw_path.rstrip(b"/")
        self._headers = [
            (b"Host", self.url.netloc),
            (b"Accept", b"application/json"),
            (b"User-Agent", b"firstlight"),
        ]
        if self.url.userinfo:
            told = base64.b64encode(unquote(self.url.userinfo.decode()).encode())
            self._headers.append((b"Authorization", b"Basic " + told))
        elif api_key:
            self._headers.append((b"Authorization", b"Bearer " + api_key.encode()))
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), timeout_s)
        self._extensions = {"timeout": timeouts}

    def request(self, call: Call[Any]) -> dict[str, Any]:
        """The arguments of a pool's `request`."""
        target = self._prefix + call.path.encode("ascii")
        if call.params:
            target += b"?" + urlencode(call.params).encode("ascii")
        headers = self._headers
        if call.body is not None:
            headers = [*headers, (b"Content-Type", call.content_type.encode("ascii"))]
        return {
            "method": call.method,
            "url": httpcore.URL(
                scheme=self.url.raw_scheme,
                host=self.url.raw_host,
                port=self.url.port,
                target=target,
            ),
            "headers": headers,
            "content": call.body,
            "extensions": self._extensions,
        }
