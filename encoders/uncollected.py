"""Loading without garbage collection: libraries and models that are loaded stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect no garbage meanwhile.

    Importing torch and transformers makes a million objects and next to no garbage; searching them
    again and again is a seventh of the time until a model is loaded.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
