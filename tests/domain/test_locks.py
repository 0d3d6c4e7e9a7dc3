"""One holder at a time, over threads and processes, and never one that is dead."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from domain.locks import alone, alone_at_once

HOLDER = """
import sys
from pathlib import Path
from domain.locks import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_threads_take_turns(tmp_path: Path) -> None:
    inside, most = 0, []

    def work() -> None:
        nonlocal inside
        for _ in range(50):
            with alone(tmp_path / "lock"):
                inside += 1
                most.append(inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 200


def test_a_lock_of_another_process_is_seen_and_ends_with_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with alone_at_once(tmp_path / "lock") as mine:
            assert not mine
        holder.kill()
        with alone(tmp_path / "lock"), alone_at_once(tmp_path / "lock") as mine:
            assert not mine
    with alone_at_once(tmp_path / "lock") as mine:
        assert mine


def test_an_error_in_the_work_is_the_workers_own(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="of the work"), alone_at_once(tmp_path / "lock"):
        raise OSError("of the work")
    with alone_at_once(tmp_path / "lock") as mine:
        assert mine
