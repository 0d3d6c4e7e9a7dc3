"""Readiness is proved by doing: a sentence is encoded and the store is queried, each time anew."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from api.schemas import Check, ReadyAnswer
from domain.errors import FirstlightError

if TYPE_CHECKING:
    from api.state import Parts

BOUND_S = 5.0
"""How long one probe waits for a check. A check that takes longer fails, and its thread is left
to end by itself; until then no second one is started."""


class Readiness:
    """The checks of one process; probes that come at once share one run of each."""

    def __init__(self, parts: Parts, bound_s: float = BOUND_S) -> None:
        self._bound_s = bound_s
        self._works: dict[str, Callable[[], str]] = {
            "catalog": lambda: _catalog(parts),
            "encode": lambda: _encode(parts),
            "query": lambda: _query(parts),
        }
        self._running: dict[str, tuple[Future[Check], float]] = {}
        # Its own threads: a burst of slow requests must not look like a broken store.
        self._threads = ThreadPoolExecutor(len(self._works), thread_name_prefix="readiness")

    async def prove(self) -> ReadyAnswer:
        """Try everything at once. Takes at most the bound."""
        names = list(self._works)
        checks = await asyncio.gather(*(self._check(name) for name in names))
        found = dict(zip(names, checks, strict=True))
        return ReadyAnswer(ready=all(one.ok for one in checks), checks=found)

    async def _check(self, name: str) -> Check:
        held = self._running.get(name)
        if held is None or held[0].done():
            held = (self._threads.submit(_timed, self._works[name]), time.monotonic())
            self._running[name] = held
        future, since = held
        try:
            waiting = asyncio.shield(asyncio.wrap_future(future))
            return await asyncio.wait_for(waiting, self._bound_s)
        except TimeoutError:
            took_s = time.monotonic() - since
            return Check(ok=False, took_ms=took_s * 1e3, detail=f"no answer for {took_s:.1f} s")

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _timed(work: Callable[[], str]) -> Check:
    started = time.perf_counter()
    try:
        detail, ok = work(), True
    except FirstlightError as error:
        detail, ok = str(error), False
    except Exception as error:
        detail, ok = f"{type(error).__name__}: {error}", False
    return Check(ok=ok, took_ms=round((time.perf_counter() - started) * 1e3, 3), detail=detail)


def _catalog(parts: Parts) -> str:
    parts.catalog.ping()
    return "the ledger answers"


def _encode(parts: Parts) -> str:
    vector = parts.models.prove()
    return f"a sentence became {vector.shape[0]} numbers"


def _query(parts: Parts) -> str:
    space = parts.spaces.current()
    if space is None:
        parts.index.ping()
        return "the index answers; nothing is indexed yet"
    probe = np.full(space.rank.dim, space.rank.dim**-0.5, dtype=np.float32)
    hits = parts.index.query(space.collection, probe, limit=1)
    return f"{space.collection} answered, best hit {hits[0].id!r}" if hits else "no item is stored"
