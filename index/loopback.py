"""JSON over plain HTTP connections to a store on this machine.

On the way to a neighbour process an HTTP client's proxies, redirects, cookies and TLS do nothing,
and cost more than a small query does. A socket and llhttp, Node's parser, are what is left.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx
from httptools import HttpParserError, HttpResponseParser
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

SUCCESS = frozenset({200, 201, 202})
READ_BYTES = 2**16


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
        self._address = (at.hostname or "", at.port or 80)
        self._prefix = at.path.rstrip("/")
        lines = {"Host": at.netloc, **headers, "Content-Type": "application/json"}
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._timeout_s = timeout_s
        self._keepalive_s = keepalive_s
        self._idle: deque[tuple[Connection, float]] = deque()

    def send(self, method: str, path: str, body: bytes) -> bytes:
        """The content of the answer.

        A request on a connection that the server gave up meanwhile is sent once more, on a new
        one: every call of the store may be repeated, writes are conditional on versions.

        Raises:
            ResponseHandlingException: no answer; `source` says why.
            UnexpectedResponse: any answer but a success.
        """
        head = (
            f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._headers}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        request = head.encode("latin-1") + body
        connection = self._kept()
        try:
            if connection is not None:
                try:
                    return self._exchange(connection, request)
                except (ConnectionError, HttpParserError):
                    connection.close()
            connection = Connection(self._address, self._timeout_s)
            return self._exchange(connection, request)
        except (OSError, HttpParserError) as error:
            if connection is not None:
                connection.close()
            raise ResponseHandlingException(error) from error

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            connection, _ = self._idle.pop()
            connection.close()

    def _kept(self) -> Connection | None:
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

    def _exchange(self, connection: Connection, request: bytes) -> bytes:
        answer = connection.exchange(request)
        if answer.keep_alive:
            self._idle.append((connection, time.monotonic()))
        else:
            connection.close()
        if answer.status in SUCCESS:
            return answer.content
        raise UnexpectedResponse(
            answer.status, _phrase(answer.status), answer.content, httpx.Headers(answer.headers)
        )


class Connection:
    """One socket, one request at a time."""

    def __init__(self, address: tuple[str, int], timeout_s: float) -> None:
        self._socket = socket.create_connection(address, timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, request: bytes) -> Answer:
        """Send, and read the answer to its end.

        Raises:
            OSError: the other side hung up before that end, or said nothing for too long.
            HttpParserError: what it said is not HTTP.
        """
        self._socket.sendall(request)
        answer = Answer()
        while not answer.complete:
            received = self._socket.recv(READ_BYTES)
            if not received:
                raise ConnectionResetError("the connection was closed before the answer's end")
            answer.parser.feed_data(received)
        return answer

    def close(self) -> None:
        """End it."""
        self._socket.close()


class Answer:
    """One answer as it arrives; the methods are what the parser calls."""

    def __init__(self) -> None:
        self.parser = HttpResponseParser(self)
        self.complete = False
        self.keep_alive = False
        """Whether the connection may be used again."""
        self.headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []

    @property
    def status(self) -> int:
        """The status code."""
        status: int = self.parser.get_status_code()
        return status

    @property
    def content(self) -> bytes:
        """The body."""
        return b"".join(self._parts)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, whole."""
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The body comes next, if there is one."""
        self.keep_alive = self.parser.should_keep_alive()

    def on_body(self, part: bytes) -> None:
        """A part of the body."""
        self._parts.append(part)

    def on_message_complete(self) -> None:
        """Nothing more comes."""
        self.complete = True


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
