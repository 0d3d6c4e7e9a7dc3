"""The append-only log that makes a write durable before it is acknowledged.

A folder of segments, 0000000001.log onward. A record is

    b"FLJ1"  length: u32  crc32 of sequence and data: u32  sequence: u64  data

One record is one group commit: it is written and synced before the next one begins, so only
the very last record of the log can be torn by a crash. A torn tail is dropped; anything else
that does not check is corruption, and the log refuses to open.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from domain.durable import sync
from domain.errors import PermanentError
from domain.log import logger

log = logger(__name__)

MAGIC = b"FLJ1"
_HEAD = struct.Struct("<4sIIQ")


class Position(NamedTuple):
    """A place between two records: a segment's number and a byte offset in it."""

    segment: int
    offset: int


class Record(NamedTuple):
    """One record and the place after it."""

    sequence: int
    data: bytes
    end: Position


def _checksum(sequence: int, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(sequence.to_bytes(8, "little")))


class Journal:
    """The log of one collection. One thread appends; another may read what is synced."""

    def __init__(self, folder: Path) -> None:
        """Open the log, dropping a torn tail.

        Raises:
            PermanentError: a record other than the last does not check.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.failed = False
        """Whether a write failed beyond repair; then no more are taken."""
        self.sequence = 0
        numbers = self._numbers()
        for number in numbers:
            self._check(number, last=number == numbers[-1])
        self._number = numbers[-1] if numbers else 0
        if numbers:
            self._file = self._open(self._path(self._number))
            self._end = self._file.seek(0, os.SEEK_END)
        else:
            self._start(1)

    def append(self, data: bytes) -> int:
        """Write one record and wait until it is on the disk.

        Returns:
            Its sequence number.

        Raises:
            PermanentError: the disk did not take it; nothing was recorded.
        """
        if self.failed:
            raise PermanentError(
                f"the journal {self._folder} failed earlier and takes no writes",
                remedy="free or repair the disk and restart the index server",
            )
        sequence = self.sequence + 1
        head = _HEAD.pack(MAGIC, len(data), _checksum(sequence, data), sequence)
        try:
            self._write(head + data)
            os.fdatasync(self._file.fileno())
        except OSError as error:
            self._undo(error)
            raise PermanentError(
                f"the journal could not be written: {error}",
                remedy="free or repair the disk of the index server's data directory",
            ) from error
        self._end += len(head) + len(data)
        self.sequence = sequence
        return sequence

    def _write(self, record: bytes) -> None:
        """All of it: one call may take only a part, as on a disk that fills up."""
        rest = memoryview(record)
        while rest:
            taken = self._file.write(rest)
            if not taken:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            rest = rest[taken:]

    def _undo(self, error: OSError) -> None:
        """Cut off what a failed append left. A failed sync is final: the kernel forgets."""
        log.error("journal write failed", folder=str(self._folder), error=str(error))
        try:
            self._file.truncate(self._end)
            self._file.seek(self._end)
            os.fdatasync(self._file.fileno())
        except OSError:
            self.failed = True

    def position(self) -> Position:
        """The place after the last record."""
        return Position(self._number, self._end)

    def rotate(self) -> int:
        """Begin a new segment; returns its number. What is older can be dropped after a flush.

        A log that has failed stays in the segment it has: what is torn must be the end of the log.

        Raises:
            PermanentError: the disk did not take it; the log goes on in the segment it has.
        """
        if self.failed:
            return self._number
        old = self._file
        try:
            self._start(self._number + 1)
        except OSError as error:
            raise PermanentError(
                f"the journal could not begin a new segment: {error}",
                remedy="free or repair the disk of the index server's data directory",
            ) from error
        old.close()
        return self._number

    def drop_before(self, number: int) -> None:
        """Remove the segments older than this one."""
        for old in self._numbers():
            if old < number:
                self._path(old).unlink()
        sync(self._folder)

    def bytes(self) -> int:
        """Size of the log on disk."""
        return sum(self._path(number).stat().st_size for number in self._numbers())

    def read(self, start: Position | None = None) -> Iterator[Record]:
        """Records from `start` (the beginning) to the end as it is when each is read."""
        for number in self._numbers():
            if start is not None and number < start.segment:
                continue
            offset = start.offset if start is not None and number == start.segment else 0
            with self._path(number).open("rb") as file:
                file.seek(offset)
                while (record := _next(file, number)) is not None:
                    yield record

    def close(self) -> None:
        """Close the file. Everything appended is on disk already."""
        self._file.close()

    def _numbers(self) -> list[int]:
        return sorted(int(path.stem) for path in self._folder.glob("*.log"))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:010d}.log"

    def _start(self, number: int) -> None:
        """Begin a segment. Where that fails, the log is as it was, or has failed."""
        path = self._path(number)
        file = self._open(path, create=True)
        try:
            sync(self._folder)
        except OSError:
            file.close()
            self._remove(path)
            raise
        self._file = file
        self._number = number
        self._end = 0

    def _remove(self, path: Path) -> None:
        """Take back a segment, so that the one before it is the last again, also after a crash."""
        try:
            path.unlink()
            sync(self._folder)
        except OSError:
            self.failed = True

    @staticmethod
    def _open(path: Path, *, create: bool = False) -> BinaryIO:
        return path.open("x+b" if create else "r+b", buffering=0)

    def _check(self, number: int, *, last: bool) -> None:
        """Read a segment through; cut a torn tail off the last one, else refuse."""
        path = self._path(number)
        good = 0
        with path.open("rb") as file:
            while (record := _next(file, number)) is not None:
                if self.sequence and record.sequence != self.sequence + 1:
                    raise _corrupt(path, good, f"record {self.sequence + 1} is missing")
                self.sequence = record.sequence
                good = record.end.offset
            size = file.seek(0, os.SEEK_END)
            if good == size:
                return
            file.seek(good)
            if not last or _valid_record_after(file.read(), number):
                raise _corrupt(path, good, "a record in the middle does not check")
        log.warning("torn tail dropped", path=str(path), at=good, bytes=size - good)
        with path.open("r+b") as file:
            file.truncate(good)
            os.fsync(file.fileno())


def _corrupt(path: Path, offset: int, why: str) -> PermanentError:
    return PermanentError(
        f"the journal {path} is corrupt at byte {offset}: {why}",
        remedy="move the collection's folder away and rebuild it with `firstlight reindex`",
    )


def _next(file: BinaryIO, number: int) -> Record | None:
    """The record at the file's place, or None where there is no whole, valid one."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    magic, length, checksum, sequence = _HEAD.unpack(head)
    if magic != MAGIC:
        return None
    data = file.read(length)
    if len(data) < length or _checksum(sequence, data) != checksum:
        return None
    return Record(sequence, data, Position(number, file.tell()))


def _valid_record_after(tail: bytes, number: int) -> bool:
    """Whether a whole record follows the bad one: then it was no torn tail."""
    at = tail.find(MAGIC, 1)
    while at >= 0:
        if _next(BytesIO(tail[at:]), number) is not None:
            return True
        at = tail.find(MAGIC, at + 1)
    return False
