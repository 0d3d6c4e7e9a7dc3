"""Encoded profiles held in memory: bounded, for a while, and forgotten with whom they speak of."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from domain.vectors import Vector


@dataclass(eq=False)
class Encoded:
    """Words about a person, encoded: vectors by part of the user vector.

    What is worked out of them may hang on this object, by a weak reference: so it is forgotten
    with them.
    """

    vectors: dict[str, Vector]


@dataclass(slots=True)
class _Kept:
    words: Encoded
    made_at: float
    owners: set[str] = field(default_factory=set)


class ProfileCache:
    """Words by hash of the prompt; thread-safe. The models of a process never change, so the
    prompt alone is the key.

    Nothing of a person is written to disk, and an entry leaves `keep_s` after it was made however
    often it is read: so a process that never hears of a user's deletion forgets them, too.

    Args:
        size: entries; 0 keeps nothing.
        keep_s: seconds that an entry is kept at most.
    """

    def __init__(
        self, size: int, keep_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._size = size
        self._keep_s = keep_s
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._of_owner: dict[str, set[bytes]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, prompt: str, owner: str | None) -> Encoded | None:
        """The prompt encoded, now also its `owner`'s (a stored user's id); or None."""
        key = _key(prompt)
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            if self._clock() - found.made_at > self._keep_s:
                self._drop(key)
                return None
            self._kept.move_to_end(key)
            self._own(key, found, owner)
            return found.words

    def put(self, prompt: str, owner: str | None, words: Encoded) -> None:
        """Keep a prompt encoded; what is too old goes, then what was used least recently."""
        if self._size == 0:
            return
        key = _key(prompt)
        with self._lock:
            self._drop(key)
            self._kept[key] = kept = _Kept(words, self._clock())
            self._own(key, kept, owner)
            while len(self._kept) > self._size:
                self._drop(next(iter(self._kept)))

    def forget(self, owner: str) -> int:
        """Drop every entry that was made or read for this user; how many there were."""
        with self._lock:
            keys = list(self._of_owner.get(owner, ()))
            for key in keys:
                self._drop(key)
            return len(keys)

    def _own(self, key: bytes, kept: _Kept, owner: str | None) -> None:
        if owner is not None:
            kept.owners.add(owner)
            self._of_owner.setdefault(owner, set()).add(key)

    def _drop(self, key: bytes) -> None:
        gone = self._kept.pop(key, None)
        for owner in gone.owners if gone is not None else ():
            keys = self._of_owner[owner]
            keys.discard(key)
            if not keys:
                del self._of_owner[owner]


def _key(prompt: str) -> bytes:
    return hashlib.sha256(prompt.encode()).digest()
