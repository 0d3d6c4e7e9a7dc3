"""Fusions on disk, by version. Which one is in use is said by the collections' registry."""

from __future__ import annotations

import re
import threading
from pathlib import Path

from domain.durable import oldest_first, put_folder, remove_folder
from domain.errors import NotFoundError, RejectedError
from encoders.fusion.files import LAYOUT
from encoders.fusion.fusion import Fusion

_VERSION = re.compile(r"(fit|gated|passthrough)-[0-9a-f]{12}")
_KEPT_IN_MEMORY = 4


class FusionStore:
    """`folder/VERSION/` holds a fusion, put in place by one rename, so that any number of processes
    may read and add. Safe to share between threads.
    """

    def __init__(self, folder: Path) -> None:
        """folder: made if absent."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = threading.Lock()
        self._loaded: dict[str, Fusion] = {}

    def get(self, version: str) -> Fusion:
        """The fusion of a version that was added before.

        Raises:
            NotFoundError: there is none.
            RejectedError: it is damaged.
        """
        with self._lock:
            if version in self._loaded:
                return self._loaded[version]
        if not _VERSION.fullmatch(version) or not (self._folder / version).is_dir():
            raise NotFoundError(
                f"no fusion {version!r} in {self._folder}", remedy="fit one: firstlight fit-fusion"
            )
        fusion = Fusion.load(self._folder / version)
        with self._lock:
            self._loaded[version] = fusion
            while len(self._loaded) > _KEPT_IN_MEMORY:
                self._loaded.pop(next(iter(self._loaded)))
        return fusion

    def add(self, fusion: Fusion) -> None:
        """Keep a fusion, also where its folder has lost its files."""
        folder = self._folder / fusion.version
        if folder.is_dir() and not (folder / LAYOUT).is_file():
            remove_folder(folder)
        put_folder(folder, fusion.save)

    def versions(self) -> list[str]:
        """Versions on disk, oldest first."""
        found = (path for path in self._folder.iterdir() if _VERSION.fullmatch(path.name))
        return [path.name for path in oldest_first(found)]

    def retire(self, version: str) -> None:
        """Remove a version from disk; absent already is fine.

        Raises:
            RejectedError: that is not the version of a fusion.
        """
        if not _VERSION.fullmatch(version):
            raise RejectedError(f"{version!r} is not the version of a fusion")
        with self._lock:
            self._loaded.pop(version, None)
        remove_folder(self._folder / version)
