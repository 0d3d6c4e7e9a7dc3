"""Media from directories that the operator allows, and from the upload store."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from domain.errors import NotFoundError, PermanentError, RetryableError
from workers.fetch_http import too_large
from workers.uploads import Uploads


class LocalFiles:
    """Reads regular files that lie, once links and `..` are resolved, in an allowed directory."""

    def __init__(self, allowed: Sequence[Path]) -> None:
        self._allowed = [folder.resolve() for folder in allowed]

    def read(self, reference: str, limit_bytes: int) -> bytes:
        """The content of `/path` or `file:///path`.

        Raises:
            PermanentError: not allowed, absent, no regular file, or more than `limit_bytes`.
                Outside the allowed directories nothing is said about whether a file exists.
            RetryableError: the disk failed.
        """
        path = Path(_path_of(reference))
        try:
            resolved = path.resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise PermanentError(f"cannot be resolved ({error})", remedy="correct it") from None
        for folder in self._allowed:
            if resolved.is_relative_to(folder):
                return _read_beneath(folder, resolved.relative_to(folder), limit_bytes)
        raise PermanentError(
            "lies outside the directories that may be read",
            remedy="upload it with POST /v1/uploads, or have the operator add its directory to"
            " FIRSTLIGHT_FETCH_LOCAL_DIRS",
        )


def read_upload(uploads: Uploads, reference: str, limit_bytes: int) -> bytes:
    """The content of `upload:SHA256`.

    Raises:
        PermanentError: no such upload, or more than `limit_bytes`.
        RetryableError: the disk failed.
    """
    try:
        path = uploads.path(reference.removeprefix("upload:"))
    except NotFoundError as error:
        raise PermanentError(error.message, remedy=error.remedy) from None
    return _read_beneath(path.parent, Path(path.name), limit_bytes)


def _path_of(reference: str) -> str:
    if not reference.startswith("file:"):
        return reference
    return os.fsdecode(unquote_to_bytes(urlsplit(reference).path))


def _read_beneath(folder: Path, relative: Path, limit_bytes: int) -> bytes:
    """Open component by component without following links, so that a link put there after the
    check leads nowhere; without blocking, so that a pipe does not hold the reader."""
    opened: list[int] = []
    try:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        opened.append(os.open(folder, flags | os.O_DIRECTORY))
        for part in relative.parent.parts:
            opened.append(os.open(part, flags | os.O_DIRECTORY, dir_fd=opened[-1]))
        opened.append(os.open(relative.name or ".", flags | os.O_NONBLOCK, dir_fd=opened[-1]))
        found = os.fstat(opened[-1])
        if not stat.S_ISREG(found.st_mode):
            raise PermanentError("is no regular file", remedy="name a file")
        if found.st_size > limit_bytes:
            raise too_large(found.st_size, limit_bytes)
        with os.fdopen(opened.pop(), "rb") as file:
            content = file.read(limit_bytes + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise PermanentError("no such file", remedy="correct the path") from None
    except PermissionError:
        raise PermanentError(
            "the worker may not read this file", remedy="correct its permissions"
        ) from None
    except OSError as error:
        raise RetryableError(f"could not be read ({error.strerror})") from None
    finally:
        for descriptor in opened:
            os.close(descriptor)
    if len(content) > limit_bytes:
        raise too_large(None, limit_bytes)
    return content
