"""Points of items that are gone: found after a write, or when a killed worker's message returns."""

from __future__ import annotations

import time
from collections.abc import Sequence

from catalog import Catalog, Claim, ItemState, Pair
from domain.errors import RetryableError
from domain.log import logger
from index import ItemIndex
from workers import metrics
from workers.batch import named

UNDO_TRIES = 3
UNDO_AGAIN_S = 0.5

log = logger(__name__)


class Ghosts:
    """Takes points back.

    Args:
        alias: of the serving collection; all collections are named after it.
    """

    def __init__(self, catalog: Catalog, index: ItemIndex, alias: str) -> None:
        self._catalog = catalog
        self._index = index
        self._prefix = f"{alias}-"

    def collections(self) -> list[str]:
        """Every collection that may hold items: a refit may be filling another one."""
        return [name for name in self._index.collections() if name.startswith(self._prefix)]

    def undo(self, collection: str, stale: Sequence[Pair]) -> None:
        """Remove points of exactly these versions.

        Raises:
            RetryableError: the index does not answer; `firstlight verify` lists what is left.
        """
        for left in reversed(range(UNDO_TRIES)):
            try:
                self._index.undo(collection, stale)
            except RetryableError:
                if not left:
                    log.error("ghosts_left", **named(stale), remedy="run `firstlight verify`")
                    raise
                time.sleep(UNDO_AGAIN_S)
            else:
                metrics.UNDONE.inc(len(stale))
                return

    def clear(self, pairs: Sequence[Pair], claims: Sequence[Claim]) -> None:
        """Remove points of pairs that could not be claimed because their item is deleted.

        A worker killed between its write and its check leaves such a point; its message comes
        back and finds the deletion in the ledger.
        """
        taken = {claim.pair for claim in claims}
        left = [pair for pair in pairs if pair not in taken]
        states = self._catalog.states([pair.id for pair in left])
        gone = [
            pair
            for pair in left
            if pair.id in states
            and states[pair.id][1] is ItemState.DELETED
            and states[pair.id][0] >= pair.version
        ]
        if not gone:
            return
        try:
            for collection in self.collections():
                self._index.undo(collection, gone)
        except RetryableError as error:
            log.warning("ghosts_not_cleared", **named(gone), error=str(error))
