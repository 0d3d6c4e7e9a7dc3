"""JSON over plain HTTP connections to a store on this machine.

On the way to a neighbour process an HTTP client's proxies, redirects, cookies and TLS do nothing,
and cost more than a small query does. http.client is what is left without them.
"""

from __future__ import annotations

import http.client
import time
from collections import deque
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

SUCCESS = frozenset({200, 201, 202})


class Loopback:
    """Thread-safe. Keeps as many connections as were ever in use at once.

    Args:
        url: http://HOST[:PORT][/PREFIX].
        headers: sent with every request.
        timeout_s: of connecting, and of every wait for the other side.
        keepalive_s: a connection that was idle for longer is not used again; shorter than what
            the server waits.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], *, timeout_s: float, keepalive_s: float
    ) -> None:
        at = urlsplit(url)
        self._address = (at.hostname or "", at.port)
        self._prefix = at.path.rstrip("/")
        self._headers = {**headers, "Content-Type": "application/json"}
        self._timeout_s = timeout_s
        self._keepalive_s = keepalive_s
        self._idle: deque[tuple[http.client.HTTPConnection, float]] = deque()

    def send(self, method: str, path: str, body: bytes) -> bytes:
        """The content of the answer.

        A request on a connection that the server gave up meanwhile is sent once more, on a new
        one: every call of the store may be repeated, writes are conditional on versions.

        Raises:
            ResponseHandlingException: no answer; `source` says why.
            UnexpectedResponse: any answer but a success.
        """
        connection = self._kept()
        try:
            if connection is not None:
                try:
                    return self._exchange(connection, method, path, body)
                except (ConnectionError, http.client.HTTPException):
                    connection.close()
            connection = http.client.HTTPConnection(*self._address, timeout=self._timeout_s)
            return self._exchange(connection, method, path, body)
        except (OSError, http.client.HTTPException) as error:
            if connection is not None:
                connection.close()
            raise ResponseHandlingException(error) from error

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            connection, _ = self._idle.pop()
            connection.close()

    def _kept(self) -> http.client.HTTPConnection | None:
        """The one that was used last, if that was just now."""
        try:
            connection, used_at = self._idle.pop()
        except IndexError:
            return None
        if time.monotonic() - used_at < self._keepalive_s:
            return connection
        connection.close()
        self.close()  # those below it are idle for longer
        return None

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes
    ) -> bytes:
        connection.request(method, self._prefix + path, body, self._headers)
        answer = connection.getresponse()
        content = answer.read()
        self._idle.append((connection, time.monotonic()))
        if answer.status in SUCCESS:
            return content
        raise UnexpectedResponse(
            answer.status, answer.reason, content, httpx.Headers(answer.getheaders())
        )
