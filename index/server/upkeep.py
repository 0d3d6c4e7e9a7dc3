"""What happens in the background: flushes, and the building of graphs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from domain.errors import FirstlightError
from domain.log import logger
from index.server.collection import Collection
from index.server.optimiser import Stopped, build_graph
from index.server.registry import Registry

log = logger(__name__)

LOOK_S = 0.5
RETRY_S = 60.0
RETRY_MAX_S = 3600.0


class Upkeep:
    """Two threads over the collections: one flushes, one builds one graph at a time."""

    def __init__(self, registry: Registry, loop: asyncio.AbstractEventLoop) -> None:
        self._registry = registry
        self._loop = loop
        self._stop = threading.Event()
        self._failures: dict[str, tuple[int, float]] = {}
        self._threads = [
            threading.Thread(target=self._repeat, args=(step,), name=step.__name__, daemon=True)
            for step in (self._flush, self._build)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End both threads; a build under way is given up."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, step: Callable[[Collection], None]) -> None:
        while not self._stop.wait(LOOK_S):
            for collection in list(self._registry.collections.values()):
                if self._stop.is_set():
                    return
                try:
                    step(collection)
                except Exception as error:
                    if not collection.closing:
                        log.exception("upkeep failed", collection=collection.name, error=str(error))

    def _flush(self, collection: Collection) -> None:
        if collection.flush_due():
            collection.flush()

    def _build(self, collection: Collection) -> None:
        failures, not_before = self._failures.get(collection.name, (0, 0.0))
        if time.monotonic() < not_before:
            return
        with collection.building:
            if collection.closing or not collection.build_due():
                return
            collection.state = "yellow"
            try:
                build_graph(
                    collection, lambda: self._stop.is_set() or collection.closing, self._on_loop
                )
            except Stopped:
                return
            except FirstlightError as error:
                wait_s = min(RETRY_MAX_S, RETRY_S * 2**failures)
                self._failures[collection.name] = (failures + 1, time.monotonic() + wait_s)
                collection.build_error = str(error)
                log.error("graph not built", collection=collection.name, error=str(error))
            else:
                self._failures.pop(collection.name, None)
                collection.build_error = ""
            finally:
                collection.state = "green"

    def _on_loop(self, run: Callable[[], None]) -> None:
        async def step() -> None:
            run()

        asyncio.run_coroutine_threadsafe(step(), self._loop).result()
