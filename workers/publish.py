"""Publishing: into the ledger first, then a message. The ledger is the promise.

Importing this module loads no model, so the API and the command line can.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from celery import Celery
from kombu.exceptions import OperationalError

from catalog import Acceptance, Catalog, Due, Pair
from domain.events import Event
from domain.log import logger
from domain.settings import settings

LIVE_EVENTS = 256
"""More item events than this in one call are backfill: they go to the bulk lane."""

LANE_PAIRS = {"image": 32, "audio": 8}
"""Heavy items travel in smaller messages: an item is searchable when its message is done."""

PAUSE_S = 5.0
"""After a broker failed to answer, nothing is sent to it for this long."""

NOT_SENT = "accepted; the broker does not answer, so a worker will hear of it a little later"

INDEX_ITEMS = "firstlight.index_items"

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """One Celery message: at most 64 (id, version) pairs of one lane."""

    lane: str
    pairs: tuple[Pair, ...]
    alone: bool


def messages(due: Iterable[Due], batch: int) -> list[Message]:
    """Grouped by lane, in order; those marked alone by themselves.

    A message holds at most `batch` pairs, fewer in the lanes of LANE_PAIRS.

    Of two versions of one item only the newer is sent.
    """
    newest: dict[str, Due] = {}
    for one in due:
        held = newest.get(one.pair.id)
        if held is None or held.pair.version <= one.pair.version:
            newest[one.pair.id] = one
    made: list[Message] = []
    open_groups: dict[str, list[Pair]] = {}
    for one in newest.values():
        if one.alone:
            made.append(Message(one.lane, (one.pair,), alone=True))
            continue
        group = open_groups.setdefault(one.lane, [])
        group.append(one.pair)
        if len(group) == min(batch, LANE_PAIRS.get(one.lane, batch)):
            made.append(Message(one.lane, tuple(open_groups.pop(one.lane)), alone=False))
    made += [Message(lane, tuple(pairs), alone=False) for lane, pairs in open_groups.items()]
    return made


class Sender:
    """Sends messages and never lets a dead broker hold up its caller for long.

    A broker that failed is left alone for `pause_s`; what was not sent stays due in the ledger
    and the reconciler sends it. Safe to share between threads.
    """

    def __init__(
        self,
        app: Celery,
        *,
        batch: int,
        pause_s: float = PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._batch = batch
        self._pause_s = pause_s
        self._clock = clock
        self._lock = threading.Lock()
        self._closed_until = 0.0

    def dispatch(self, due: Sequence[Due]) -> list[Due]:
        """Send what is due; the answer is what could not be sent."""
        if not due:
            return []
        unsent = self._send_all(messages(due, self._batch))
        left = {pair for message in unsent for pair in message.pairs}
        return [one for one in due if one.pair in left]

    def send_task(self, name: str, *args: object) -> bool:
        """Send another of our tasks to the queue it belongs to; False if that failed."""
        with self._lock:
            if self._clock() < self._closed_until:
                return False
        try:
            self._app.send_task(name, args=args, retry=True, retry_policy=_ONE_RECONNECT)
        except (OperationalError, OSError) as error:
            self._pause(error)
            return False
        return True

    def _send_all(self, batch: list[Message]) -> list[Message]:
        with self._lock:
            if self._clock() < self._closed_until:
                return batch
        sent = 0
        try:
            with self._app.producer_or_acquire() as producer:
                for message in batch:
                    self._app.send_task(
                        INDEX_ITEMS,
                        args=([list(pair) for pair in message.pairs], message.alone),
                        queue=message.lane,
                        producer=producer,
                        ignore_result=True,
                        retry=True,
                        retry_policy=_ONE_RECONNECT,
                    )
                    sent += 1
        except (OperationalError, OSError) as error:
            self._pause(error)
        return batch[sent:]

    def _pause(self, error: Exception) -> None:
        with self._lock:
            self._closed_until = self._clock() + self._pause_s
        log.warning("broker_away", error=str(error), next_try_s=self._pause_s)


_ONE_RECONNECT = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1}
"""A pooled connection may be stale after the broker was restarted; once is enough."""


@cache
def default_sender() -> Sender:
    """The sender of this process, to the broker of its settings."""
    from workers.celery import app

    return Sender(app, batch=settings().worker.bulk_batch)


def dispatch(due: Sequence[Due]) -> list[Due]:
    """Send what is due (of Catalog.redrive, requeue ...); the answer is what was not sent."""
    return default_sender().dispatch(due)


def accept(
    catalog: Catalog,
    events: Sequence[Event],
    *,
    bulk: bool | None = None,
    sender: Sender | None = None,
) -> list[Acceptance]:
    """Accept events in the ledger, durably, and tell the workers.

    Args:
        events: each is answered for itself, in order.
        bulk: to the bulk lane (True), to each item's own lane (False), or by their number
            (None): more than LIVE_EVENTS item events in one call are backfill.
        sender: where messages go; by default the broker of the settings.

    Returns:
        One acceptance per event. A broker that does not answer changes nothing but `note`.

    Raises:
        RetryableError: the ledger does not answer; nothing was accepted.
    """
    if bulk is None:
        bulk = sum(event.type.startswith("item.") for event in events) > LIVE_EVENTS
    acceptances = catalog.accept(events, bulk=bulk)
    due = [
        Due(Pair(one.subject, one.version), one.lane, alone=False)
        for one in acceptances
        if one.lane is not None and one.version is not None
    ]
    unsent = {one.pair for one in (sender or default_sender()).dispatch(due)}
    if not unsent:
        return acceptances
    return [
        replace(one, note=f"{one.note}; {NOT_SENT}" if one.note else NOT_SENT)
        if one.lane is not None and (one.subject, one.version) in unsent
        else one
        for one in acceptances
    ]
