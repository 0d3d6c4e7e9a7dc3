"""Plain connections to a store on this machine, against a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from domain.errors import PermanentError, RetryableError
from index.failures import translated
from index.loopback import Loopback
from tests.fixtures.system import free_port

ODD_ANSWERS = {
    "pieces": [
        b"HTTP/1.1 200 OK\r\nTransfer-",
        b"Encoding: chunked\r\n\r\n4\r\nin p",
        b"\r\n5\r\nieces\r\n",
        b"0\r\n\r\n",
    ],
    "last": [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlast"],
    "cut-off": [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"],
    "not-http": [b"220 mail.example ESMTP\r\n"],
}


class Echo(BaseHTTPRequestHandler):
    """Answers with what was sent, from which port, and with which key."""

    protocol_version = "HTTP/1.1"
    silent = threading.Event()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/hang-up"):
            self.close_connection = True
            return
        if self.path.endswith("/wait"):
            self.silent.wait(10)
        if self.path.endswith(("/pieces", "/cut-off", "/not-http", "/last")):
            self._speak(ODD_ANSWERS[self.path.rpartition("/")[2]])
            return
        refused = self.path.endswith("/refused")
        told = (
            b'{"status": {"error": "no such thing"}}'
            if refused
            else b"%s %d %s" % (body, self.client_address[1], self.headers["api-key"].encode())
        )
        self.send_response(400 if refused else 200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)
        if self.path.endswith("/once"):  # and closes without having said so
            self.close_connection = True

    def _speak(self, pieces: Sequence[bytes]) -> None:
        """Piece by piece, and then nothing more on this connection."""
        self.close_connection = True
        for piece in pieces:
            self.wfile.write(piece)
            self.wfile.flush()
            time.sleep(0.02)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """Of a server that echoes."""
    Echo.silent.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/prefix"
        Echo.silent.set()
        server.shutdown()
        thread.join()


def wire_to(url: str, *, timeout_s: float = 5.0, keepalive_s: float = 4.0) -> Loopback:
    return Loopback(url, {"api-key": "k"}, timeout_s=timeout_s, keepalive_s=keepalive_s)


@pytest.fixture
def wire(url: str) -> Iterator[Loopback]:
    """To that server; closed afterwards."""
    found = wire_to(url)
    yield found
    found.close()


def port_of(answer: bytes) -> bytes:
    body, port, key = answer.split()
    assert (body, key) == (b"asked", b"k")
    return port


def test_one_connection_serves_call_after_call(wire: Loopback) -> None:
    ports = {port_of(wire.send("POST", "/echo", b"asked")) for _ in range(5)}
    assert len(ports) == 1


def test_calls_at_once_have_connections_of_their_own(wire: Loopback) -> None:
    together = threading.Barrier(4)

    def call(number: int) -> bytes:
        together.wait(10)
        return wire.send("POST", "/echo", b"%d" % number).split()[0]

    with ThreadPoolExecutor(4) as threads:
        for _ in range(20):
            assert list(threads.map(call, range(4))) == [b"0", b"1", b"2", b"3"]


def test_a_connection_that_the_server_closed_is_replaced(wire: Loopback) -> None:
    before = port_of(wire.send("POST", "/once", b"asked"))
    assert port_of(wire.send("POST", "/echo", b"asked")) != before


def test_a_connection_that_was_idle_too_long_is_not_used_again(url: str) -> None:
    wire = wire_to(url, keepalive_s=0.0)
    ports = {port_of(wire.send("POST", "/echo", b"asked")) for _ in range(3)}
    wire.close()
    assert len(ports) == 3


def test_a_refusal_is_told_with_its_reason_and_keeps_the_connection(wire: Loopback) -> None:
    before = port_of(wire.send("POST", "/echo", b"asked"))
    with pytest.raises(UnexpectedResponse) as refused:
        wire.send("POST", "/refused", b"{}")
    assert refused.value.status_code == 400
    with pytest.raises(PermanentError, match="no such thing"), translated("the URL"):
        wire.send("POST", "/refused", b"{}")
    assert port_of(wire.send("POST", "/echo", b"asked")) == before


@pytest.mark.parametrize(
    ("path", "reason"), [("/hang-up", "does not answer"), ("/wait", "did not answer in time")]
)
def test_no_answer_is_said_so_and_harms_no_later_call(url: str, path: str, reason: str) -> None:
    wire = wire_to(url, timeout_s=0.3)
    with pytest.raises(RetryableError, match=reason), translated(url):
        wire.send("POST", path, b"{}")
    assert wire.send("POST", "/echo", b"asked").startswith(b"asked")
    wire.close()


@pytest.mark.parametrize(("path", "content"), [("/pieces", b"in pieces"), ("/last", b"last")])
def test_an_answer_is_whole_however_it_arrives(wire: Loopback, path: str, content: bytes) -> None:
    for _ in range(2):
        assert wire.send("POST", path, b"{}") == content


@pytest.mark.parametrize(
    ("path", "reason"), [("/cut-off", "does not answer"), ("/not-http", "what Qdrant would not")]
)
def test_half_an_answer_and_another_protocol_are_told_apart(
    wire: Loopback, path: str, reason: str
) -> None:
    with pytest.raises(RetryableError, match=reason), translated("the URL"):
        wire.send("POST", path, b"{}")
    assert wire.send("POST", "/echo", b"asked").startswith(b"asked")


def test_where_nobody_listens_the_remedy_names_the_setting() -> None:
    wire = wire_to(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ResponseHandlingException):
        wire.send("POST", "/echo", b"{}")
    with pytest.raises(RetryableError) as failed, translated("the URL"):
        wire.send("POST", "/echo", b"{}")
    assert "FIRSTLIGHT_INDEX_URL" in failed.value.remedy
