"""The journal: what it gives back, and what it refuses to believe."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

import domain.durable
import index.server.journal as module
from domain.errors import PermanentError
from index.server.journal import Journal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def records(journal: Journal) -> list[bytes]:
    return [record.data for record in journal.read()]


def written(folder: Path, *data: bytes) -> Path:
    """A closed journal of one segment; returns the segment's file."""
    journal = Journal(folder)
    for one in data:
        journal.append(one)
    journal.close()
    (path,) = folder.glob("*.log")
    return path


def test_it_gives_back_what_was_appended_across_segments_and_openings(folder: Path) -> None:
    journal = Journal(folder)
    journal.append(b"one")
    journal.rotate()
    journal.append(b"two")
    journal.close()
    again = Journal(folder)
    assert again.append(b"three") == 3
    assert records(again) == [b"one", b"two", b"three"]
    again.close()


def test_reading_starts_where_it_is_told_to(folder: Path) -> None:
    journal = Journal(folder)
    journal.append(b"before")
    start = journal.position()
    journal.append(b"after")
    journal.rotate()
    journal.append(b"later")
    assert [record.data for record in journal.read(start)] == [b"after", b"later"]
    journal.close()


def test_what_was_flushed_can_be_dropped(folder: Path) -> None:
    journal = Journal(folder)
    journal.append(b"flushed")
    number = journal.rotate()
    journal.append(b"kept")
    journal.drop_before(number)
    journal.close()
    again = Journal(folder)
    assert records(again) == [b"kept"]
    again.close()


@given(cut=st.integers(min_value=1, max_value=40))
def test_a_torn_tail_is_dropped_wherever_it_was_torn(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("torn") / "journal"
    path = written(folder, b"a" * 30, b"b" * 30)
    os.truncate(path, path.stat().st_size - cut)
    journal = Journal(folder)
    assert records(journal) == [b"a" * 30]
    assert journal.append(b"c") == 2
    assert records(journal) == [b"a" * 30, b"c"]
    journal.close()


def test_a_tail_of_garbage_is_dropped(folder: Path) -> None:
    path = written(folder, b"good")
    with path.open("ab") as file:
        file.write(os.urandom(100))
    journal = Journal(folder)
    assert records(journal) == [b"good"]
    journal.close()


@pytest.fixture(params=["head", "data"])
def damaged(request: pytest.FixtureRequest, folder: Path) -> Path:
    path = written(folder, b"first", b"second", b"third")
    content = bytearray(path.read_bytes())
    content[content.index(b"second") - (2 if request.param == "head" else 0)] ^= 1
    path.write_bytes(content)
    return folder


def test_damage_before_a_good_record_is_refused_with_the_place(damaged: Path) -> None:
    with pytest.raises(PermanentError, match=r"corrupt at byte 25: .*reindex"):
        Journal(damaged)


def test_a_missing_segment_is_noticed(folder: Path) -> None:
    journal = Journal(folder)
    for data in (b"one", b"two", b"three"):
        journal.append(data)
        journal.rotate()
    journal.close()
    sorted(folder.glob("*.log"))[1].unlink()
    with pytest.raises(PermanentError, match="record 2 is missing"):
        Journal(folder)


def test_a_write_that_fails_leaves_the_log_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(folder)
    journal.append(b"before")
    sync = os.fdatasync
    calls = []

    def fail_once(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fdatasync", fail_once)
    with pytest.raises(PermanentError, match="No space left"):
        journal.append(b"lost")
    assert journal.append(b"after") == 2
    assert records(journal) == [b"before", b"after"]
    journal.close()


FULL_DISK = """
import signal, sys
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_FSIZE, setrlimit
from domain.errors import PermanentError
from index.server.journal import Journal

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path(sys.argv[1]))
journal.append(b"a" * 1000)
setrlimit(RLIMIT_FSIZE, (5000, RLIM_INFINITY))
try:
    journal.append(b"b" * 10_000)
except PermanentError as error:
    print("refused:", error)
print("small:", journal.append(b"c" * 100))
setrlimit(RLIMIT_FSIZE, (RLIM_INFINITY, RLIM_INFINITY))
print("with room:", journal.append(b"d" * 10_000))
"""
"""The limit takes the first part of a record and then no more, like a disk that fills up."""


def test_a_record_that_fits_only_in_part_is_refused_and_cut_off(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(folder)], capture_output=True, text=True, check=True
    )
    refused, small, large = done.stdout.splitlines()[-3:]
    assert refused.startswith("refused: the journal could not be written")
    assert (small, large) == ("small: 2", "with room: 3")
    again = Journal(folder)
    assert records(again) == [b"a" * 1000, b"c" * 100, b"d" * 10_000]
    again.close()


def test_a_record_that_is_taken_in_parts_is_written_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(folder)

    class InParts:
        """The journal's file, taking seven bytes at a time."""

        def __init__(self, file: BinaryIO) -> None:
            self._file = file

        def write(self, data: memoryview) -> int:
            return self._file.write(data[:7])

        def fileno(self) -> int:
            return self._file.fileno()

    with monkeypatch.context() as patched:
        patched.setattr(journal, "_file", InParts(journal._file))
        journal.append(b"a" * 100)
    assert journal.append(b"b") == 2
    assert records(journal) == [b"a" * 100, b"b"]
    journal.close()


def test_a_log_that_cannot_be_repaired_takes_no_more_writes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(folder)

    def fail(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(PermanentError, match="Input/output error"):
        journal.append(b"lost")
    monkeypatch.undo()
    with pytest.raises(PermanentError, match="failed earlier"):
        journal.append(b"also lost")
    journal.close()


def no_space(*_: object, **__: object) -> NoReturn:
    raise OSError(28, "No space left on device")


def fails_once(function: Callable[[Path], None]) -> Callable[[Path], None]:
    failures = iter([no_space])
    return lambda path: next(failures, function)(path)


@pytest.mark.parametrize("step", ["open", "sync"])
def test_where_no_segment_can_be_begun_the_old_one_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    journal = Journal(folder)
    journal.append(b"before")
    with monkeypatch.context() as patched:
        if step == "open":
            patched.setattr(Journal, "_open", no_space)
        else:
            patched.setattr(module, "sync", fails_once(domain.durable.sync))
        with pytest.raises(PermanentError, match=r"new segment: .*No space left"):
            journal.rotate()
        assert len(list(folder.iterdir())) == 1
        assert journal.append(b"after") == 2
    assert not journal.failed
    assert journal.rotate() == 2
    journal.append(b"later")
    journal.close()
    again = Journal(folder)
    assert records(again) == [b"before", b"after", b"later"]
    again.close()


def test_a_segment_that_cannot_be_taken_back_ends_the_writes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(folder)
    journal.append(b"before")
    monkeypatch.setattr(module, "sync", no_space)
    with pytest.raises(PermanentError, match="new segment"):
        journal.rotate()
    with pytest.raises(PermanentError, match="failed earlier"):
        journal.append(b"lost")
    assert records(journal) == [b"before"]
    journal.close()


def test_a_failed_log_keeps_its_torn_tail_last(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(folder)
    journal.append(b"before")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", no_space)
        with pytest.raises(PermanentError, match="No space left"):
            journal.append(b"lost")
    with (folder / "0000000001.log").open("ab") as file:
        file.write(b"FLJ1 torn")
    assert journal.rotate() == 1
    journal.close()
    again = Journal(folder)
    assert records(again) == [b"before"]
    again.close()
