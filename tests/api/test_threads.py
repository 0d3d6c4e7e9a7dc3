"""Blocking work beside an event loop."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from api.threads import Threads


def test_results_and_errors_come_back_to_whoever_waits() -> None:
    def fail(error: BaseException) -> None:
        raise error

    async def main() -> None:
        threads = Threads(2, "test")
        assert await threads.run(divmod, 7, 2) == (3, 1)
        with pytest.raises(KeyError, match="which"):
            await threads.run(fail, KeyError("which"))
        with pytest.raises(RuntimeError, match="StopIteration"):
            await threads.run(fail, StopIteration())
        assert await threads.run(divmod, 9, 2) == (4, 1)
        threads.close()

    asyncio.run(asyncio.wait_for(main(), 20))


def test_work_runs_side_by_side_up_to_the_number_of_threads() -> None:
    at_once, most, counting = 0, 0, threading.Lock()

    def work(number: int) -> int:
        nonlocal at_once, most
        with counting:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.02)
        with counting:
            at_once -= 1
        return number

    async def main() -> None:
        made = Threads(3, "test")
        for _ in range(2):
            assert await asyncio.gather(*(made.run(work, n) for n in range(10))) == [*range(10)]
        made.close()

    asyncio.run(asyncio.wait_for(main(), 20))
    assert most == 3


def test_one_thread_serves_calls_that_follow_each_other() -> None:
    async def main() -> set[str]:
        made = Threads(8, "test")
        names = set()
        for _ in range(20):
            names.add(await made.run(lambda: threading.current_thread().name))
            await asyncio.sleep(0.005)
        made.close()
        return names

    assert asyncio.run(asyncio.wait_for(main(), 20)) == {"test-0"}


def test_a_waiter_that_went_away_harms_nobody() -> None:
    async def main() -> None:
        made = Threads(1, "test")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(made.run(time.sleep, 0.2), 0.01)
        assert await made.run(divmod, 7, 2) == (3, 1)
        made.close()

    asyncio.run(asyncio.wait_for(main(), 20))


def test_closing_finishes_what_runs_and_cancels_what_waits() -> None:
    begun, finished = threading.Event(), []

    def work() -> str:
        begun.set()
        time.sleep(0.1)
        finished.append(1)
        return "done"

    async def main() -> None:
        made = Threads(1, "test")
        running, waiting = made.run(work), made.run(work)
        assert begun.wait(10)
        made.close()
        assert await running == "done"
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(asyncio.wait_for(main(), 20))
    assert finished == [1]


def test_a_loop_that_is_closed_meanwhile_does_not_end_the_thread() -> None:
    made = Threads(1, "test")
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(10)

    async def leave() -> None:
        made.run(work)
        assert begun.wait(10)

    asyncio.run(leave())
    go_on.set()

    async def come_back() -> tuple[int, int]:
        return await made.run(divmod, 7, 2)

    assert asyncio.run(asyncio.wait_for(come_back(), 20)) == (3, 1)
    made.close()
