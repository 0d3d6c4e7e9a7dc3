"""How many downloads run at once, per host and in all, and which hosts are left alone a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from domain.errors import RetryableError


class Hosts:
    """Slots for downloads, first come first served.

    A host whose last `per_host` downloads all ran out of time is not asked again for `rest_s`:
    without that, a message of 64 items on a dead host would hold its worker for
    pictures / per_host * timeout.
    """

    def __init__(self, per_host: int, in_all: int, rest_s: float) -> None:
        self._per_host = per_host
        self._rest_s = rest_s
        self._all = asyncio.Semaphore(in_all)
        self._slots: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._silent: dict[str, tuple[int, float]] = {}

    @asynccontextmanager
    async def slot(self, host: str) -> AsyncIterator[None]:
        """Wait for a turn at `host`, then for one in all, so that a slow host holds up only
        its own downloads.

        Raises:
            RetryableError: the host is being left alone.
        """
        slots = self._slots.get(host)
        if slots is None:
            slots = self._slots[host] = asyncio.Semaphore(self._per_host)
        self._check(host)
        async with slots, self._all:
            self._check(host)
            yield

    def answered(self, host: str) -> None:
        """The host is alive."""
        self._silent.pop(host, None)

    def timed_out(self, host: str) -> None:
        """The host let a download run out of time."""
        now = time.monotonic()
        if len(self._silent) > 10_000:
            self._silent = {
                name: seen for name, seen in self._silent.items() if seen[1] > now - self._rest_s
            }
        count, _ = self._silent.get(host, (0, now))
        self._silent[host] = (count + 1, now)

    def _check(self, host: str) -> None:
        count, last = self._silent.get(host, (0, 0.0))
        if count >= self._per_host:
            if time.monotonic() - last < self._rest_s:
                raise RetryableError(f"{host} let the last {count} downloads run out of time")
            del self._silent[host]
