"""Locks over all processes on a data directory. The system frees them when a holder dies."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock file, made if absent; waits for whoever holds it, thread or process."""
    with path.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


@contextmanager
def alone_at_once(path: Path) -> Iterator[bool]:
    """The same without waiting: whether it is held now."""
    with path.open("ab") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            mine = False
        else:
            mine = True
        yield mine
