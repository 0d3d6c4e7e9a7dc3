import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from structlog.contextvars import bound_contextvars
from structlog.testing import capture_logs

from domain.errors import FirstlightError, PermanentError, RetryableError
from encoders.batcher import Batcher, Job, Piece
from encoders.lanes import Lanes


class Model:
    """Doubles numbers, and remembers the batches it was given."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.hold = threading.Event()
        self.hold.set()

    def __call__(self, payloads: list[Any]) -> Any:
        self.hold.wait(10)
        self.batches.append(list(payloads))
        return np.array([[2.0 * one] for one in payloads], dtype=np.float32)


@pytest.fixture
def device() -> Iterator[Lanes]:
    thread = Lanes("test")
    yield thread
    thread.close(2.0)


def batcher(device: Lanes, core: Any, **options: Any) -> Batcher:
    settings = {"budget": 100, "queue_items": 1000, "timeout_s": 5.0, "max_wait_s": 0.0} | options
    return Batcher(device, "test", core, **settings)


def submit(queue: Batcher, costs: list[int], wait_s: float = 5.0) -> list[Job]:
    jobs = [Job([Piece(cost, cost)]) for cost in costs]
    queue.submit(jobs, time.monotonic() + wait_s)
    return jobs


def held(device: Lanes, model: Any, queue: Batcher) -> Job:
    """A first input that keeps the device busy until model.hold is set."""
    model.hold.clear()
    first = submit(queue, [1])[0]
    while not device._running:
        time.sleep(0.001)
    return first


def test_results_come_back_in_the_order_of_the_inputs(device: Lanes) -> None:
    jobs = submit(batcher(device, Model()), [5, 1, 9, 3])
    assert [job.future.result(5)[0][0] for job in jobs] == [10, 2, 18, 6]


def test_pieces_of_like_length_share_a_batch_and_no_batch_exceeds_the_budget(
    device: Lanes,
) -> None:
    model = Model()
    queue = batcher(device, model, budget=60)
    held(device, model, queue)
    jobs = submit(queue, [30, 2, 29, 3, 28, 2, 3])
    model.hold.set()
    for job in jobs:
        job.future.result(5)
    assert all(len(one) * max(one) <= 60 for one in model.batches)
    assert sorted(map(sorted, model.batches[1:])) == [[2, 2, 3], [3, 28], [29, 30]]


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(10, 200))
def test_any_mix_of_lengths_is_batched_within_the_budget_and_nothing_is_lost(
    costs: list[int], budget: int
) -> None:
    class Idle:
        condition = threading.Condition()
        alive = True
        count = 0

        def serve(self, queue: Batcher) -> None:
            return None

        def next_number(self) -> int:
            self.count += 1
            return self.count

    queue = batcher(Idle(), None, budget=budget)  # type: ignore[arg-type]
    jobs = [Job([Piece(at, cost, group=cost % 2)]) for at, cost in enumerate(costs)]
    queue.submit(jobs, time.monotonic() + 5)
    seen: list[int] = []
    while batch := queue.take():
        longest = max(one.cost for one in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
        assert len({one.group for one in batch}) == 1
        left = set(range(len(costs))) - set(seen)
        assert min(left) in {one.piece.payload for one in batch}, "the oldest goes first"
        seen += [one.piece.payload for one in batch]
    assert sorted(seen) == list(range(len(costs)))


def test_a_lone_input_starts_at_once_whatever_the_wait_is(device: Lanes) -> None:
    queue = batcher(device, Model(), max_wait_s=5.0)
    started = time.monotonic()
    submit(queue, [1])[0].future.result(5)
    assert time.monotonic() - started < 1.0


def test_a_batch_waits_for_inputs_on_the_way_but_not_longer_than_the_wait(
    device: Lanes,
) -> None:
    model = Model()
    queue = batcher(device, model, max_wait_s=0.3)
    queue.expect(3)
    first = submit(queue, [1])
    queue.expect(-1)
    time.sleep(0.05)
    assert model.batches == []
    second = submit(queue, [1, 1])
    queue.expect(-2)
    for job in [*first, *second]:
        job.future.result(5)
    assert model.batches == [[1, 1, 1]]
    queue.expect(1)
    submit(queue, [7])[0].future.result(5)
    queue.expect(-1)
    assert model.batches[-1] == [7]


def test_out_of_memory_splits_the_batch_until_it_fits(device: Lanes) -> None:
    sizes = []

    def core(payloads: list[Any]) -> Any:
        sizes.append(len(payloads))
        if len(payloads) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return np.array([[float(one)] for one in payloads], dtype=np.float32)

    model = Model()
    queue = batcher(device, lambda p: core(p) if len(model.batches) else model(p), budget=1000)
    held(device, model, queue)
    jobs = submit(queue, list(range(1, 9)))
    model.hold.set()
    assert [job.future.result(5)[0][0] for job in jobs] == list(range(1, 9))
    assert max(sizes) == 8
    assert sizes.count(2) == 4


def test_a_batch_that_is_split_is_logged_with_the_items_whose_inputs_it_held(
    device: Lanes,
) -> None:
    def core(payloads: list[Any]) -> Any:
        if len(payloads) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return np.array([[float(one)] for one in payloads], dtype=np.float32)

    model = Model()
    queue = batcher(device, lambda p: core(p) if len(model.batches) else model(p), budget=1000)
    held(device, model, queue)
    jobs = []
    for item in ("a", "b"):
        with bound_contextvars(item=item, version=7):
            jobs += submit(queue, [1, 1])
    with capture_logs() as lines:
        model.hold.set()
        for job in jobs:
            job.future.result(5)
    told = [line for line in lines if line["event"] == "batch split"]
    of = [{"item": "a", "version": 7}, {"item": "b", "version": 7}]
    assert sorted(told[0]["inputs_of"], key=str) == of
    assert [line["size"] for line in told] == [4, 2, 2]
    assert [{"item": line["item"], "version": line["version"]} for line in told[1:]] == of


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("out of memory")],
)
def test_an_input_too_large_even_alone_is_retryable_and_its_neighbours_succeed(
    device: Lanes, error: Exception
) -> None:
    def core(payloads: list[Any]) -> Any:
        if 13 in payloads:
            raise error
        return np.array([[float(one)] for one in payloads], dtype=np.float32)

    queue = batcher(device, core)
    jobs = submit(queue, [11, 12, 13, 14])
    with pytest.raises(RetryableError, match="memory"):
        jobs[2].future.result(5)
    assert [jobs[at].future.result(5)[0][0] for at in (0, 1, 3)] == [11, 12, 14]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("bad"), PermanentError),
        (PermanentError("told"), PermanentError),
        (RuntimeError("device lost"), RetryableError),
        (KeyError("bug"), RetryableError),
    ],
)
def test_only_the_input_that_fails_fails(
    device: Lanes, error: Exception, kind: type[FirstlightError]
) -> None:
    model = Model()

    def core(payloads: list[Any]) -> Any:
        if 3 in payloads:
            raise error
        return model(payloads)

    queue = batcher(device, core)
    held(device, model, queue)
    jobs = submit(queue, [1, 2, 3, 4, 5])
    model.hold.set()
    with pytest.raises(kind):
        jobs[2].future.result(5)
    assert [jobs[at].future.result(5)[0][0] for at in (0, 1, 3, 4)] == [2, 4, 8, 10]


def test_a_full_queue_blocks_its_submitter_and_gives_up_in_time(device: Lanes) -> None:
    model = Model()
    queue = batcher(device, model, queue_items=2)
    held(device, model, queue)
    waiting = submit(queue, [1, 1])
    started = time.monotonic()
    late = submit(queue, [1], wait_s=0.2)[0]
    assert 0.15 < time.monotonic() - started < 2
    with pytest.raises(RetryableError, match="queue stayed full"):
        late.future.result(0)
    model.hold.set()
    for job in waiting:
        job.future.result(5)


def test_a_blocked_submitter_goes_on_when_there_is_room(device: Lanes) -> None:
    model = Model()
    queue = batcher(device, model, queue_items=2)
    held(device, model, queue)
    threading.Timer(0.1, model.hold.set).start()
    jobs = submit(queue, [1] * 20)
    assert all(job.future.result(5) for job in jobs)


def test_one_encoder_with_much_to_do_does_not_keep_another_waiting(device: Lanes) -> None:
    model = Model()
    bulk = batcher(device, model, budget=1)
    other = batcher(device, model)
    held(device, model, bulk)
    submit(bulk, [1] * 50)
    live = submit(other, [7])[0]
    model.hold.set()
    live.future.result(5)
    assert model.batches.index([7]) <= 2


def test_a_stuck_batch_is_seen_and_what_waits_fails_instead_of_hanging(
    device: Lanes,
) -> None:
    model = Model()
    queue = batcher(device, model, timeout_s=0.1)
    device.check()
    stuck = held(device, model, queue)
    waiting = submit(queue, [1])[0]
    time.sleep(0.15)
    with pytest.raises(RetryableError, match="has been running for"):
        device.check()
    for job in (stuck, waiting):
        with pytest.raises(RetryableError):
            job.future.result(0)
    model.hold.set()
    while device._running:
        time.sleep(0.001)
    device.check()
    assert submit(queue, [4])[0].future.result(5)[0][0] == 8


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_thread_is_seen_and_nobody_waits_for_it(device: Lanes) -> None:
    def core(payloads: list[Any]) -> Any:
        raise SystemExit

    queue = batcher(device, core)
    job = submit(queue, [1])[0]
    with pytest.raises(RetryableError, match="died"):
        job.future.result(5)
    with pytest.raises(RetryableError, match="died"):
        device.check()
    with pytest.raises(RetryableError, match="died"):
        submit(queue, [1])[0].future.result(0)


def test_closing_fails_what_waits(device: Lanes) -> None:
    model = Model()
    queue = batcher(device, model)
    held(device, model, queue)
    job = submit(queue, [1])[0]
    threading.Timer(0.1, model.hold.set).start()
    device.close(5.0)
    with pytest.raises(RetryableError, match="closed"):
        job.future.result(0)


def test_an_input_that_was_given_up_is_not_computed(device: Lanes) -> None:
    model = Model()
    queue = batcher(device, model)
    held(device, model, queue)
    gone, kept = submit(queue, [8, 9])
    gone.future.cancel()
    model.hold.set()
    assert kept.future.result(5)[0][0] == 18
    assert [8, 9] not in model.batches
    assert all(8 not in one for one in model.batches)
