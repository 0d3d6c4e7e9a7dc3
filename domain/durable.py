"""Files and folders that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

Stamp = tuple[int, int, int] | None
"""What tells one content of a file from another without reading it; None: there is no file."""


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
    perhaps meanwhile, put the same. What a killed writer leaves is called `.new-*`.

    Args:
        write: fills the folder it is given.
    """
    if target.exists():
        return
    staged = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
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
