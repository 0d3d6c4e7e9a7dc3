"""Several processes: none outlives the command, and there are no more than there are steps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from evaluation.methods import chosen
from evaluation.parallel import Step, Steps, run_in_parallel
from evaluation.results import Run
from evaluation.run import Evaluator


def _until(true: Callable[[], bool], seconds: float = 90.0) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.1)
    return true()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_processes_end_with_the_command_that_is_killed(
    how: signal.Signals, planted_folder: Path, tmp_path: Path
) -> None:
    sleepers = tmp_path / "sleepers"
    sleepers.mkdir()
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    command = subprocess.Popen(
        [
            *(sys.executable, "-m", "api.cli", "evaluate", str(planted_folder), "--jobs", "2"),
            *("--methods", "sleeping_method:Sleeping", "--seeds", "2", "--features", ""),
            *("--out", str(tmp_path / "report")),
        ],
        env={
            **os.environ,
            "SLEEPERS": str(sleepers),
            "PYTHONPATH": os.pathsep.join(paths),
            "FIRSTLIGHT_DATA_DIR": str(tmp_path / "data"),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    children: list[psutil.Process] = []
    try:
        assert _until(lambda: len(list(sleepers.iterdir())) == 2)
        children = [psutil.Process(int(path.name)) for path in sleepers.iterdir()]
        assert {child.ppid() for child in children} == {command.pid}
        command.send_signal(how)
        command.wait(30)
        assert _until(lambda: not any(map(_runs, children)), 30.0)
    finally:
        command.kill()
        command.wait()
        for child in filter(_runs, children):
            child.kill()


def _runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


class Heard:
    """Remembers what it was told is going on."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def begin(self, steps: int) -> None:
        """Not asked about."""

    def step(self, what: str) -> None:
        self.steps.append(what)

    def done(self, run: Run, kept: bool) -> None:
        """Not asked about."""


def test_what_ended_last_is_told_and_no_process_is_begun_for_nothing(evaluator: Evaluator) -> None:
    plan = replace(evaluator.plan, methods=chosen(["random", "popularity"]), seeds=(0,))
    heard = Heard()
    run_in_parallel(replace(evaluator, plan=plan, watch=heard), 16)
    assert heard.steps[0] == "2 processes"
    assert set(heard.steps[1:]) == {
        "2 processes, last: seed 0 random",
        "2 processes, last: seed 0 popularity",
    }


def test_a_process_stays_with_its_split_and_then_helps_with_the_longest_from_its_end() -> None:
    first, second, third = ([(seed, 0, at) for at in range(3)] for seed in range(3))
    steps = Steps([first, second, third])
    assert [steps.next_of(0), steps.next_of(1)] == [first[0], second[0]]
    assert [steps.next_of(0), steps.next_of(0)] == first[1:]
    assert [steps.next_of(0), steps.next_of(1)] == [third[0], second[1]]
    assert [steps.next_of(1), steps.next_of(1)] == [second[2], third[2]]
    assert [steps.next_of(0), steps.next_of(0), steps.next_of(1)] == [third[1], None, None]


def test_who_helps_stays_with_the_split_that_it_helps_with() -> None:
    splits = [[(seed, 0, at) for at in range(length)] for seed, length in enumerate((1, 6, 5))]
    steps = Steps(splits)
    for process in range(3):
        steps.next_of(process)
    helped = [steps.next_of(0) for _ in range(4)]
    assert helped == splits[1][:1:-1], "though after two steps more is left of the third"
    assert steps.next_of(0) == splits[1][1]
    assert steps.next_of(0) == splits[2][-1]


def test_every_step_is_handed_out_once_whoever_asks() -> None:
    splits: list[list[Step]] = [[(seed, 0, at) for at in range(seed)] for seed in range(5)]
    steps = Steps(splits)
    asked = [steps.next_of(turn % 3) for turn in range(13)]
    told = [step for step in asked if step is not None]
    assert sorted(told) == [step for split in splits for step in split]
