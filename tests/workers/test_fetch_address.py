"""Only public unicast addresses are fetched from, however they are spelled."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from domain.errors import PermanentError, RejectedError
from workers.fetch_address import AddressPolicy, refusal


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("127.0.0.1", "a loopback address"),
        ("127.255.0.9", "a loopback address"),
        ("0.0.0.0", "an unspecified address"),
        ("10.1.2.3", "a private address"),
        ("172.16.0.1", "a private address"),
        ("172.31.255.255", "a private address"),
        ("192.168.1.1", "a private address"),
        ("169.254.0.1", "a link-local address"),
        ("169.254.169.254", "a cloud metadata address"),
        ("168.63.129.16", "a cloud metadata address"),
        ("100.100.100.200", "a cloud metadata address"),
        ("192.0.0.192", "a cloud metadata address"),
        ("fd00:ec2::254", "a cloud metadata address"),
        ("100.64.0.1", "a carrier-grade NAT address"),
        ("224.0.1.1", "a multicast address"),
        ("239.255.255.255", "a multicast address"),
        ("255.255.255.255", "a broadcast address"),
        ("240.0.0.1", "a reserved address"),
        ("192.0.0.8", "a reserved address"),
        ("192.0.2.1", "a reserved address"),
        ("198.18.0.1", "a reserved address"),
        ("198.51.100.1", "a reserved address"),
        ("203.0.113.1", "a reserved address"),
        ("192.88.99.1", "a reserved address"),
        ("::", "an unspecified address"),
        ("::1", "a loopback address"),
        ("::127.0.0.1", "an IPv4-compatible address"),
        ("::ffff:127.0.0.1", "an IPv4-mapped address"),
        ("::ffff:8.8.8.8", "an IPv4-mapped address"),
        ("::ffff:0:127.0.0.1", "an IPv4-translated address"),
        ("64:ff9b::7f00:1", "a NAT64 address"),
        ("64:ff9b:1::a00:1", "a NAT64 address"),
        ("2002:7f00:1::", "a 6to4 address"),
        ("2001:0:1::1", "a Teredo address"),
        ("fe80::1", "a link-local address"),
        ("fe80::1%1", "a link-local address"),
        ("fec0::1", "a site-local address"),
        ("fc00::1", "a private address"),
        ("fd12:3456::1", "a private address"),
        ("ff02::1", "a multicast address"),
        ("2001:db8::1", "a reserved address"),
        ("3fff::1", "a reserved address"),
        ("5f00::1", "a reserved address"),
        ("100::1", "a reserved address"),
    ],
)
def test_addresses_that_lead_inside_are_refused_by_name(address: str, what: str) -> None:
    assert refusal(ip_address(address)) == what


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "172.32.0.1", "2606:2800:220:1::1", "2a00:1450::1"]
)
def test_public_addresses_pass(address: str) -> None:
    assert refusal(ip_address(address)) is None


def test_one_private_address_among_public_ones_refuses_the_name() -> None:
    with pytest.raises(PermanentError, match=r"media\.example resolves to 10\.0\.0\.5, a private"):
        AddressPolicy().checked("media.example", 443, ["93.184.216.34", "10.0.0.5"])


@pytest.mark.parametrize(
    ("entry", "host", "port", "passes"),
    [
        ("media.internal", "media.internal", 80, True),
        ("Media.Internal.", "media.internal", 8080, True),
        ("media.internal", "MEDIA.internal.", 80, True),
        ("media.internal:8080", "media.internal", 8080, True),
        ("media.internal:8080", "media.internal", 80, False),
        ("media.internal", "x.media.internal", 80, False),
        ("[::1]:9000", "::1", 9000, True),
        ("[::1]:9000", "::1", 9001, False),
        ("::1", "::1", 9001, True),
    ],
)
def test_an_exception_holds_for_its_host_and_port_alone(
    entry: str, host: str, port: int, passes: bool
) -> None:
    assert AddressPolicy([entry]).excepted(host, port) is passes


@pytest.mark.parametrize("entry", ["", "http://host/", "host:http", ":80"])
def test_an_exception_that_is_no_host_stops_the_start(entry: str) -> None:
    with pytest.raises(RejectedError, match="FIRSTLIGHT_FETCH_ALLOW_PRIVATE"):
        AddressPolicy([entry])
