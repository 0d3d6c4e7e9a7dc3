"""Published hybrids: versioned folders, one pointer per fusion, swapped atomically."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
from ranking.artifact import FACTS_FILE, facts_of, load, save
from ranking.hybrid import Hybrid, untrained
from ranking.layout import FusionLike
from ranking.projection import FACTS_FILE as PROJECTION_FILE
from ranking.space import RankSpace

log = logger(__name__)

SAFE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
KEPT = 3
"""Hybrids kept on disk beside those that serve."""


class HybridStore:
    """The hybrid that serves, per fusion; the prior where none was published.

    A publisher in another process is seen at the next call of `current`, which costs one stat.
    Every fusion has its own pointer, so that going back to an older fusion finds the hybrid that
    was made for it. Publishers, in whatever process, take turns: none removes what another is about
    to point at.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._loaded: dict[str, tuple[Stamp, Hybrid]] = {}
        self._pointers: dict[str, Path] = {}

    def current(self, fusion: FusionLike, space: RankSpace) -> Hybrid:
        """The hybrid for this fusion and space. One that is refused is logged and the old stays."""
        now = stamp(self._pointer(fusion.version))
        held = self._loaded.get(fusion.version)
        if held is not None and held[0] == now and held[1].space == space:
            return held[1]
        with self._lock:
            held = self._loaded.get(fusion.version)
            if held is None or held[0] != now or held[1].space != space:
                old = untrained(fusion, space)
                if held is not None and held[1].space == space:
                    old = held[1]
                found = self._read(fusion, space, old) if now else untrained(fusion, space)
                held = (now, found)
                self._loaded = {fusion.version: held} | {
                    version: other
                    for version, other in list(self._loaded.items())[:3]
                    if version != fusion.version
                }
            return held[1]

    def publish(self, hybrid: Hybrid, fusion: FusionLike) -> None:
        """Write a hybrid and make it the one that serves its fusion; older ones than the last
        KEPT are removed, except those that serve another fusion.

        Raises:
            RejectedError: `Hybrid.check` refuses it; what served goes on serving.
        """
        hybrid.check(fusion, hybrid.space)
        pointer = json.dumps({"version": hybrid.version})
        with self._publishing():
            put_folder(self._folder / _safe(hybrid.version), lambda folder: save(hybrid, folder))
            write_durably(self._pointer(fusion.version), pointer.encode())
            self._retire()

    def is_published(self, fusion: FusionLike) -> bool:
        """Whether anything but the prior serves this fusion."""
        return stamp(self._pointer(fusion.version)) is not None

    def versions(self) -> list[str]:
        """Every hybrid on disk, for going back."""
        return sorted(folder.name for folder in self._on_disk())

    def facts(self) -> dict[str, dict[str, Any] | None]:
        """Where every hybrid on disk comes from, by version; None where that cannot be read."""
        return {folder.name: facts_of(folder) for folder in self._on_disk()}

    def remove(self, versions: Collection[str]) -> None:
        """Remove these, of whatever fusion, and what points at them."""
        if not versions:
            return
        with self._publishing():
            for pointer in self._folder.glob("current-*.json"):
                if self._pointed(pointer) in versions:
                    pointer.unlink(missing_ok=True)
            for version in versions:
                remove_folder(self._folder / _safe(version))

    def last_facts(self) -> dict[str, Any]:
        """`Hybrid.facts` of the one published last, of any fusion; empty where there is none."""
        for pointer in reversed(oldest_first(self._folder.glob("current-*.json"))):
            folder = self._folder / self._pointed(pointer)
            facts = facts_of(folder)
            if facts is not None and (folder / FACTS_FILE).is_file():
                return facts
        return {}

    def keep_only(self, hybrid: Hybrid, fusion: FusionLike) -> None:
        """Remove every other hybrid, of any fusion: what a forgotten user left in them."""
        with self._publishing():
            for folder in self._on_disk():
                if folder.name != hybrid.version:
                    remove_folder(folder)
            for pointer in self._folder.glob("current-*.json"):
                if pointer != self._pointer(fusion.version):
                    pointer.unlink(missing_ok=True)

    @contextmanager
    def _publishing(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with alone(self._folder / "lock"):
            yield

    def _on_disk(self) -> list[Path]:
        return [path.parent for path in self._folder.glob(f"[!.]*/{PROJECTION_FILE}")]

    def _retire(self) -> None:
        """Forget all but the newest and those that serve."""
        serving = {self._pointed(path) for path in self._folder.glob("current-*.json")}
        for folder in oldest_first(self._on_disk())[:-KEPT]:
            if folder.name not in serving:
                remove_folder(folder)

    def _pointed(self, pointer: Path) -> str:
        try:
            return str(json.loads(pointer.read_text(encoding="utf-8"))["version"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def _read(self, fusion: FusionLike, space: RankSpace, old: Hybrid) -> Hybrid:
        try:
            pointer = json.loads(self._pointer(fusion.version).read_text(encoding="utf-8"))
            found = load(self._folder / _safe(str(pointer["version"])), fusion, space)
        except (OSError, ValueError, KeyError, TypeError, RejectedError) as error:
            log.error("hybrid refused, the old one stays", kept=old.version, why=str(error))
            return old
        log.info("hybrid loaded", hybrid=found.version, fusion=fusion.version)
        return found

    def _pointer(self, fusion_version: str) -> Path:
        found = self._pointers.get(fusion_version)
        if found is None:
            found = self._folder / f"current-{_safe(fusion_version)}.json"
            self._pointers[fusion_version] = found
        return found


def _safe(name: str) -> str:
    if not SAFE_NAME.match(name):
        raise RejectedError(f"{name!r} cannot name a file", field="version")
    return name
