"""Letting one task run while no other does, so that it can take no neighbour down with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from domain.errors import RetryableError

WAIT_S = 600.0
"""Longest wait for the others to finish; every task is bounded well below it."""


class Isolation:
    """Tasks in company, or one alone. A waiting loner goes before later company."""

    def __init__(self, wait_s: float = WAIT_S) -> None:
        self._wait_s = wait_s
        self._changed = threading.Condition()
        self._together = 0
        self._alone = False
        self._loners_waiting = 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """Run beside others. Raises RetryableError when a loner does not end in time."""
        with self._changed:
            free = self._changed.wait_for(
                lambda: not self._alone and not self._loners_waiting, self._wait_s
            )
            if not free:
                raise RetryableError("a task that runs alone did not end")
            self._together += 1
        try:
            yield
        finally:
            with self._changed:
                self._together -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Run with nothing beside. Raises RetryableError when the others do not end in time."""
        with self._changed:
            self._loners_waiting += 1
            try:
                free = self._changed.wait_for(
                    lambda: not self._alone and not self._together, self._wait_s
                )
                if not free:
                    raise RetryableError("the tasks beside this one did not end")
                self._alone = True
            finally:
                self._loners_waiting -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()
