"""The one writer of a collection: resolves, journals, applies, in that order, in groups."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

import qdrant_edge as edge

from domain.log import logger
from index.server.effects import Effect, encode, operation, touched
from index.server.engine import engine_errors
from index.server.errors import missing
from index.server.journal import Journal
from index.server.points import PointId
from index.server.writes import Intent

log = logger(__name__)

T = TypeVar("T")

GROUP_POINTS = 512
"""Points after which a group commit is closed, to bound how long its members wait."""


@dataclass(slots=True, eq=False)
class _Write:
    intents: deque[Intent]
    done: Future[int]


@dataclass(slots=True, eq=False)
class _Between:
    run: Callable[[], Any]
    done: Future[Any]


@dataclass(slots=True, eq=False)
class _Member:
    """One step of a write in a group: what it does, and how the engine is told."""

    write: _Write
    effects: list[Effect]
    operations: list[edge.UpdateOperation]


class Writer:
    """A thread that serialises the writes of one collection.

    Writes that wait together share one journal record and one sync (group commit). A write that
    depends on points changed earlier in the group waits for the next one.
    """

    def __init__(
        self,
        name: str,
        journal: Journal,
        shard: Callable[[], edge.EdgeShard],
        applied: Callable[[Effect], None],
    ) -> None:
        """Start the thread.

        Args:
            shard: the engine as it is now; asked anew for every group.
            applied: told of each effect once it is durable and visible.
        """
        self._journal = journal
        self._shard = shard
        self._applied = applied
        self._queue: SimpleQueue[_Write | _Between | None] = SimpleQueue()
        self._stopped = False
        self._stopping = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"writer-{name}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def submit(self, intents: Sequence[Intent]) -> Future[int]:
        """Queue a write; its intents are done in order.

        Returns:
            Resolves to the journal's sequence once everything is durable and visible.
        """
        done: Future[int] = Future()
        done.set_running_or_notify_cancel()
        if intents:
            self._put(_Write(deque(intents), done))
        else:
            done.set_result(self._journal.sequence)
        return done

    def between(self, run: Callable[[], T]) -> Future[T]:
        """Run something on the writer's thread while no write is under way."""
        done: Future[T] = Future()
        self._put(_Between(run, done))
        return done

    def _put(self, entry: _Write | _Between) -> None:
        with self._stopping:
            if self._stopped:
                raise missing("the collection is closing")
            self._queue.put(entry)

    def stop(self) -> None:
        """Finish what is queued, refuse what comes later, and end the thread."""
        with self._stopping:
            self._stopped = True
            self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        waiting: deque[_Write | _Between | None] = deque()
        while True:
            if not waiting:
                waiting.append(self._queue.get())
            while not self._queue.empty():
                waiting.append(self._queue.get())
            first = waiting[0]
            if first is None:
                return
            if isinstance(first, _Between):
                waiting.popleft()
                _settle(first.done, first.run)
            else:
                self._commit_or_fail(waiting)

    def _commit_or_fail(self, waiting: deque[_Write | _Between | None]) -> None:
        """A fault of ours must not end the thread, or every later write would wait for ever."""
        try:
            self._commit(waiting)
        except Exception as error:
            log.exception("a group of writes failed", error=str(error))
            for write in [entry for entry in waiting if isinstance(entry, _Write)]:
                waiting.remove(write)
                if not write.done.done():
                    _fail(write, error)

    def _commit(self, waiting: deque[_Write | _Between | None]) -> None:
        """One group: the next step of each write up to a barrier, a conflict or the limit."""
        group: list[_Member] = []
        changed: set[PointId] = set()
        shard = self._shard()
        finished: list[_Write] = []
        for write in list(waiting):
            if not isinstance(write, _Write) or len(changed) >= GROUP_POINTS:
                break
            reads = write.intents[0].reads
            if changed and (reads is None or not changed.isdisjoint(reads)):
                break
            try:
                with engine_errors():
                    effects = write.intents[0].resolve(shard)
                    operations = [operation(effect) for effect in effects]
            except Exception as error:
                _fail(write, error)
                finished.append(write)
                continue
            write.intents.popleft()
            group.append(_Member(write, effects, operations))
            for effect in effects:
                changed |= touched(effect) or set()
            if effects and reads is None:
                break
        finished.extend(self._record(group, shard))
        for write in finished:
            waiting.remove(write)

    def _record(self, group: list[_Member], shard: edge.EdgeShard) -> list[_Write]:
        """Journal and apply a group; returns the writes that are finished."""
        every = [effect for member in group for effect in member.effects]
        try:
            sequence = self._journal.append(encode(every)) if every else self._journal.sequence
        except Exception as error:
            for member in group:
                _fail(member.write, error)
            return [member.write for member in group]
        finished = []
        for member in group:
            try:
                with engine_errors():
                    self._apply(member, shard)
            except Exception as error:
                log.error("the engine refused a checked write", error=str(error))
                _fail(member.write, error)
                finished.append(member.write)
                continue
            if not member.write.intents:
                member.write.done.set_result(sequence)
                finished.append(member.write)
        return finished

    def _apply(self, member: _Member, shard: edge.EdgeShard) -> None:
        for effect, step in zip(member.effects, member.operations, strict=True):
            shard.update(step)
            self._applied(effect)


def _settle(done: Future[Any], run: Callable[[], Any]) -> None:
    try:
        done.set_result(run())
    except Exception as error:
        done.set_exception(error)


def _fail(write: _Write, error: Exception) -> None:
    write.intents.clear()
    write.done.set_exception(error)
