"""Building the HNSW graph beside the serving engine, and swapping it in.

    1. note the journal's position; from here on every write is replayed later
    2. scroll all points, slice by slice, into a child process, which builds
    3. load what it built and replay the journal over it while writes go on
    4. between two writes: replay the last few, switch current.json, serve the new engine

The points are copied while they change, so the copy is of no one moment; the effects in the
journal are absolute, so replaying them over it ends in the present state. Nothing is locked but
step 4, which lasts milliseconds. A crash at any step leaves current.json pointing to a whole
shard whose journal is complete.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import orjson
import qdrant_edge as edge

from domain.errors import FirstlightError
from domain.log import logger
from index.server.build import frame
from index.server.collection import Collection
from index.server.effects import PutPoints, encode, plain_id
from index.server.engine import engine_errors, open_shard, sync_tree
from index.server.engine_config import edge_config
from index.server.journal import Position
from index.server.points import PointRecord
from index.server.replay import replay
from index.server.writes import SLICE

log = logger(__name__)

POLL_S = 0.05
LAST_RECORDS = 32
"""Records left for the step that writes wait for: a few milliseconds."""

CATCH_UP_ROUNDS = 20


class BuildError(FirstlightError):
    """The build did not finish; the collection serves on as it was."""


class Stopped(Exception):  # noqa: N818 - no error
    """The server or the collection is closing."""


def build_graph(
    collection: Collection,
    stopping: Callable[[], bool],
    on_loop: Callable[[Callable[[], None]], None],
) -> None:
    """Build, catch up, swap. Blocks for as long as the build takes.

    Args:
        stopping: whether to give up.
        on_loop: runs something on the event loop's thread, where the engine is read, and waits.

    Raises:
        BuildError: the child failed.
        Stopped: the server or the collection is closing.
    """
    started = time.monotonic()
    folder = collection.folder / f"shard-{uuid4().hex[:12]}"
    start = collection.between_writes(collection.begin_build).result()
    try:
        points = _run_child(collection, folder, stopping)
        shard = open_shard(folder, edge_config(collection.spec, collection.defaults))
        position = _catch_up(collection, shard, start, stopping)
        old_folder = collection.shard_folder
        old, waited_s = collection.between_writes(
            lambda: _swap(collection, shard, folder, position, points)
        ).result()
    except BaseException:
        collection.end_build()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    collection.end_build()
    sync_tree(old_folder)  # closing flushes, and holds the interpreter's lock while it does
    on_loop(old.close)
    collection.flush()
    shutil.rmtree(old_folder)
    log.info(
        "graph built",
        collection=collection.name,
        points=points,
        seconds=round(time.monotonic() - started, 1),
        writes_waited_ms=round(waited_s * 1000, 1),
    )


def _run_child(collection: Collection, folder: Path, stopping: Callable[[], bool]) -> int:
    """Feed the child and wait for it; returns how many points it was given."""
    command = [sys.executable, "-m", "index.server.build", str(folder), str(os.getpid())]
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=errors)  # noqa: S603
        try:
            points = _feed(collection, child, stopping)
            while child.poll() is None:
                _check(stopping)
                time.sleep(POLL_S)
        finally:
            child.kill()
            code = child.wait()
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip().splitlines()
    if code != 0:
        raise BuildError(f"the build ended with code {code}: {said[-1] if said else 'no message'}")
    return points


def _feed(
    collection: Collection, child: subprocess.Popen[bytes], stopping: Callable[[], bool]
) -> int:
    assert child.stdin is not None
    head = {
        "config": collection.spec.to_json(),
        "defaults": asdict(collection.defaults),
        "indexes": collection.indexes,
    }
    points = 0
    # A child that dies breaks the pipe; its exit code and last words tell more than that does.
    with contextlib.suppress(BrokenPipeError), child.stdin as pipe:
        pipe.write(frame(orjson.dumps(head)))
        for part in _all_points(collection.shard):
            _check(stopping)
            pipe.write(frame(encode([PutPoints(part)])))
            points += len(part)
        pipe.write(frame(b""))
    return points


def _all_points(shard: edge.EdgeShard) -> Iterator[list[PointRecord]]:
    """Every point, with its vectors and payload, a slice at a time."""
    offset: Any = None
    while True:
        request = edge.ScrollRequest(
            offset=offset, limit=SLICE, with_payload=True, with_vector=True
        )
        with engine_errors():
            records, offset = shard.scroll(request)
        if records:
            yield [_point(record) for record in records]
        if offset is None:
            return


def _point(record: edge.Record) -> PointRecord:
    held: Any = record.vector
    named = held if isinstance(held, dict) else {"": held}
    vectors = {name: np.asarray(numbers, dtype=np.float32) for name, numbers in named.items()}
    return PointRecord(plain_id(record.id), vectors, record.payload or {})


def _catch_up(
    collection: Collection,
    shard: edge.EdgeShard,
    position: Position,
    stopping: Callable[[], bool],
) -> Position:
    """Replay what was written during the build, until only the last few records are left."""
    for _ in range(CATCH_UP_ROUNDS):
        _check(stopping)
        done = replay(collection.journal, shard, position)
        position = done.end or position
        if done.records <= LAST_RECORDS:
            break
    return position


def _swap(
    collection: Collection, shard: edge.EdgeShard, folder: Path, position: Position, points: int
) -> tuple[edge.EdgeShard, float]:
    """On the writer's thread: replay the rest, then serve the new engine."""
    began = time.monotonic()
    replay(collection.journal, shard, position)
    return collection.swap(shard, folder, points), time.monotonic() - began


def _check(stopping: Callable[[], bool]) -> None:
    if stopping():
        raise Stopped
