"""Which collection, with which fusion, a reader queries."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from domain.errors import RetryableError
from domain.settings import Settings
from encoders import Fusion, FusionStore
from index import ItemIndex
from ranking import RankSpace
from workers.collection import opened, registry_of

LOOK_EVERY_S = 1.0
LOOKS_MISSED = 2
"""So many times LOOK_EVERY_S after the last look, a caller waits for the next one."""


class Served(NamedTuple):
    """A collection, the fusion that filled it, and the space of its rank vectors."""

    collection: str
    fusion: Fusion
    space: RankSpace


class Serving:
    """For readers: the collection behind the alias and the fusion that filled it, as one value.

    A query made from `current()` goes to that collection by its own name, never through the
    alias, so a swap in between cannot pair a query of one fusion with vectors of another. A
    reader follows a swap within LOOKS_MISSED * LOOK_EVERY_S; the collection that was replaced is
    kept.

    Loads no models. One object serves all threads of a process.
    """

    def __init__(self, settings: Settings, index: ItemIndex, fusion_store: FusionStore) -> None:
        self._index = index
        self._fusions = fusion_store
        self._registry = registry_of(settings)
        self._looking = threading.Lock()
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="serving")
        self._held: Served | None = None
        self._failure: RetryableError | None = None
        self._looked_at = float("-inf")

    def current(self) -> Served | None:
        """What is served; None before the first item was indexed.

        At most one call to the index every LOOK_EVERY_S. Under steady traffic it is made aside,
        and nobody waits for it; after a pause by one thread, while the others go on with what they
        have. Nothing is not remembered: the first item is seen at once.

        Raises:
            RetryableError: the index does not answer and nothing is known from before, or what
                it serves was not made by this installation.
        """
        held, age = self._held, self._age()
        if age < LOOK_EVERY_S:
            return self._answer()
        soon = held is not None and age < LOOKS_MISSED * LOOK_EVERY_S
        if not self._looking.acquire(blocking=held is None or age == float("inf")):
            return self._answer() if soon else held
        if soon:
            self._aside.submit(self._look_again)
        else:
            self._look_again()
        return self._answer()

    def forget(self) -> None:
        """Look at the index in the next call, whenever the last look was: for a reader whose
        collection turned out to be gone."""
        self._looked_at = float("-inf")

    def _age(self) -> float:
        """Seconds since the last look. A failure is remembered, too: callers do not queue up to
        wait for a dead index."""
        known = self._held is not None or self._failure is not None
        return time.monotonic() - self._looked_at if known else float("inf")

    def _look_again(self) -> None:
        """Called with `_looking` held, by whichever thread; lets go of it."""
        try:
            if self._age() >= LOOK_EVERY_S:
                try:
                    self._held, self._failure = self._look(), None
                except RetryableError as error:
                    self._failure = error
                self._looked_at = time.monotonic()
        finally:
            self._looking.release()

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
