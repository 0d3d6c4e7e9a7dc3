"""A bounded map that forgets what was used least recently."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """Thread-safe; a size of 0 keeps nothing."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: K) -> V | None:
        """The value, now the most recently used; or None."""
        with self._lock:
            value = self._held.get(key)
            if value is not None:
                self._held.move_to_end(key)
            return value

    def get_many(self, keys: Iterable[K]) -> list[V | None]:
        """The values of these keys, as `get` gives them."""
        held = self._held
        with self._lock:
            values = []
            for key in keys:
                value = held.get(key)
                if value is not None:
                    held.move_to_end(key)
                values.append(value)
            return values

    def put(self, key: K, value: V) -> None:
        """Keep a value, and forget the oldest beyond the size."""
        if self._size == 0:
            return
        with self._lock:
            self._held[key] = value
            self._held.move_to_end(key)
            if len(self._held) > self._size:
                self._held.popitem(last=False)
