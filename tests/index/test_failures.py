"""A store that does not answer, answers late, or refuses: which kind of error, what to do."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from domain.errors import FirstlightError, PermanentError, RetryableError
from index import ItemIndex
from tests.fixtures.stores import settings_for, vector


class Answers(ThreadingHTTPServer):
    """Answers every request as told."""

    daemon_threads = True
    status = 200
    body = b"{}"
    wait_s = 0.0
    drops = 0
    asked = 0
    keys: tuple[str, ...] = ()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Answers

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked += 1
        self.server.keys += (self.headers.get("api-key", ""),)
        if self.server.drops:
            self.server.drops -= 1
            self.close_connection = True
            return
        time.sleep(self.server.wait_s)
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        with contextlib.suppress(BrokenPipeError):
            self.end_headers()
            self.wfile.write(self.server.body)

    do_GET = do_POST = do_PUT = answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[Answers]:
    server = Answers(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def open_to(server: Answers, **index: Any) -> ItemIndex:
    return ItemIndex.connect(settings_for(url_of(server), **index))


def url_of(server: Answers) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def failure(store: ItemIndex) -> FirstlightError:
    with pytest.raises(FirstlightError) as error:
        store.query("items", vector(1, 12), limit=1)
    store.close()
    return error.value


def test_a_store_that_is_not_there_is_named_with_its_setting() -> None:
    with Answers(("127.0.0.1", 0), _Handler) as server:
        url = url_of(server)
    error = failure(ItemIndex.connect(settings_for(url)))
    assert isinstance(error, RetryableError)
    assert url in error.message
    assert "FIRSTLIGHT_INDEX_URL" in error.remedy


def test_a_store_that_answers_late_is_given_up_in_time(server: Answers) -> None:
    server.wait_s = 2.0
    error = failure(open_to(server, timeout_s=0.2))
    assert isinstance(error, RetryableError)
    assert "did not answer in time" in error.message
    assert "FIRSTLIGHT_INDEX_TIMEOUT_S" in error.remedy


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (400, PermanentError, "Wrong input"),
        (401, RetryableError, "FIRSTLIGHT_INDEX_API_KEY"),
        (403, RetryableError, "FIRSTLIGHT_INDEX_API_KEY"),
        (404, RetryableError, "firstlight reindex"),
        (429, RetryableError, "try later"),
        (500, RetryableError, "try later"),
        (503, RetryableError, "try later"),
    ],
)
def test_a_refusal_is_of_the_kind_that_the_pipeline_acts_on(
    server: Answers, status: int, kind: type[FirstlightError], said: str
) -> None:
    server.status = status
    server.body = b'{"status": {"error": "Wrong input"}, "time": 0.1}'
    error = failure(open_to(server))
    assert type(error) is kind or status == 404
    assert isinstance(error, kind)
    assert said in str(error)
    assert "Wrong input" in str(error)


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"{}", b"[]", b'{"result": {}}'])
def test_something_else_that_listens_there_is_not_taken_for_qdrant(
    server: Answers, body: bytes
) -> None:
    server.body = body
    error = failure(open_to(server))
    assert isinstance(error, RetryableError)
    assert "FIRSTLIGHT_INDEX_URL" in error.remedy


def test_a_connection_closed_by_a_restart_is_opened_again(server: Answers) -> None:
    store = open_to(server)
    server.body = b'{"title": "qdrant", "version": "1.17.0"}'
    store.ping()
    server.drops = 1
    store.ping()
    assert server.asked == 3
    store.close()


def test_a_server_too_old_for_conditional_writes_is_refused(server: Answers) -> None:
    store = open_to(server)
    server.body = b'{"title": "qdrant", "version": "1.15.2"}'
    with pytest.raises(RetryableError, match=r"1\.17"):
        store.ping()
    store.close()


def test_the_key_goes_with_every_call(server: Answers) -> None:
    store = open_to(server, api_key="secret")
    server.body = b'{"title": "qdrant", "version": "1.17.0"}'
    store.ping()
    assert server.keys == ("secret",)
    store.close()


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    server: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    store = open_to(server)
    server.body = b'{"title": "qdrant", "version": "1.17.0"}'
    store.ping()
    store.close()
