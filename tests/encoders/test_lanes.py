import threading
import time
from typing import Any

import numpy as np
import pytest
import torch

from domain.errors import RetryableError
from domain.setting_groups import EncoderSettings
from encoders.batcher import Batcher, Job, Piece
from encoders.device import start_lanes
from encoders.lanes import Lanes

OPTIONS: dict[str, Any] = {"budget": 1, "queue_items": 100, "timeout_s": 5.0, "max_wait_s": 0.0}


def submit(queue: Batcher, count: int) -> list[Job]:
    jobs = [Job([Piece(at, 1)]) for at in range(count)]
    queue.submit(jobs, time.monotonic() + 5)
    return jobs


def echo(payloads: list[Any]) -> Any:
    return np.array([[float(one)] for one in payloads], dtype=np.float32)


def test_each_lane_runs_a_batch_of_its_own_at_the_same_time() -> None:
    together = threading.Barrier(3)

    def core(payloads: list[Any]) -> Any:
        together.wait(5)  # passes only when three batches run at once
        return echo(payloads)

    device = Lanes("test", lanes=3)
    jobs = submit(Batcher(device, "test", core, **OPTIONS), 6)
    assert [job.future.result(5)[0][0] for job in jobs] == [0, 1, 2, 3, 4, 5]
    device.close()


def test_a_batch_alone_has_all_threads_and_one_among_several_its_lanes_share() -> None:
    begun, hold = threading.Semaphore(0), threading.Event()
    threads: list[int] = []

    def core(payloads: list[Any]) -> Any:
        begun.release()
        assert hold.wait(5)
        return echo(payloads)

    device = Lanes("test", lanes=2, threads=8, set_threads=threads.append)
    queue = Batcher(device, "test", core, **OPTIONS)
    first = submit(queue, 1)
    assert begun.acquire(timeout=5)
    second = submit(queue, 1)
    assert begun.acquire(timeout=5)
    hold.set()
    for job in [*first, *second]:
        job.future.result(5)
    assert threads == [8, 4]
    queue.expect(2)  # others are on their way
    submit(queue, 1)[0].future.result(5)
    assert threads == [8, 4, 4]
    device.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_lane_that_dies_takes_the_device_with_it() -> None:
    both, hold = threading.Barrier(2), threading.Event()

    def core(payloads: list[Any]) -> Any:
        both.wait(5)
        if payloads == [0]:
            raise SystemExit
        assert hold.wait(5)
        return echo(payloads)

    device = Lanes("test", lanes=2)
    queue = Batcher(device, "test", core, **OPTIONS)
    culprit, running, *waiting = submit(queue, 4)
    with pytest.raises(RetryableError, match="died"):
        culprit.future.result(5)
    for job in waiting:
        with pytest.raises(RetryableError, match="died"):
            job.future.result(5)
    with pytest.raises(RetryableError, match="died"):
        device.check()
    hold.set()
    assert running.future.result(5)[0][0] == 1, "what another lane runs is finished"
    device.close()  # so that the thread's last words fall into this test


def test_a_stuck_lane_is_seen_while_the_other_works() -> None:
    hold, stuck = threading.Event(), threading.Event()

    def core(payloads: list[Any]) -> Any:
        if payloads == [0]:
            stuck.set()
            hold.wait(5)
        return echo(payloads)

    device = Lanes("test", lanes=2)
    queue = Batcher(device, "test", core, **OPTIONS | {"timeout_s": 0.1})
    first = submit(queue, 1)[0]
    assert stuck.wait(5)
    other = Job([Piece(7, 1)])
    queue.submit([other], time.monotonic() + 5)
    assert other.future.result(5)[0][0] == 7
    time.sleep(0.15)
    with pytest.raises(RetryableError, match="has been running for"):
        device.check()
    with pytest.raises(RetryableError, match="has been running for"):
        first.future.result(0)
    hold.set()
    device.close()


@pytest.mark.parametrize(("threads", "lanes", "each"), [(1, 1, 1), (2, 2, 1), (20, 8, 2)])
def test_a_processor_has_a_lane_for_each_thread_up_to_eight(
    threads: int, lanes: int, each: int
) -> None:
    before, others = torch.get_num_threads(), set(threading.enumerate())
    device = start_lanes(torch.device("cpu"), EncoderSettings(threads=threads))
    try:
        assert torch.get_num_threads() == each, "models are probed as they will run"
        assert len(set(threading.enumerate()) - others) == lanes
    finally:
        device.close()
        torch.set_num_threads(before)
