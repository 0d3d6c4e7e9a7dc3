"""One collection: its engine, its journal, its one writer, and the files of all three.

<folder>/collection.json   name, configuration, payload indexes
         current.json      which shard folder is the collection
         shard-<n>/        the engine's files
         journal/          what was acknowledged since the engine's last flush
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import qdrant_edge as edge

from domain.durable import sync
from domain.log import logger
from index.server.bodies import Body
from index.server.effects import DropIndex, Effect, PutIndex
from index.server.engine import new_shard, open_shard, sync_tree
from index.server.engine_config import edge_config
from index.server.files import read_json, write_json
from index.server.graph import Coverage, build_due
from index.server.journal import Journal, Position
from index.server.replay import replay
from index.server.spec import CollectionSpec, Defaults, parse_spec
from index.server.writer import Writer
from index.server.writes import Intent

log = logger(__name__)

T = TypeVar("T")

FLUSH_BYTES = 64 * 2**20
"""Bytes journalled from which the engine is flushed without waiting for the interval."""


class Collection:
    """An open collection. `shard` is read on the event loop's thread; writes go to `write`."""

    def __init__(self, folder: Path, defaults: Defaults) -> None:
        """Open the files and replay the journal.

        Raises:
            PermanentError: a file is corrupt; the message says which and what to do.
        """
        meta = read_json(folder / "collection.json")
        self.folder = folder
        self.name: str = meta["name"]
        self.defaults = defaults
        self.spec = parse_spec(Body(meta["config"], "collection.json"))
        self.indexes: dict[str, Any] = meta["indexes"]
        self.state = "green"
        self.build_error = ""
        self.building = threading.Lock()
        """Held while a graph is built."""
        self.closing = False
        self._held_segment: int | None = None
        self._next_coverage: Coverage | None = None
        self._flushing = threading.Lock()
        self._dirty_since: float | None = None
        current = read_json(folder / "current.json")
        self.shard_folder = folder / current["shard"]
        self.coverage = Coverage.from_json(current["graph"])
        self._remove_leftovers()
        self.journal = Journal(folder / "journal")
        self.shard = open_shard(self.shard_folder, edge_config(self.spec, defaults))
        done = replay(self.journal, self.shard, applied=self._applied)
        self._writer = Writer(self.name, self.journal, lambda: self.shard, self._applied)
        if done.records:
            log.info("journal replayed", collection=self.name, records=done.records)
            self.flush()

    @classmethod
    def create(
        cls, folder: Path, name: str, spec: CollectionSpec, defaults: Defaults
    ) -> Collection:
        """Make an empty collection; the folder appears whole or not at all."""
        fresh = folder.with_name(f".new-{folder.name}")
        shutil.rmtree(fresh, ignore_errors=True)
        new_shard(fresh / "shard-1", edge_config(spec, defaults)).close()
        write_json(fresh / "current.json", {"shard": "shard-1", "graph": Coverage().to_json()})
        _write_meta(fresh, name, spec, {})
        sync_tree(fresh)
        fresh.rename(folder)
        sync(folder.parent)
        return cls(folder, defaults)

    def points_count(self) -> int:
        """Points stored."""
        return int(self.shard.info().points_count)

    def problem(self) -> str:
        """Why the collection cannot serve, or nothing."""
        if not self._writer.alive:
            return f"the writer of collection {self.name} has ended"
        if self.journal.failed:
            return f"the journal of collection {self.name} takes no writes"
        return ""

    # -- writes --------------------------------------------------------------------------

    def write(self, intents: Sequence[Intent]) -> Future[int]:
        """Queue a write; see Writer.submit."""
        return self._writer.submit(intents)

    def _applied(self, effect: Effect) -> None:
        """Note an effect that is durable and visible; on the writer's thread."""
        if self._dirty_since is None:
            self._dirty_since = time.monotonic()
        self.coverage.note(effect)
        if self._next_coverage is not None:
            self._next_coverage.note(effect)
        match effect:
            case PutIndex(field, schema):
                self.indexes = {**self.indexes, field: schema}
            case DropIndex(field):
                self.indexes = {key: one for key, one in self.indexes.items() if key != field}
            case _:
                return
        _write_meta(self.folder, self.name, self.spec, self.indexes)

    def reconfigure(self, spec: CollectionSpec) -> None:
        """Take a changed configuration; the engine uses it from the next build."""
        self.spec = spec
        _write_meta(self.folder, self.name, spec, self.indexes)

    # -- durability ----------------------------------------------------------------------

    def flush_due(self) -> bool:
        """Whether the engine's files should be brought up to date."""
        since = self._dirty_since
        if since is None:
            return False
        interval_s = self.spec.flush_interval_s(self.defaults)
        return time.monotonic() - since >= interval_s or self.journal.bytes() >= FLUSH_BYTES

    def flush(self) -> None:
        """Bring the engine's files up to date and drop the journal that this makes needless.

        Blocks; call it off the event loop. Most of the syncing happens without the
        interpreter's lock and while writes go on.
        """
        with self._flushing:
            sync_tree(self.shard_folder)
            needless = self._writer.between(self._flush_engine).result()
            sync_tree(self.shard_folder)
            self.journal.drop_before(needless)

    def _flush_engine(self) -> int:
        """Flush; returns the first journal segment that is still needed.

        That is decided here, between two writes: once a build has swapped in another engine,
        what this one had flushed says nothing about that one.
        """
        number = self.journal.rotate()
        self.shard.flush()
        self._write_current()
        self._dirty_since = None
        return number if self._held_segment is None else min(number, self._held_segment)

    def _write_current(self) -> None:
        current = {"shard": self.shard_folder.name, "graph": self.coverage.to_json()}
        write_json(self.folder / "current.json", current)

    # -- a new graph ---------------------------------------------------------------------

    def build_due(self) -> bool:
        """Whether a graph should be built now."""
        return build_due(self.points_count(), self.coverage, self.spec, self.defaults)

    def between_writes(self, run: Callable[[], T]) -> Future[T]:
        """See Writer.between."""
        return self._writer.between(run)

    def begin_build(self) -> Position:
        """Keep the journal from here on, for replay; between two writes."""
        position = self.journal.position()
        self._held_segment = position.segment
        self._next_coverage = Coverage(points=1)
        return position

    def end_build(self) -> None:
        """Let the journal go again."""
        self._held_segment = None
        self._next_coverage = None

    def swap(self, shard: edge.EdgeShard, folder: Path, points: int) -> edge.EdgeShard:
        """Serve another engine that holds the same points; between two writes.

        Args:
            points: how many its graph was built over.

        Returns:
            The engine that served until now.
        """
        old = self.shard
        self.shard_folder = folder
        self.coverage = self._next_coverage or Coverage()
        self.coverage.points = points
        self._write_current()
        self.shard = shard
        return old

    # -- life ----------------------------------------------------------------------------

    def close(self) -> None:
        """Finish queued writes, flush, and let the files go."""
        self.closing = True
        with self.building:
            if self._dirty_since is not None:
                self.flush()
            self._writer.stop()
            self.journal.close()
            self.shard.close()

    def detach(self) -> None:
        """Refuse further writes and stop everything but reads; `remove` may follow."""
        self.closing = True
        with self.building, self._flushing:
            self._writer.stop()
            self.journal.close()

    def remove(self) -> None:
        """Delete the files of a detached collection whose engine is closed."""
        doomed = self.folder.with_name(f".deleted-{self.folder.name}")
        shutil.rmtree(doomed, ignore_errors=True)
        self.folder.rename(doomed)
        sync(doomed.parent)
        shutil.rmtree(doomed)

    def _remove_leftovers(self) -> None:
        """Delete what a build that was cut short left behind."""
        for path in self.folder.glob("shard-*"):
            if path != self.shard_folder:
                shutil.rmtree(path)


def _write_meta(folder: Path, name: str, spec: CollectionSpec, indexes: dict[str, Any]) -> None:
    write_json(
        folder / "collection.json", {"name": name, "config": spec.to_json(), "indexes": indexes}
    )
