"""What several methods of a split make alike: made once, and counted for each of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Shared:
    """Results by key, for tasks that have the same items, training pairs and profiles.

    A method whose share another one had made already would look faster than it is, so that what is
    found again is charged with the seconds that it took.

    Attributes:
        charged: seconds that were charged so far; `evaluation.tuning` adds them to the clock.
    """

    def __init__(self) -> None:
        self.charged = 0.0
        self._kept: dict[Hashable, tuple[Any, float]] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, from the first call with this key on.

        Args:
            key: of what is made and of everything that it depends on besides the task's data.
            make: asks for nothing that is shared itself. What it gives must not be written into.
        """
        if key in self._kept:
            made, took = self._kept[key]
            self.charged += took
            return cast(T, made)
        begun = time.perf_counter()
        made = make()
        self._kept[key] = made, time.perf_counter() - begun
        return made
