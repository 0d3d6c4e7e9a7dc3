"""A plan carried out by several processes, each with its share of the cores.

What one process would do method by method is handed out one by one; which process does it changes
nothing but the time, for every result depends on its own seed alone. Each is kept in the same
folder as it is known (`evaluation.run`), so that a run that was killed goes on where it was.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
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
    steps: list[Step] = []
    facts: list[dict[str, Any]] = []
    for seed in plan.seeds:
        splits = plan.splits(evaluator.dataset, seed)
        facts += [{"seed": seed, **split.facts} for split in splits]
        steps += [(seed, a, b) for a in range(len(splits)) for b in range(len(plan.steps()))]
    jobs = min(jobs, max(len(steps), 1))
    watch.begin(len(steps))
    watch.step(f"{jobs} processes")
    threads = max(cpu_threads(evaluator.settings.encoder) // jobs, 1)
    share = replace(evaluator, watch=Unwatched())
    with ProcessPoolExecutor(jobs, get_context("spawn"), _begin, (share, threads)) as pool:
        waiting = [pool.submit(_carry_out, step) for step in steps]
        try:
            for done in as_completed(waiting):
                run, kept = done.result()
                watch.step(f"{jobs} processes, last: {named(run)}")
                watch.done(run, kept)
        except BrokenProcessPool as error:
            raise RejectedError(
                "a process was killed, perhaps for want of memory: each holds the data for itself",
                field="--jobs",
                remedy="say --jobs 1; what is done is found again",
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return Outcome(tuple(_run_of(one) for one in waiting), tuple(facts))


def _run_of(future: Future[tuple[Run, bool]]) -> Run:
    return future.result()[0]


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
