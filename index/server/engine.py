"""The engine's files and its errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import qdrant_edge as edge

from domain.errors import FirstlightError
from domain.log import logger
from index.server.errors import wrong

log = logger(__name__)


class EngineError(FirstlightError):
    """The engine broke where it should not."""


@contextmanager
def engine_errors() -> Iterator[None]:
    """Turn the engine's exceptions into ours.

    The engine raises plain Exception and ValueError for requests it cannot serve, and
    PanicException, which is no Exception, where it breaks.
    """
    try:
        yield
    except FirstlightError:
        raise
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            log.error("the engine panicked", error=str(error))
            raise EngineError(f"the engine failed: {error}") from error
        if type(error) in (Exception, ValueError, TypeError, OverflowError):
            raise wrong(str(error)) from error
        raise


def sync_tree(folder: Path) -> None:
    """Bring every file below the folder to the disk, without holding the interpreter's lock.

    The engine's own flush holds the lock while it syncs, which would freeze every request; after
    this it finds little left to do.
    """
    for path, _, names in os.walk(folder):
        for name in [*names, "."]:
            try:
                handle = os.open(Path(path, name), os.O_RDONLY)
            except FileNotFoundError:
                continue
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def open_shard(folder: Path, config: edge.EdgeConfig) -> edge.EdgeShard:
    """Load the engine's files."""
    with engine_errors():
        return edge.EdgeShard.load(str(folder), config)


def new_shard(folder: Path, config: edge.EdgeConfig) -> edge.EdgeShard:
    """Make an empty shard."""
    folder.mkdir(parents=True)
    with engine_errors():
        return edge.EdgeShard.create(str(folder), config)
