"""Calls as the clients' connections take them."""

from __future__ import annotations

import httpcore
import pytest

from api import calls
from api.client import FirstlightClient
from api.connections import Service
from domain.errors import RetryableError


def test_a_call_is_sent_below_the_path_of_the_url() -> None:
    request = Service("https://example.org/ranked/", None, 5.0).request(
        calls.items(state="dead", limit=10, after="a b/ä")
    )
    url: httpcore.URL = request["url"]
    assert (url.scheme, url.host, url.port) == (b"https", b"example.org", None)
    assert url.target == b"/ranked/v1/items?limit=10&state=dead&after=a+b%2F%C3%A4"
    assert request["method"] == "GET"
    assert request["content"] is None
    assert b"Content-Type" not in dict(request["headers"])


def test_a_body_goes_with_its_type_and_its_key() -> None:
    headers = Service("http://127.0.0.1:7300", "secret", 5.0).request(calls.upload(b"x"))["headers"]
    assert dict(headers)[b"Content-Type"] == b"application/octet-stream"
    assert dict(headers)[b"Authorization"] == b"Bearer secret"
    assert dict(headers)[b"Host"] == b"127.0.0.1:7300"


@pytest.mark.parametrize(
    ("url", "host", "name"),
    [
        ("http://[::1]:7300", b"::1", b"[::1]:7300"),
        ("http://bücher.example", b"xn--bcher-kva.example", b"xn--bcher-kva.example"),
    ],
)
def test_hosts_that_need_more_than_ascii_letters_are_reached(
    url: str, host: bytes, name: bytes
) -> None:
    request = Service(url, None, 5.0).request(calls.status())
    assert request["url"].host == host
    assert dict(request["headers"])[b"Host"] == name


def test_credentials_of_the_url_are_sent_as_such() -> None:
    request = Service("http://ada:p%40ss@example.org", None, 5.0).request(calls.status())
    headers = dict(request["headers"])
    assert headers[b"Authorization"] == b"Basic YWRhOnBAc3M="
    assert headers[b"Host"] == b"example.org"


def test_every_request_is_bounded_in_time() -> None:
    request = Service("http://example.org", None, 5.0).request(calls.status())
    assert request["extensions"]["timeout"] == {
        "connect": 5.0,
        "read": 5.0,
        "write": 5.0,
        "pool": 5.0,
    }


def test_a_url_without_a_scheme_is_no_answer() -> None:
    with FirstlightClient("example.org") as client, pytest.raises(RetryableError, match="protocol"):
        client.status()
