"""Imported graphs: versioned folders and one pointer, swapped atomically."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from domain.durable import (
    Stamp,
    oldest_first,
    put_folder,
    remove_folder,
    stamp,
    write_durably,
)
from domain.errors import RejectedError
from domain.locks import alone
from domain.log import logger
from ranking.graph.artifact import FACTS_FILE, GraphArtifact

log = logger(__name__)

POINTER = "current.json"
KEPT = 3
"""Versions that stay on disk, for going back; older ones are removed at the next import."""


class GraphStore:
    """The graph that serves, or None before any was imported.

    A publisher in another process is seen at the next call of `current`, which costs one stat.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pointer = folder / POINTER
        self._lock = threading.Lock()
        self._held: tuple[Stamp, GraphArtifact | None] = (None, None)

    def current(self) -> GraphArtifact | None:
        """The graph that serves. One that cannot be read is logged and the old one stays."""
        now = stamp(self._pointer)
        held = self._held
        if held[0] == now:
            return held[1]
        with self._lock:
            if self._held[0] != now:
                self._held = (now, self._read(self._held[1]) if now else None)
            return self._held[1]

    def publish(self, artifact: GraphArtifact) -> None:
        """Write a graph and make it the one that serves.

        A folder of its name that is damaged is replaced, and one that tells of another import
        tells of this one.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        pointer = json.dumps({"version": artifact.version})
        folder = self._folder / artifact.version
        with alone(self._folder / "lock"):
            if folder.exists() and not _is_whole(folder):
                remove_folder(folder)
            put_folder(folder, artifact.save)
            facts = artifact.facts().encode()
            if (folder / FACTS_FILE).read_bytes() != facts:
                write_durably(folder / FACTS_FILE, facts)
            write_durably(self._pointer, pointer.encode())
            self._retire(artifact.version)

    def versions(self) -> list[str]:
        """Every graph on disk, the oldest first."""
        found = [path.parent for path in self._folder.glob(f"[!.]*/{FACTS_FILE}")]
        return [path.name for path in oldest_first(found)]

    def _retire(self, serving: str) -> None:
        others = [version for version in self.versions() if version != serving]
        for version in others[: -(KEPT - 1)]:
            remove_folder(self._folder / version)

    def _read(self, old: GraphArtifact | None) -> GraphArtifact | None:
        try:
            pointer = json.loads(self._pointer.read_text(encoding="utf-8"))
            version = str(pointer["version"])
            if Path(version).name != version:
                raise ValueError(f"{version!r} cannot name a folder")
            found = GraphArtifact.load(self._folder / version)
        except (OSError, ValueError, KeyError, TypeError, RejectedError) as error:
            kept = None if old is None else old.version
            log.error("graph refused, the old one stays", kept=kept, why=str(error))
            return old
        log.info("graph loaded", graph=found.version, entities=len(found.graph.entities))
        return found


def _is_whole(folder: Path) -> bool:
    try:
        GraphArtifact.load(folder)
    except RejectedError:
        return False
    return True
