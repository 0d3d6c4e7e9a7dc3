"""Published projections: versioned folders, one pointer per fusion, swapped atomically."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import threading
from pathlib import Path

from domain.errors import RejectedError
from domain.log import logger
from ranking.layout import FusionLike
from ranking.projection import Projection, prior

log = logger(__name__)

SAFE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
Stamp = tuple[int, int, int] | None


class ProjectionStore:
    """The projection that serves, per fusion; the prior where none was published.

    A publisher in another process is seen at the next call of `current`, which costs one stat.
    Every fusion has its own pointer, so that going back to an older fusion finds the projection
    that was made for it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._loaded: dict[str, tuple[Stamp, Projection]] = {}

    def current(self, fusion: FusionLike) -> Projection:
        """The projection for this fusion. One that is refused is logged and the old one stays."""
        stamp = _stamp(self._pointer(fusion.version))
        held = self._loaded.get(fusion.version)
        if held is not None and held[0] == stamp:
            return held[1]
        with self._lock:
            held = self._loaded.get(fusion.version)
            if held is None or held[0] != stamp:
                old = held[1] if held is not None else prior(fusion)
                held = (stamp, self._read(fusion, old) if stamp else prior(fusion))
                self._loaded = {fusion.version: held} | {
                    version: other
                    for version, other in list(self._loaded.items())[:3]
                    if version != fusion.version
                }
            return held[1]

    def publish(self, projection: Projection, fusion: FusionLike) -> None:
        """Write a projection and make it the one that serves its fusion.

        Raises:
            RejectedError: `Projection.check` refuses it; what served goes on serving.
        """
        projection.check(fusion)
        target = self._folder / _safe(projection.version)
        self._folder.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            staged = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
            try:
                projection.save(staged)
                for file in staged.iterdir():
                    _sync(file)
                staged.rename(target)
            except OSError:
                if not target.exists():
                    raise
            finally:
                shutil.rmtree(staged, ignore_errors=True)
        self._point(fusion.version, projection.version)

    def versions(self) -> list[str]:
        """Every projection on disk, for going back."""
        return sorted(path.parent.name for path in self._folder.glob("[!.]*/projection.json"))

    def _read(self, fusion: FusionLike, old: Projection) -> Projection:
        try:
            pointer = json.loads(self._pointer(fusion.version).read_text(encoding="utf-8"))
            found = Projection.load(self._folder / _safe(str(pointer["version"])), fusion)
        except (OSError, ValueError, KeyError, TypeError, RejectedError) as error:
            log.error("projection refused, the old one stays", kept=old.version, why=str(error))
            return old
        log.info("projection loaded", projection=found.version, fusion=fusion.version)
        return found

    def _pointer(self, fusion_version: str) -> Path:
        return self._folder / f"current-{_safe(fusion_version)}.json"

    def _point(self, fusion_version: str, version: str) -> None:
        handle, name = tempfile.mkstemp(prefix=".pointer-", dir=self._folder)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"version": version}, file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(self._pointer(fusion_version))
        _sync(self._folder)


def _safe(name: str) -> str:
    if not SAFE_NAME.match(name):
        raise RejectedError(f"{name!r} cannot name a file", field="version")
    return name


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
