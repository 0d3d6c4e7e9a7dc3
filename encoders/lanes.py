"""The threads that run models on one device, each encoder's queue in turn.

A GPU has one lane. A processor has one per core, each with one torch thread: a batch of a
thousand tokens is too small to be shared out operation by operation, whole batches are not
(docs/decisions/0011-lanes.md).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from domain.errors import RetryableError
from encoders.batcher import Batcher, Waiting


class Lanes:
    """The lanes of one device. The first that dies takes the device with it."""

    def __init__(
        self,
        name: str,
        *,
        lanes: int = 1,
        threads: int = 1,
        set_threads: Callable[[int], None] = lambda _: None,
    ) -> None:
        """
        Args:
            threads: of torch, for all lanes together. A batch that has the device for itself gets
                all of them, else each lane has its share.
            set_threads: called by a lane before a batch (torch's thread count is per thread).
        """
        self.condition = threading.Condition()
        self.name = name
        self._batchers: list[Batcher] = []
        self._turn = 0
        self._number = 0
        self._stopping = False
        self._dead = False
        self._running: dict[int, tuple[Batcher, float, list[Waiting]]] = {}
        self._threads = threads
        self._share = max(1, threads // lanes)
        self._set_threads = set_threads
        self._lanes = [
            threading.Thread(target=self._live, args=(at,), name=f"device-{name}-{at}", daemon=True)
            for at in range(lanes)
        ]
        for lane in self._lanes:
            lane.start()

    @property
    def alive(self) -> bool:
        """Whether the device takes work."""
        return not (self._dead or self._stopping) and all(one.is_alive() for one in self._lanes)

    def death(self) -> RetryableError:
        """What a submitter is told when the device takes no work."""
        if self._stopping:
            return RetryableError("the encoders are being closed")
        return RetryableError(
            f"a thread of the device {self.name} has died", remedy="restart this process"
        )

    def next_number(self) -> int:
        """A running number: the age of a piece."""
        self._number += 1
        return self._number

    def serve(self, batcher: Batcher) -> None:
        """Add an encoder's queue."""
        with self.condition:
            self._batchers.append(batcher)

    def check(self) -> None:
        """Raise RetryableError when a lane has died or a batch has run for too long.

        What waits then fails at once instead of waiting for its own timeout.
        """
        error: RetryableError | None = None
        with self.condition:
            if not self.alive:
                error = self.death()
            for batcher, since, batch in self._running.values():
                ran_s = time.monotonic() - since
                if ran_s > batcher.timeout_s:
                    error = RetryableError(
                        f"a batch of {len(batch)} on the {batcher.name} encoder has been running"
                        f" for {ran_s:.1f} s, the limit is {batcher.timeout_s:g} s",
                        remedy="restart this process",
                    )
                    for one in batch:
                        one.job.fail(error)
            if error is not None:
                self._abandon(error)
        if error is not None:
            raise error

    def close(self, timeout_s: float = 10.0) -> None:
        """Fail what waits, let running batches end (at most timeout_s) and end the lanes."""
        with self.condition:
            self._stopping = True
            self._abandon(self.death())
        deadline = time.monotonic() + timeout_s
        for lane in self._lanes:
            lane.join(max(0.0, deadline - time.monotonic()))

    def _abandon(self, error: RetryableError) -> None:
        for batcher in self._batchers:
            batcher.abandon(error)
        self.condition.notify_all()

    def _live(self, lane: int) -> None:
        try:
            while (work := self._next(lane)) is not None:
                batcher, batch, threads = work
                self._set_threads(threads)
                batcher.run(batch)
                with self.condition:
                    del self._running[lane]
                    self.condition.notify_all()
        finally:
            # Also when something that is no Exception ends the lane: nobody may wait for it.
            with self.condition:
                self._dead = True
                error = self.death()
                for one in self._running.pop(lane, (None, 0.0, []))[2]:
                    one.job.fail(error)
                self._abandon(error)

    def _next(self, lane: int) -> tuple[Batcher, list[Waiting], int] | None:
        """The next batch, and how many torch threads it runs on; None ends the lane."""
        with self.condition:
            while not (self._stopping or self._dead):
                now = time.monotonic()
                soonest: float | None = None
                for step in range(len(self._batchers)):
                    at = (self._turn + step) % len(self._batchers)
                    ready_at = self._batchers[at].ready_at()
                    if ready_at is None:
                        continue
                    if ready_at > now:
                        soonest = ready_at if soonest is None else min(soonest, ready_at)
                        continue
                    batch = self._batchers[at].take()
                    self.condition.notify_all()
                    if batch:
                        self._turn = at + 1
                        alone = not self._running and all(one.idle for one in self._batchers)
                        self._running[lane] = (self._batchers[at], now, batch)
                        threads = self._threads if alone else self._share
                        return self._batchers[at], batch, threads
                self.condition.wait(None if soonest is None else soonest - now)
            return None
