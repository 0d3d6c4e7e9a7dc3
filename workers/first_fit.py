"""When the fusion statistics are fitted for the first time: after the first bulk publish."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from catalog import ItemState

if TYPE_CHECKING:
    from workers.runtime import Runtime

ENOUGH_ITEMS = 2_000
"""With so many indexed the fit does not wait for the rest of the publish."""

ASK_EVERY_S = 15.0
"""How soon a fit that was asked for may be asked for again."""


class FirstFit:
    """Says once, not once per thread, that a fit is due. Cheap after the fit."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._quiet_until = 0.0

    def is_due(self, held: Runtime) -> bool:
        """Whether to ask for a fit now: nothing is fitted, and the items are there to fit from.

        Raises:
            RetryableError: the ledger or the index does not answer.
        """
        if not held.collections.active().fusion.version.startswith("passthrough"):
            return False
        with self._lock:
            if self._clock() < self._quiet_until:
                return False
            counts = held.catalog.counts()
            indexed = counts.get(ItemState.INDEXED, 0)
            idle = not counts.get(ItemState.PENDING, 0)
            least = held.settings.fusion.min_items
            due = indexed >= least and (idle or indexed >= max(least, ENOUGH_ITEMS))
            if due:
                self._quiet_until = self._clock() + ASK_EVERY_S
            return due
