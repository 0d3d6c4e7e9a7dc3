"""Fusions on disk, by version, and a pointer to the active one that every process follows."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
from pathlib import Path

from domain.errors import NotFoundError, RejectedError, RetryableError
from encoders.fusion.files import LAYOUT, write_durably
from encoders.fusion.fusion import Fusion

_POINTER = "active"
_VERSION = re.compile(r"(fit|passthrough)-[0-9a-f]{12}")
_KEPT_IN_MEMORY = 4


class FusionStore:
    """`folder/VERSION/` holds a fusion, `folder/active` names the active version.

    Both are put in place by one rename, so that any number of processes may read and activate.
    Safe to share between threads.
    """

    def __init__(self, folder: Path) -> None:
        """folder: made if absent."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._active: Fusion | None = None
        self._loaded: dict[str, Fusion] = {}

    def active(self) -> Fusion | None:
        """The active fusion, None before the first was activated.

        Costs one stat of the pointer while that has not changed.

        Raises:
            RejectedError: what the pointer names is missing or damaged.
            RetryableError: the pointer could not be read.
        """
        pointer = self._folder / _POINTER
        try:
            stat = pointer.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RetryableError(f"the pointer {pointer} cannot be read: {error}") from error
        stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        with self._lock:
            if stamp == self._stamp:
                return self._active
        try:
            version = pointer.read_text(encoding="ascii").strip()
        except OSError as error:
            raise RetryableError(f"the pointer {pointer} cannot be read: {error}") from error
        fusion = self.get(version)
        with self._lock:
            self._stamp, self._active = stamp, fusion
        return fusion

    def get(self, version: str) -> Fusion:
        """The fusion of a version that was activated or added before.

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
        """Keep a fusion without activating it."""
        target = self._folder / fusion.version
        if (target / LAYOUT).is_file():
            return
        building = Path(tempfile.mkdtemp(prefix=".building-", dir=self._folder))
        try:
            fusion.save(building)
            building.rename(target)
        except OSError:
            # another process may have put the same version in place first; its files are equal
            if not (target / LAYOUT).is_file():
                raise
        finally:
            shutil.rmtree(building, ignore_errors=True)
        _sync_folder(self._folder)

    def activate(self, fusion: Fusion) -> None:
        """Keep a fusion and make it the active one, in every process at its next `active()`.

        Raises:
            RejectedError: what is on disk under its version is damaged; the pointer stays.
        """
        self.add(fusion)
        Fusion.load(self._folder / fusion.version)
        descriptor, name = tempfile.mkstemp(prefix=".pointer-", dir=self._folder)
        os.close(descriptor)
        building = Path(name)
        try:
            write_durably(building, f"{fusion.version}\n".encode("ascii"))
            building.replace(self._folder / _POINTER)
        finally:
            building.unlink(missing_ok=True)
        _sync_folder(self._folder)

    def versions(self) -> list[str]:
        """Versions on disk, oldest first."""
        found = [
            (path.stat().st_mtime_ns, path.name)
            for path in self._folder.iterdir()
            if path.is_dir() and _VERSION.fullmatch(path.name)
        ]
        return [name for _, name in sorted(found)]

    def retire(self, version: str) -> None:
        """Remove a version from disk; absent already is fine.

        Raises:
            RejectedError: it is the active one.
        """
        active = self.active()
        if active is not None and active.version == version:
            raise RejectedError(
                f"fusion {version} is active", remedy="activate another one before retiring it"
            )
        if not _VERSION.fullmatch(version):
            raise RejectedError(f"{version!r} is not the version of a fusion")
        with self._lock:
            self._loaded.pop(version, None)
        shutil.rmtree(self._folder / version, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power cut, where the system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
