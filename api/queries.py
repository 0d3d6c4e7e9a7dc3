"""The query of somebody, made anew only when something that it is made of is new."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from weakref import WeakKeyDictionary

from api.history import History, composed
from api.models import Said
from api.profiles import Encoded
from api.ranked import Space
from ranking import Query, user_vector

MOST_KEPT = 1_000
"""Some fifty kilobytes each."""


class Queries:
    """Thread-safe. Keeps those of people without a history: words that were encoded before then
    cost no product with the projection. What is kept of somebody is forgotten with their words.

    Args:
        k0: how slowly history takes over from what is said.
        most: how many are kept; one more, and it begins anew.
    """

    def __init__(self, k0: float, most: int = MOST_KEPT) -> None:
        self._k0 = k0
        self._most = most
        self._lock = threading.Lock()
        self._kept: WeakKeyDictionary[Encoded, tuple[Hashable, Query]] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, space: Space, said: Said, history: History) -> Query:
        """What ranks the items of a space for somebody.

        Raises:
            RejectedError: a part of the user vector has another length than its matrix.
        """
        if len(history):
            return self._made(space, said, history)
        told = said.demographics
        made_of = (
            space.collection,
            space.fusion.version,
            space.hybrid.version,
            space.hybrid.graph is None,
            None if told is None else told.tobytes(),
        )
        with self._lock:
            kept = self._kept.get(said.words)
        if kept is not None and kept[0] == made_of:
            return kept[1]
        query = self._made(space, said, history)
        with self._lock:
            if len(self._kept) >= self._most:
                self._kept.clear()
            self._kept[said.words] = (made_of, query)
        return query

    def _made(self, space: Space, said: Said, history: History) -> Query:
        user = user_vector(
            space.fusion.blocks, said.vectors, history.content, len(history), self._k0
        )
        return composed(space, user, history)
