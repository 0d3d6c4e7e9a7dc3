"""Dynamic batching: the queue of each encoder, and the batches that are made of it.

Callers prepare pieces (tokenised chunks, decoded pictures, windows of sound) in their own threads
and put them into their encoder's queue; a lane of the device (encoders.lanes) takes batches of
pieces of like length within a cost budget and runs the model on them.
docs/decisions/0002-batching.md has the reasons.
"""

from __future__ import annotations

import time
from bisect import insort
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from structlog.contextvars import get_contextvars

from domain.errors import FirstlightError, PermanentError, RetryableError
from domain.log import logger
from domain.vectors import Matrix, Vector

if TYPE_CHECKING:
    from encoders.lanes import Lanes

log = logger(__name__)

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")


@dataclass(slots=True)
class Piece:
    """What a model takes at once.

    Attributes:
        payload: whatever the encoder's core takes.
        cost: its length in the encoder's unit (tokens, pictures, samples). A batch is padded to
            its longest piece, so it costs n * max(cost).
        group: only pieces of one group share a batch.
        weight: its share in the average over the pieces of one input.
    """

    payload: Any
    cost: int
    group: int = 0
    weight: float = 1.0


class Job:
    """The pieces of one input; `future` holds their vectors, [pieces, dim], in order.

    `context` is what the thread that made it has bound for its log lines.
    """

    __slots__ = ("context", "future", "left", "pieces", "vectors")

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces
        self.context = get_contextvars()
        self.vectors: list[Vector | None] = [None] * len(pieces)
        self.left = len(pieces)
        self.future: Future[list[Vector]] = Future()

    def fail(self, error: FirstlightError) -> None:
        """Give the input up; what is still queued of it is dropped."""
        try:
            self.future.set_exception(error)
        except InvalidStateError:
            return

    def put(self, position: int, vector: Vector) -> None:
        """Take the vector of one piece; the last one completes the future."""
        self.vectors[position] = vector
        self.left -= 1
        if self.left == 0:
            try:
                self.future.set_result([one for one in self.vectors if one is not None])
            except InvalidStateError:
                return


@dataclass(slots=True, order=True)
class Waiting:
    """A piece in a queue, in the order in which batches are cut."""

    group: int
    cost: int
    number: int
    job: Job = field(compare=False)
    position: int = field(compare=False)
    since: float = field(compare=False)

    @property
    def piece(self) -> Piece:
        return self.job.pieces[self.position]


class Batcher:
    """The queue of one encoder on a device."""

    def __init__(
        self,
        device: Lanes,
        name: str,
        core: Callable[[list[Any]], Matrix],
        *,
        budget: int,
        queue_items: int,
        timeout_s: float,
        max_wait_s: float,
    ) -> None:
        """
        Args:
            core: payloads of n pieces -> [n, dim] float32, run on a lane.
            budget: most that a batch may cost (n * longest); one longer piece runs alone.
            queue_items: pieces that may wait; a submitter with more blocks.
            timeout_s: how long a submitter blocks, and how long a batch may run before the
                device counts as stuck.
            max_wait_s: how long a batch that is not full waits while others are being prepared.
        """
        self.name = name
        self.core = core
        self.budget = budget
        self.queue_items = queue_items
        self.timeout_s = timeout_s
        self.max_wait_s = max_wait_s
        self._device = device
        self._waiting: list[Waiting] = []
        self._expected = 0
        self._cost = 0
        device.serve(self)

    def expect(self, inputs: int) -> None:
        """Announce inputs that are being prepared (negative: no longer)."""
        with self._device.condition:
            self._expected += inputs
            if inputs < 0:
                self._device.condition.notify_all()

    def submit(self, jobs: Sequence[Job], deadline: float) -> None:
        """Queue the pieces of jobs, blocking while the queue is full.

        Args:
            deadline: time.monotonic() after which the rest fails with RetryableError.
        """
        for job in jobs:
            for position, piece in enumerate(job.pieces):
                if not self._put(job, position, piece, deadline):
                    break

    def _put(self, job: Job, position: int, piece: Piece, deadline: float) -> bool:
        condition = self._device.condition
        with condition:
            while len(self._waiting) >= self.queue_items and self._device.alive:
                left = deadline - time.monotonic()
                if left <= 0 or not condition.wait(left):
                    job.fail(
                        RetryableError(
                            f"the {self.name} encoder's queue stayed full",
                            remedy="add workers, or raise FIRSTLIGHT_ENCODER_QUEUE_ITEMS",
                        )
                    )
                    return False
            if not self._device.alive:
                job.fail(self._device.death())
                return False
            number = self._device.next_number()
            now = time.monotonic()
            insort(self._waiting, Waiting(piece.group, piece.cost, number, job, position, now))
            self._cost += piece.cost
            if len(self._waiting) == 1 or self._cost >= self.budget:
                condition.notify_all()
        return True

    # The methods below are called by a lane, which holds the condition.

    def ready_at(self) -> float | None:
        """time.monotonic() from which a batch may start; None while nothing waits."""
        if not self._waiting:
            return None
        if self._expected <= 0 or self._cost >= self.budget:
            return 0.0
        return min(one.since for one in self._waiting) + self.max_wait_s

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is being prepared."""
        return not self._waiting and self._expected <= 0

    def take(self) -> list[Waiting]:
        """Remove and return the next batch: the one that holds the oldest piece.

        What waits is cut into batches from the longest piece down, which pads least; a batch that
        is taken leaves the others as they were, and oldest first means that none starves.
        """
        waiting = [one for one in self._waiting if not one.job.future.done()]
        low, high = self._oldest_batch(waiting)
        batch = waiting[low:high]
        del waiting[low:high]
        self._waiting = waiting
        self._cost = sum(one.cost for one in waiting)
        return batch

    def _oldest_batch(self, waiting: list[Waiting]) -> tuple[int, int]:
        if not waiting:
            return 0, 0
        oldest = min(range(len(waiting)), key=lambda at: waiting[at].number)
        high = len(waiting)
        while True:
            group, longest = waiting[high - 1].group, waiting[high - 1].cost
            low = max(0, high - max(1, self.budget // longest))
            while waiting[low].group != group:
                low += 1
            if low <= oldest:
                return low, high
            high = low

    def run(self, batch: list[Waiting]) -> None:
        """Run a batch; one that fails is split in two until the culprit is alone."""
        todo = [batch]
        while todo:
            part = [one for one in todo.pop() if not one.job.future.done()]
            if not part:
                continue
            try:
                vectors = self.core([one.piece.payload for one in part])
            except Exception as error:
                if len(part) > 1:
                    log.bind(**_context(part)).warning(
                        "batch split", encoder=self.name, size=len(part), reason=str(error)
                    )
                    half = len(part) // 2
                    todo += [part[half:], part[:half]]
                else:
                    part[0].job.fail(_failure(self.name, error))
                continue
            for one, vector in zip(part, vectors, strict=True):
                one.job.put(one.position, vector)

    def abandon(self, error: FirstlightError) -> None:
        """Fail everything that waits."""
        for one in self._waiting:
            one.job.fail(error)
        self._waiting, self._cost = [], 0


def _context(batch: Sequence[Waiting]) -> dict[str, Any]:
    """What a log line about a batch carries of its submitters' lines."""
    contexts: list[dict[str, Any]] = []
    for one in batch:
        if one.job.context not in contexts:
            contexts.append(one.job.context)
    return contexts[0] if len(contexts) == 1 else {"inputs_of": contexts}


def _failure(name: str, error: Exception) -> FirstlightError:
    if isinstance(error, FirstlightError):
        return error
    if isinstance(error, MemoryError) or any(one in str(error).lower() for one in _OUT_OF_MEMORY):
        return RetryableError(
            f"the {name} encoder ran out of memory on this input alone",
            remedy="give it more memory or run fewer processes on the device",
        )
    if isinstance(error, (ValueError, IndexError)):
        return PermanentError(f"the {name} encoder refused the input: {error}")
    # Device trouble looks like this; the ledger's limit on attempts ends what never heals.
    return RetryableError(f"the {name} encoder failed: {type(error).__name__}: {error}")
