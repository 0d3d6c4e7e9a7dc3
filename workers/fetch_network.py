"""The network under the HTTP client: what was checked is what is connected to.

httpcore asks its network backend for a connection by host name. This one resolves the name
itself, checks every address and connects to a checked one by number, so no second look-up can
answer differently (DNS rebinding). The host name stays with httpcore: in the Host header, in SNI
and in the certificate check.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpcore

from domain.errors import RetryableError
from workers.fetch_address import AddressPolicy

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""(host, port) -> addresses as text, in the order to try. Raises OSError."""


class SystemResolver:
    """getaddrinfo in threads of its own, so that a slow name server blocks nothing else."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The host's addresses, without repeats. Raises OSError."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, _look_up, host, port
        )
        return list(dict.fromkeys(found))

    def close(self) -> None:
        """Let go of the threads; a look-up under way is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG | socket.AI_NUMERICSERV
    )
    return [str(entry[4][0]) for entry in found]


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to addresses that the policy has passed, and to no others."""

    def __init__(self, policy: AddressPolicy, resolve: Resolver) -> None:
        self._policy = policy
        self._resolve = resolve
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, check, connect; the addresses are tried in order, each for `timeout` seconds.

        Raises:
            PermanentError: an address is not public.
            RetryableError: the name does not resolve. A name that does not exist is not told
                apart from a name server in trouble: new names take time to spread, and after
                the last attempt the reason is shown all the same.
            httpcore.ConnectError, httpcore.ConnectTimeout: no address answered.
        """
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise RetryableError(
                f"the host name {host} does not resolve ({reason or error})",
                remedy="correct the URL",
            ) from None
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in self._policy.checked(host, port, addresses):
            try:
                return await self._inner.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        """Wait between httpcore's own tries."""
        await asyncio.sleep(seconds)
