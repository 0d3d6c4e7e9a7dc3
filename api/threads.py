"""Threads for blocking work beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Work(NamedTuple):
    """A call, and the future of the loop that waits for it."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    call: Callable[..., Any]
    arguments: tuple[object, ...]


class Threads:
    """What ThreadPoolExecutor does for an event loop, at half its price: there each call has two
    futures, chained to each other, with locks of their own (decision 0010).

    Used from one event loop at a time. A thread is started when there is work and none is idle.

    Args:
        most: threads; further work waits for one.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []

    def run(self, call: Callable[..., T], *arguments: object) -> Awaitable[T]:
        """Call it in a thread. The result, or what it raised, is that of the awaitable."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._most:
            self._start()
        self._queue.put(Work(loop, future, call, arguments))
        return future

    def close(self) -> None:
        """Finish what runs; what waits is cancelled."""
        with suppress(Empty):
            while True:
                work = self._queue.get_nowait()
                if work is not None:
                    _tell(work, work.future.cancel)
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _start(self) -> None:
        name = f"{self._name}-{len(self._threads)}"
        thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        while (work := self._queue.get()) is not None:
            try:
                result = work.call(*work.arguments)
            except BaseException as error:
                _tell(work, _fail, work.future, error)
            else:
                _tell(work, _finish, work.future, result)
                del result
            del work  # nothing of a request is held while the next one is waited for
            self._idle.release()


def _tell(work: Work, call: Callable[..., object], *arguments: object) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        work.loop.call_soon_threadsafe(call, *arguments)


def _finish(future: asyncio.Future[T], result: T) -> None:
    if not future.done():  # cancelled by whoever waited
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if isinstance(error, StopIteration):  # which no future can raise
        error = RuntimeError(f"the call raised {error!r}")
    if not future.done():
        future.set_exception(error)
