"""What a worker looks after between items: the first fit, collections being completed, expiry."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from catalog import ItemState
from workers.expiry import remove_expired

if TYPE_CHECKING:
    from workers.publish import Sender
    from workers.runtime import Runtime

FIT_FUSION = "firstlight.fit_fusion"

ENOUGH_ITEMS = 2_000
"""With so many indexed the first fit does not wait for the rest of the publish."""

ASK_EVERY_S = 15.0
"""How soon a fit that was asked for may be asked for again."""

SETTLE_EVERY_S = 2.0
"""How often tasks look whether a new collection is complete."""

EXPIRY_EVERY_S = 60.0
"""How often expired items are looked for."""


class Upkeep:
    """Shared by all threads of a process; says once, not once per thread, what is due."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._quiet_until: dict[str, float] = {}

    def after_items(self, held: Runtime, sender: Sender) -> None:
        """At the end of every message. Costs three stats of small files when nothing is due.

        Raises:
            RetryableError: the ledger or the index does not answer.
        """
        if held.collections.registry.goal() is not None and self._turn("settle", SETTLE_EVERY_S):
            self.settle(held, sender)
        if self.first_fit_is_due(held):
            sender.send_task(FIT_FUSION, True)

    def after_round(self, held: Runtime, sender: Sender) -> None:
        """At the end of the reconciler's round. Raises as `after_items` does."""
        self.settle(held, sender)
        if self.first_fit_is_due(held):
            sender.send_task(FIT_FUSION, True)
        if self._turn("expiry", EXPIRY_EVERY_S):
            remove_expired(held.catalog, held.index, sender.dispatch, time.time())

    def settle(self, held: Runtime, sender: Sender) -> None:
        """Bring a collection that is to take over the alias nearer to it."""
        from workers.collection_settle import settle

        settle(held, sender.dispatch)

    def first_fit_is_due(self, held: Runtime) -> bool:
        """Whether to ask for a fit now: nothing is fitted, and the items are there to fit from."""
        if not held.collections.active().fusion.version.startswith("passthrough"):
            return False
        with self._lock:
            if self._clock() < self._quiet_until.get("fit", 0.0):
                return False
        counts = held.catalog.counts()
        indexed = counts.get(ItemState.INDEXED, 0)
        idle = not counts.get(ItemState.PENDING, 0)
        least = held.settings.fusion.min_items
        if indexed < least or not (idle or indexed >= max(least, ENOUGH_ITEMS)):
            return False
        return self._turn("fit", ASK_EVERY_S)

    def _turn(self, what: str, every_s: float) -> bool:
        """True for one caller in `every_s`."""
        with self._lock:
            now = self._clock()
            if now < self._quiet_until.get(what, 0.0):
                return False
            self._quiet_until[what] = now + every_s
            return True
