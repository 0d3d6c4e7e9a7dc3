"""Loading a model without its library's chatter."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quiet(library: str) -> Iterator[None]:
    """Hold back warnings and log lines below ERROR of one library while a model is loaded.

    They are about the library's own deprecations and progress; what is wrong with a model is
    raised. Not thread-safe, as warnings are not: loading happens under the encoders' lock.
    """
    names = [library, *([""] if library == "open_clip" else [])]  # open_clip logs to the root
    loggers = [logging.getLogger(name) for name in names]
    levels = [one.level for one in loggers]
    bars = _progress_bars(library)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for one in loggers:
            one.setLevel(logging.ERROR)
        bars(False)
        try:
            yield
        finally:
            bars(True)
            for one, level in zip(loggers, levels, strict=True):
                one.setLevel(level)


def _progress_bars(library: str) -> Callable[[bool], None]:
    def leave(shown: bool) -> None:
        del shown

    if library != "transformers":
        return leave
    from transformers.utils import logging as transformers_logging

    chatter: Any = transformers_logging
    if not chatter.is_progress_bar_enabled():
        return leave

    def switch(shown: bool) -> None:
        (chatter.enable_progress_bar if shown else chatter.disable_progress_bar)()

    return switch
