"""Which collection, with which fusion, a reader queries."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

from domain.errors import RetryableError
from domain.settings import Settings
from encoders import Fusion, FusionStore
from index import ItemIndex
from ranking import RankSpace
from workers.collection import opened, registry_of

LOOK_EVERY_S = 1.0


class Served(NamedTuple):
    """A collection, the fusion that filled it, and the space of its rank vectors."""

    collection: str
    fusion: Fusion
    space: RankSpace


class Serving:
    """For readers: the collection behind the alias and the fusion that filled it, as one value.

    A query made from `current()` goes to that collection by its own name, never through the
    alias, so a swap in between cannot pair a query of one fusion with vectors of another. A
    reader follows a swap within LOOK_EVERY_S; the collection that was replaced is kept.

    Loads no models. One object serves all threads of a process.
    """

    def __init__(self, settings: Settings, index: ItemIndex, fusion_store: FusionStore) -> None:
        self._index = index
        self._fusions = fusion_store
        self._registry = registry_of(settings)
        self._looking = threading.Lock()
        self._held: Served | None = None
        self._failure: RetryableError | None = None
        self._looked_at = float("-inf")

    def current(self) -> Served | None:
        """What is served; None before the first item was indexed.

        At most one call to the index every LOOK_EVERY_S, made by one thread while the others go
        on with what they have. Nothing is not remembered: the first item is seen at once.

        Raises:
            RetryableError: the index does not answer and nothing is known from before, or what
                it serves was not made by this installation.
        """
        held = self._held
        if self._is_fresh():
            return self._answer()
        if not self._looking.acquire(blocking=held is None):
            return held
        try:
            if not self._is_fresh():
                try:
                    self._held, self._failure = self._look(), None
                except RetryableError as error:
                    self._failure = error
                self._looked_at = time.monotonic()
            return self._answer()
        finally:
            self._looking.release()

    def forget(self) -> None:
        """Look at the index in the next call, whenever the last look was: for a reader whose
        collection turned out to be gone."""
        self._looked_at = float("-inf")

    def _is_fresh(self) -> bool:
        """A failure is remembered, too: callers do not queue up to wait for a dead index."""
        known = self._held is not None or self._failure is not None
        return known and time.monotonic() - self._looked_at < LOOK_EVERY_S

    def _answer(self) -> Served | None:
        failure = self._failure
        if failure is not None:
            raise RetryableError(failure.message, field=failure.field, remedy=failure.remedy)
        return self._held

    def _look(self) -> Served | None:
        try:
            collection = self._index.serving()
        except RetryableError:
            if self._held is None:
                raise
            return self._held
        if collection is None:
            return None
        if self._held is not None and self._held.collection == collection:
            return self._held
        record = self._registry.get(collection)
        if record is None:
            raise RetryableError(
                f"the index serves {collection}, and how it was made is not in the data directory",
                remedy="use the data directory the workers use, or run `firstlight reindex`",
            )
        found = opened(record, self._fusions)
        return Served(collection, found.fusion, found.space)
