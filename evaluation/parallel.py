"""A plan carried out by several processes, each with its share of the cores.

What one process would do method by method is handed out one by one; which process does it changes
nothing but the time, for every result depends on its own seed alone. A process stays with a split
as long as there is something to do on it, for the fusions and what several methods share
(`evaluation.methods.shared`) are made once per process and split. Each result is kept in the same
folder as it is known (`evaluation.run`), so that a run that was killed goes on where it was.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import Any

from threadpoolctl import threadpool_limits

from domain.errors import RejectedError
from domain.log import configure_logging
from encoders.device import cpu_threads
from evaluation.plan import Outcome, Unwatched
from evaluation.results import Run
from evaluation.run import Evaluator, OnSplit, dataset_digest, label_of, named

Step = tuple[int, int, int]
"""A seed, and the numbers of its split and of the step."""


def run_in_parallel(evaluator: Evaluator, jobs: int) -> Outcome:
    """`Evaluator.run` by so many processes, with the same results in the same order.

    Raises:
        RejectedError: a process was killed.
    """
    plan, watch = evaluator.plan, evaluator.watch
    splits: list[list[Step]] = []
    facts: list[dict[str, Any]] = []
    for seed in plan.seeds:
        for number, split in enumerate(plan.splits(evaluator.dataset, seed)):
            facts.append({"seed": seed, **split.facts})
            splits.append([(seed, number, at) for at in range(len(plan.steps()))])
    steps = [step for split in splits for step in split]
    jobs = min(jobs, max(len(steps), 1))
    watch.begin(len(steps))
    watch.step(f"{jobs} processes")
    threads = max(cpu_threads(evaluator.settings.encoder) // jobs, 1)
    share = replace(evaluator, watch=Unwatched())
    pools = [
        ProcessPoolExecutor(1, get_context("spawn"), _begin, (share, threads)) for _ in range(jobs)
    ]
    runs: dict[Step, Run] = {}
    try:
        for step, (run, kept) in _handed_out(Steps(splits), pools):
            runs[step] = run
            watch.step(f"{jobs} processes, last: {named(run)}")
            watch.done(run, kept)
    except BrokenProcessPool as error:
        raise RejectedError(
            "a process was killed, perhaps for want of memory: each holds the data for itself",
            field="--jobs",
            remedy="say --jobs 1; what is done is found again",
        ) from error
    finally:
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
    return Outcome(tuple(runs[step] for step in steps), tuple(facts))


class Steps:
    """What is still to be begun, by split."""

    def __init__(self, splits: Sequence[Sequence[Step]]) -> None:
        self._untouched = deque(deque(split) for split in splits if split)
        self._at: dict[int, deque[Step]] = {}
        self._helps: set[int] = set()

    def next_of(self, process: int) -> Step | None:
        """The next on its split; when that is done, the first on one that nobody has begun, else
        from the end of the one where most is left, with which it stays, too; None where nothing
        is."""
        if not self._at.get(process):
            if self._untouched:
                self._at[process] = self._untouched.popleft()
            else:
                self._at[process] = max(self._at.values(), key=len, default=deque())
                self._helps.add(process)
        split = self._at[process]
        if not split:
            return None
        return split.pop() if process in self._helps else split.popleft()


def _handed_out(
    steps: Steps, pools: Sequence[ProcessPoolExecutor]
) -> Iterator[tuple[Step, tuple[Run, bool]]]:
    """Each step with what became of it, as it is known; a pool of one process has one at a time."""
    begun: dict[Future[tuple[Run, bool]], tuple[int, Step]] = {}

    def begin(process: int) -> None:
        step = steps.next_of(process)
        if step is not None:
            begun[pools[process].submit(_carry_out, step)] = process, step

    for process in range(len(pools)):
        begin(process)
    while begun:
        for future in wait_for(begun, return_when=FIRST_COMPLETED).done:
            process, step = begun.pop(future)
            begin(process)
            yield step, future.result()


# ---------------------------------------------------------------------- in the other processes


class _Share:
    """What a process has: the plan, and the split that it was at last."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._about_data = dataset_digest(evaluator.dataset)
        self._at: tuple[int, int] | None = None

    def carry_out(self, step: Step) -> tuple[Run, bool]:
        seed, number, at = step
        if self._at != (seed, number):
            splits = self._evaluator.plan.splits(self._evaluator.dataset, seed)
            split = splits[number]
            self._on_split = OnSplit(
                self._evaluator, split, label_of(split, splits), self._about_data
            )
            self._at = (seed, number)
        return self._on_split.run(*self._evaluator.plan.steps()[at])


_shares: list[_Share] = []


def _begin(evaluator: Evaluator, threads: int) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = str(threads)  # for what is loaded from now on
    threadpool_limits(threads)
    configure_logging("warning")
    _shares.append(_Share(evaluator))


def _end_with_parent() -> None:
    """A process whose parent was killed would wait for its next step for ever."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _carry_out(step: Step) -> tuple[Run, bool]:
    return _shares[0].carry_out(step)
