"""Files and folders that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

Stamp = tuple[int, int, int] | None
"""What tells one content of a file from another without reading it; None: there is no file."""

_ASIDE = ".aside-"
_ABANDONED_S = 86_400.0
"""A folder that is written or removed for longer than this has lost its writer."""


def write_durably(path: Path, content: bytes) -> None:
    """Replace `path` by one rename; returns once the content and the name are on the disk."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync(path.parent)


def put_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Put a folder in place by one rename, its content on the disk before its name.

    Does nothing where it is there: its name is that of its content, so whoever put it there,
    perhaps meanwhile, put the same. What a killed writer leaves beside it is removed a day later.

    Args:
        write: fills the folder it is given.
    """
    if target.exists():
        return
    staged = _aside(target)
    try:
        write(staged)
        for path in [*staged.rglob("*"), staged]:
            sync(path)
        staged.rename(target)
    except OSError:
        if not target.exists():
            raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    sync(target.parent)
    _remove_abandoned(target.parent)


def remove_folder(target: Path) -> None:
    """Take a folder from its place by one rename, then empty it; absent already is fine."""
    if not target.exists():
        return
    aside = _aside(target)
    with suppress(OSError):
        target.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def oldest_first(folders: Iterable[Path]) -> list[Path]:
    """By when they were put in place; those that were removed meanwhile are left out."""
    found = []
    for folder in folders:
        with suppress(FileNotFoundError):
            found.append((folder.stat().st_mtime_ns, folder))
    return [folder for _, folder in sorted(found)]


def stamp(path: Path) -> Stamp:
    """One stat: another value whenever `write_durably` has replaced the file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _aside(target: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=_ASIDE, dir=target.parent))


def _remove_abandoned(folder: Path) -> None:
    for left in folder.glob(f"{_ASIDE}*"):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(left, ignore_errors=True)
