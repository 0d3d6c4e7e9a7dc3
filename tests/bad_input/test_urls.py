"""URLs that lead inside, and hosts that keep a worker waiting."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.fixtures.media_server import Request

from .conftest import IMAGE_BYTES, TIMEOUT_S, Counter

INSIDE_NAME = "pictures.corp.example"


@pytest.fixture
def name_that_leads_inside(monkeypatch: pytest.MonkeyPatch) -> str:
    """A name that the machine's resolver answers with a private address."""
    look_up = socket.getaddrinfo

    def answer(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host == INSIDE_NAME:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.1.2.3", port))]
        return look_up(host, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return INSIDE_NAME


def told(counter: Counter, name: str, reference: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """An item that is nothing but this picture, and one that has a title, too, worked off."""
    bare = {"id": f"bare {name}", "media": {"images": [reference]}}
    titled = {"id": f"titled {name}", "title": "words", "media": {"images": [reference]}}
    case = counter.publish(
        {"type": "item.created", "data": bare}, {"type": "item.created", "data": titled}
    )
    dead, indexed = counter.item(str(bare["id"])), counter.item(str(titled["id"]))
    assert (dead["state"], indexed["state"]) == ("dead", "indexed")
    assert titled["id"] in counter.ranked(case.number)
    for record in (dead, indexed):
        (failure,) = record["failures"]
        assert failure["field"] == "media.images[0]"
    assert "media.images[0]" in dead["reason"]
    return dead, indexed


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1:{port}/a.png", "a loopback address"),
        ("http://localhost:{port}/a.png", "a loopback address"),
        ("http://2130706433:{port}/a.png", "a loopback address"),
        ("http://[::1]:{port}/a.png", "a loopback address"),
        ("http://10.0.0.7/a.png", "a private address"),
        ("https://192.168.1.1/a.png", "a private address"),
        ("http://169.254.169.254/latest/meta-data/", "a cloud metadata address"),
        ("http://pictures.corp.example/a.png", "resolves to 10.1.2.3, a private address"),
    ],
)
def test_a_url_that_leads_inside_is_refused_and_nothing_is_connected_to(
    counter: Counter, name_that_leads_inside: str, url: str, says: str
) -> None:
    reference = url.format(port=counter.inside.port)
    dead, indexed = told(counter, reference, reference)
    assert says in dead["reason"]
    assert "FIRSTLIGHT_FETCH_ALLOW_PRIVATE" in dead["reason"]
    assert says in indexed["failures"][0]["message"]
    assert (dead["attempts"], indexed["attempts"]) == (1, 1)
    assert counter.inside.requests == []


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:{port}/a.png", "http://10.0.0.7/", "http://pictures.corp.example/"]
)
def test_a_redirect_that_leads_inside_is_refused_and_not_followed(
    counter: Counter, name_that_leads_inside: str, target: str
) -> None:
    location = target.format(port=counter.inside.port)
    path = f"/moved-{target[7:10]}.png"
    reference = counter.host.serve(path, b"", status="302 Found", Location=location)
    dead, _ = told(counter, reference, reference)
    assert "resolves to" in dead["reason"]
    assert "FIRSTLIGHT_FETCH_ALLOW_PRIVATE" in dead["reason"]
    assert counter.host.seen[path] >= 1
    assert counter.inside.requests == []


Handler = Callable[[socket.socket, Request], None]


def never_answers(counter: Counter) -> Handler:
    return lambda connection, request: counter.host.stopped.wait(5 * TIMEOUT_S) and None


def drips_forever(counter: Counter) -> Handler:
    def handler(connection: socket.socket, request: Request) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n\x89PNG\r\n\x1a\n")
        while not counter.host.stopped.wait(0.02):
            connection.sendall(b"x")

    return handler


def pours_forever(counter: Counter) -> Handler:
    def handler(connection: socket.socket, request: Request) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n\x89PNG\r\n\x1a\n")
        while not counter.host.stopped.is_set():
            connection.sendall(b"x" * 65536)

    return handler


@pytest.mark.parametrize(
    ("behaviour", "attempts", "says", "remedy"),
    [
        (never_answers, 2, f"did not deliver within {TIMEOUT_S:g} s", "_FETCH_TIMEOUT_S"),
        (drips_forever, 2, f"did not deliver within {TIMEOUT_S:g} s", "_FETCH_TIMEOUT_S"),
        (pours_forever, 1, f"the limit of {IMAGE_BYTES:,} bytes", "_FETCH_IMAGE_BYTES"),
    ],
)
def test_a_host_that_keeps_a_worker_waiting_costs_a_bounded_time(
    counter: Counter, behaviour: Callable[..., Handler], attempts: int, says: str, remedy: str
) -> None:
    """A host that is silent is tried again, for it may recover; at last the item does without."""
    name = behaviour.__name__
    # Under another name than the well-behaved files, for a host that is silent is left alone.
    reference = counter.host.url(f"/{name}", host="localhost")
    counter.host.routes[f"/{name}"] = behaviour(counter)
    dead, indexed = told(counter, name, reference)
    assert says in dead["reason"]
    assert remedy in dead["reason"]
    assert says in indexed["failures"][0]["message"]
    assert (dead["attempts"], indexed["attempts"]) == (attempts, attempts)
