"""Which network addresses media may be fetched from.

A publisher names the URL, the worker sits inside the operator's network: whatever is not a
public unicast address is refused, whichever way its name is spelled, because the check is made
on the numbers a name resolves to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from domain.errors import PermanentError, RejectedError

Address = IPv4Address | IPv6Address

REMEDY = (
    "publish the file under a public address, upload it with POST /v1/uploads, or have the"
    " operator allow the host with FIRSTLIGHT_FETCH_ALLOW_PRIVATE"
)

_NAMED: tuple[tuple[IPv4Network | IPv6Network, str], ...] = tuple(
    (ip_network(block), what)
    for block, what in (
        ("169.254.169.254/32", "a cloud metadata address"),
        ("169.254.170.0/24", "a cloud metadata address"),
        ("100.100.100.200/32", "a cloud metadata address"),
        ("168.63.129.16/32", "a cloud metadata address"),
        ("192.0.0.192/32", "a cloud metadata address"),
        ("fd00:ec2::/32", "a cloud metadata address"),
        ("0.0.0.0/8", "an unspecified address"),
        ("127.0.0.0/8", "a loopback address"),
        ("169.254.0.0/16", "a link-local address"),
        ("100.64.0.0/10", "a carrier-grade NAT address"),
        ("10.0.0.0/8", "a private address"),
        ("172.16.0.0/12", "a private address"),
        ("192.168.0.0/16", "a private address"),
        ("224.0.0.0/4", "a multicast address"),
        ("255.255.255.255/32", "a broadcast address"),
        ("192.0.0.0/24", "a reserved address"),
        ("192.88.99.0/24", "a reserved address"),
        ("::/128", "an unspecified address"),
        ("::1/128", "a loopback address"),
        ("::ffff:0:0/96", "an IPv4-mapped address"),
        ("::ffff:0:0:0/96", "an IPv4-translated address"),
        ("::/96", "an IPv4-compatible address"),
        ("64:ff9b::/96", "a NAT64 address"),
        ("64:ff9b:1::/48", "a NAT64 address"),
        ("2002::/16", "a 6to4 address"),
        ("2001::/32", "a Teredo address"),
        ("fe80::/10", "a link-local address"),
        ("fec0::/10", "a site-local address"),
        ("fc00::/7", "a private address"),
        ("ff00::/8", "a multicast address"),
        ("3fff::/20", "a reserved address"),
    )
)
_GLOBAL_IPV6 = ip_network("2000::/3")


def refusal(address: Address) -> str | None:
    """What kind of address this is, when it is one that is not fetched from; None if public."""
    for block, what in _NAMED:
        if address.version == block.version and address in block:
            return what
    unassigned = address.version == 6 and address not in _GLOBAL_IPV6
    if unassigned or address.is_reserved or not address.is_global:
        return "a reserved address"
    return None


class AddressPolicy:
    """Public addresses only, apart from hosts that the operator excepts by name.

    Args:
        allow_private: HOST or HOST:PORT (an IPv6 address in brackets), compared with the host
            of the URL as written, not with what it resolves to.

    Raises:
        RejectedError: an exception is not HOST or HOST:PORT.
    """

    def __init__(self, allow_private: Iterable[str] = ()) -> None:
        self._excepted = {_host_and_port(entry) for entry in allow_private}

    def excepted(self, host: str, port: int) -> bool:
        """Whether the operator lets this host resolve to a private address."""
        name = canonical_host(host)
        return (name, None) in self._excepted or (name, port) in self._excepted

    def checked(self, host: str, port: int, addresses: Sequence[str]) -> list[str]:
        """The addresses, when every one of them may be connected to.

        Raises:
            PermanentError: one of them is not public. A name with one private address among
                public ones is refused as a whole: it has no honest use.
        """
        if not self.excepted(host, port):
            for address in addresses:
                what = refusal(ip_address(address))
                if what is not None:
                    raise PermanentError(f"{host} resolves to {address}, {what}", remedy=REMEDY)
        return list(addresses)


def canonical_host(host: str) -> str:
    """Lower case, no brackets, no final dot: one spelling per host."""
    return host.strip("[]").rstrip(".").lower()


def _host_and_port(entry: str) -> tuple[str, int | None]:
    host, port = entry.strip(), ""
    if host.startswith("["):
        host, _, rest = host[1:].partition("]")
        port = rest.removeprefix(":")
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    if not host or "/" in host or (port and not port.isdecimal()):
        raise RejectedError(
            f"{entry!r} is not a host",
            field="FIRSTLIGHT_FETCH_ALLOW_PRIVATE",
            remedy='give HOST or HOST:PORT, such as ["media.internal:8080"]',
        )
    return canonical_host(host), int(port) if port else None
