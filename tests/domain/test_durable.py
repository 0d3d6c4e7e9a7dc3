"""Files and folders are there whole or not at all, whenever their writer is killed."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from domain.durable import oldest_first, put_folder, remove_folder, stamp, write_durably
from tests.fixtures.killed import at_every_step

OLD, NEW = b"old" * 40_000, b"new" * 50_000


def fill(folder: Path) -> None:
    (folder / "a").write_bytes(OLD)
    (folder / "inner").mkdir()
    (folder / "inner" / "b").write_bytes(NEW)


def is_whole(folder: Path) -> bool:
    return (folder / "a").read_bytes() == OLD and (folder / "inner" / "b").read_bytes() == NEW


def replaces_a_file(folder: Path) -> None:
    (folder / "file").write_bytes(OLD)
    (folder / "begun").touch()
    write_durably(folder / "file", NEW)


def puts_a_folder(folder: Path) -> None:
    put_folder(folder / "name", fill)


def removes_a_folder(folder: Path) -> None:
    put_folder(folder / "name", fill)
    (folder / "begun").touch()
    remove_folder(folder / "name")


def test_a_file_whose_writer_was_killed_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    folders = at_every_step(replaces_a_file, tmp_path)
    found = [(one / "file").read_bytes() for one in folders if (one / "begun").exists()]
    assert set(found) == {OLD, NEW}
    assert found == sorted(found, key=[OLD, NEW].index)
    assert sorted(path.name for path in folders[-1].iterdir()) == ["begun", "file"]


def test_a_folder_whose_writer_was_killed_is_whole_or_absent(tmp_path: Path) -> None:
    folders = at_every_step(puts_a_folder, tmp_path)
    assert len(folders) > 10
    there = [(one / "name").exists() for one in folders]
    assert there == sorted(there)
    assert there[-1]
    for one in folders:
        assert not (one / "name").exists() or is_whole(one / "name")
        put_folder(one / "name", fill)
        assert is_whole(one / "name")
    assert [path.name for path in folders[-1].iterdir()] == ["name"]


def test_a_folder_whose_remover_was_killed_is_whole_or_absent(tmp_path: Path) -> None:
    folders = [one for one in at_every_step(removes_a_folder, tmp_path) if (one / "begun").exists()]
    there = [(one / "name").exists() for one in folders]
    assert there == sorted(there, reverse=True)
    assert set(there) == {True, False}
    assert all(is_whole(one / "name") for one in folders if (one / "name").exists())
    assert [path.name for path in folders[-1].iterdir()] == ["begun"]


def test_what_a_killed_writer_left_is_removed_a_day_later(tmp_path: Path) -> None:
    killed = at_every_step(puts_a_folder, tmp_path)
    left = next(path for one in killed for path in one.glob(".*") if any(path.iterdir()))
    store = left.parent
    put_folder(store / "other", fill)
    assert left.exists()
    os.utime(left, (0, time.time() - 2 * 86_400))
    put_folder(store / "another", fill)
    assert not left.exists()
    assert is_whole(store / "other")


def test_a_folder_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    put_folder(tmp_path / "name", fill)
    put_folder(tmp_path / "name", lambda _: pytest.fail("written again"))
    assert is_whole(tmp_path / "name")


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        fill(folder)
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        put_folder(tmp_path / "name", fails)
    assert not list(tmp_path.iterdir())


def test_of_several_writers_at_the_same_time_one_puts_the_folder(tmp_path: Path) -> None:
    ready = threading.Barrier(8)

    def write(folder: Path) -> None:
        fill(folder)
        ready.wait()

    writers = [
        threading.Thread(target=put_folder, args=(tmp_path / "name", write)) for _ in range(8)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert is_whole(tmp_path / "name")
    assert [path.name for path in tmp_path.iterdir()] == ["name"]


def test_what_is_absent_is_removed_already(tmp_path: Path) -> None:
    remove_folder(tmp_path / "name")
    assert not list(tmp_path.iterdir())


def test_folders_are_listed_by_age_without_those_that_are_gone(tmp_path: Path) -> None:
    for name, at in (("b", 1), ("a", 2), ("gone", 3)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (at, at))
    listed = [tmp_path / "a", tmp_path / "gone", tmp_path / "b"]
    shutil.rmtree(tmp_path / "gone")
    assert [path.name for path in oldest_first(listed)] == ["b", "a"]


def test_a_replaced_file_has_another_stamp(tmp_path: Path) -> None:
    assert stamp(tmp_path / "file") is None
    write_durably(tmp_path / "file", OLD)
    first = stamp(tmp_path / "file")
    assert first == stamp(tmp_path / "file")
    write_durably(tmp_path / "file", OLD)
    assert stamp(tmp_path / "file") != first
