"""The upload store: media sent by POST /v1/uploads, named by what they contain."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from domain.durable import sync
from domain.errors import NotFoundError, RejectedError
from workers.fetch_types import AUDIO_READ, IMAGES_READ, SNIFFED_BYTES, content_type

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHUNK_BYTES = 2**20
_ABANDONED_S = 24 * 3600.0
_PARTIAL = ".partial"


class Uploads:
    """Files under `folder` as ab/cdef..., by the sha256 of their bytes.

    The same content is stored once, however often and by however many it is sent at once. A
    file is there whole or not at all: it is written aside, fsynced and renamed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, content: bytes | IO[bytes] | Iterable[bytes], limit_bytes: int) -> str:
        """Store `content` durably and return its sha256, 64 hexadecimal digits.

        Raises:
            RejectedError: empty, more than `limit_bytes`, or nothing the encoders read.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        descriptor, name = tempfile.mkstemp(dir=self._folder, suffix=_PARTIAL)
        partial = Path(name)
        digest = hashlib.sha256()
        size, start = 0, b""
        try:
            with os.fdopen(descriptor, "wb") as file:
                for chunk in _chunks(content):
                    size += len(chunk)
                    if size > limit_bytes:
                        raise RejectedError(
                            f"more than the limit of {limit_bytes:,} bytes",
                            field="file",
                            remedy="send a smaller file or raise FIRSTLIGHT_API_UPLOAD_BYTES",
                        )
                    if len(start) < SNIFFED_BYTES:
                        start += chunk[:SNIFFED_BYTES]
                    digest.update(chunk)
                    file.write(chunk)
                _check_type(start)
                file.flush()
                os.fsync(file.fileno())
            sha256 = digest.hexdigest()
            self._keep(partial, self._place(sha256))
        finally:
            partial.unlink(missing_ok=True)
        return sha256

    def path(self, sha256: str) -> Path:
        """Where the upload lies.

        Raises:
            NotFoundError: there is none of that name.
        """
        if _SHA256.fullmatch(sha256) and (path := self._place(sha256)).is_file():
            return path
        raise NotFoundError(
            f"no upload {sha256[:80]}", remedy="send the file with POST /v1/uploads first"
        )

    def exists(self, sha256: str) -> bool:
        """Whether the upload is there."""
        return _SHA256.fullmatch(sha256) is not None and self._place(sha256).is_file()

    def older_than(self, age_s: float) -> list[str]:
        """The uploads that were last sent longer ago than this, by sha256, in order."""
        before = time.time() - age_s
        return sorted(
            path.parent.name + path.name
            for path in self._folder.glob("??/*")
            if _SHA256.fullmatch(path.parent.name + path.name) and _sent_at(path) < before
        )

    def remove(self, sha256: str, age_s: float) -> bool:
        """Remove an upload, unless it was sent again within this age; whether it was removed."""
        path = self._place(sha256)
        if _sent_at(path) >= time.time() - age_s:
            return False
        path.unlink(missing_ok=True)
        return True

    def _place(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / sha256[2:]

    def _keep(self, partial: Path, path: Path) -> None:
        if not path.parent.is_dir():
            path.parent.mkdir(exist_ok=True)
            sync(self._folder)
        partial.replace(path)
        sync(path.parent)

    def _sweep(self) -> None:
        """Remove what a process that was killed left half written."""
        for left in self._folder.glob("*" + _PARTIAL):
            try:
                if time.time() - left.stat().st_mtime > _ABANDONED_S:
                    left.unlink()
            except FileNotFoundError:
                continue


def _sent_at(path: Path) -> float:
    """When the content was last sent; what is gone counts as sent now."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _chunks(content: bytes | IO[bytes] | Iterable[bytes]) -> Iterator[bytes]:
    if isinstance(content, bytes | bytearray | memoryview):
        yield bytes(content)
    elif hasattr(content, "read"):
        while chunk := content.read(_CHUNK_BYTES):
            yield chunk
    else:
        yield from content


def _check_type(start: bytes) -> None:
    found = content_type(start)
    if found.kind is None:
        raise RejectedError(
            f"the file is {found.name}",
            field="file",
            remedy=f"send a picture ({IMAGES_READ}) or a recording ({AUDIO_READ})",
        )
