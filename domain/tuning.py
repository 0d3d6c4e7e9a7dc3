"""How a process that serves uses processor and memory. Called by processes of our own, never by
what others import."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt (malloc.h)."""

FROM_HEAP_BYTES = 32 * 2**20
KEPT_BYTES = 512 * 2**20

_before: dict[str, int] = {}
"""Threads of "blas" as the environment or the cores had it; empty where nothing was tuned."""

_learning = 0
_lock = threading.Lock()


def tune_for_serving() -> None:
    """Small products on one thread each, and freed memory kept.

    OpenBLAS's other threads spin for some 30 ms after a product in case there is another: one of
    64 rows costs 36 ms of processor time instead of half a millisecond, which the encoders and the
    index on the same cores lack. And glibc gives the memory of each batch's activations back to
    the system, which has to clear the pages again for the next: a quarter of the time of some
    networks. Up to 512 MB are kept per arena instead. The environment's own MALLOC_... settings
    are left as they are.
    """
    if _before:
        return
    _before.update(threadpool_limits(1, "blas").get_original_num_threads())
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc
        mallopt(M_MMAP_THRESHOLD, FROM_HEAP_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


@contextmanager
def on_all_cores() -> Iterator[None]:
    """Large products, as of a training, take the threads they had before `tune_for_serving` while
    this, or another of its kind in this process, lasts; a decorator, too."""
    _count(+1)
    try:
        yield
    finally:
        _count(-1)


def _count(change: int) -> None:
    global _learning
    with _lock:
        _learning += change
        if _before:
            threadpool_limits(_before["blas"] if _learning else 1, "blas")
