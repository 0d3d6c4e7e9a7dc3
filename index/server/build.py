"""The child process that builds a fresh shard with its HNSW graph.

`python -m index.server.build FOLDER` reads frames from its input: first a JSON head
(configuration, payload indexes), then journal records of points, then an empty frame. Building
holds the interpreter's lock for minutes, which is why it happens here.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from index.server.bodies import Body
from index.server.effects import PutIndex, apply, decode
from index.server.engine import new_shard, sync_tree
from index.server.engine_config import edge_config
from index.server.spec import Defaults, parse_spec

LENGTH = 4
NICENESS = 10
_DIE_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG


def frame(data: bytes) -> bytes:
    """A frame as the child reads it."""
    return len(data).to_bytes(LENGTH, "little") + data


def read_frames(source: BinaryIO) -> Iterator[bytes]:
    """Frames up to the empty one.

    Raises:
        EOFError: the parent ended early.
    """
    while True:
        length = int.from_bytes(_exactly(source, LENGTH), "little")
        if length == 0:
            return
        yield _exactly(source, length)


def _exactly(source: BinaryIO, size: int) -> bytes:
    data = source.read(size)
    if len(data) < size:
        raise EOFError("the index server ended before it had sent everything")
    return data


def build(folder: Path, frames: Iterator[bytes]) -> None:
    """Fill a new shard and build its graph; on the disk when it returns."""
    head: dict[str, Any] = orjson.loads(next(frames))
    spec = parse_spec(Body(head["config"], "configuration"))
    shard = new_shard(folder, edge_config(spec, Defaults(**head["defaults"])))
    for data in frames:
        for effect in decode(data):
            apply(effect, shard)
    for field, schema in head["indexes"].items():
        apply(PutIndex(field, schema), shard)
    shard.optimize()
    shard.flush()
    shard.close()
    sync_tree(folder)


def _end_with(parent: int) -> None:
    """Be killed when the server is."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the index server has ended")


if __name__ == "__main__":
    os.nice(NICENESS)
    _end_with(int(sys.argv[2]))
    build(Path(sys.argv[1]), read_frames(sys.stdin.buffer))
