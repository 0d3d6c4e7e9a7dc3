"""Versions that come twice, in the wrong order, and all at once."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from .conftest import Counter


def version(item_id: str, number: int) -> dict[str, Any]:
    """An event that is the same whenever it is sent."""
    data = {"id": item_id, "version": number, "title": f"version {number}"}
    return {"type": "item.updated", "data": {**data, "attributes": {"case": 0}}}


def check_newest(counter: Counter, item_id: str, number: int) -> None:
    """Ledger and index hold this version and its content."""
    found = counter.item(item_id)
    assert (found["state"], found["version"]) == ("indexed", number)
    assert found["item"]["title"] == f"version {number}"
    space = counter.service.parts.spaces.current()
    assert space is not None
    stored = counter.service.worker.index.fetch(space.collection, [item_id])[item_id]
    assert (stored.version, stored.title) == (number, f"version {number}")


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])), ids=str)
@pytest.mark.parametrize("between", [True, False], ids=["worked off between", "all at once"])
def test_in_any_order_and_sent_twice_the_newest_stands(
    counter: Counter, order: tuple[int, ...], between: bool
) -> None:
    item_id = f"ordered {order} {between}"
    events = [version(item_id, number) for number in order for _ in range(2)]
    if between:
        told = [counter.publish(event).results[1]["status"] for event in events]
    else:
        told = [one["status"] for one in counter.publish(*events).results[1:-1]]
    newest, expected = 0, []
    for number in order:
        expected += ["accepted", "duplicate"] if number > newest else ["stale", "stale"]
        newest = max(newest, number)
    assert told == expected
    check_newest(counter, item_id, 3)


def test_the_same_version_with_other_content_is_told_and_not_taken(counter: Counter) -> None:
    counter.publish(version("contradicted", 1))
    other = version("contradicted", 1)
    other["data"]["title"] = "something else"
    receipt = counter.publish(other).results[1]
    assert receipt["status"] == "duplicate"
    assert "accepted before with other content, which stays" in receipt["note"]
    check_newest(counter, "contradicted", 1)


@pytest.mark.parametrize(
    "wrong",
    [0, -1, 2**53, 1.5, True, "soon", "2026-01-01T00:00:00", "0001-01-01T00:00:00+23:59"],
)
def test_a_version_that_orders_nothing_is_refused_by_field(counter: Counter, wrong: Any) -> None:
    event = version("unversioned", 1)
    case = counter.publish({**event, "data": {**event["data"], "version": wrong}})
    (error,) = case.errors
    assert error["field"] == "data.version"
    assert "version" in error["message"] or "zone" in error["message"]
    assert error["remedy"]
    assert counter.service.client.get("/v1/items/unversioned").status_code == 404


def test_what_is_deleted_stays_deleted_whatever_arrives_late(counter: Counter) -> None:
    gone = {"type": "item.deleted", "data": {"id": "gone", "version": 2}}
    counter.publish(version("gone", 1))
    case = counter.publish(gone, version("gone", 1), version("gone", 2))
    assert [one["status"] for one in case.results[1:-1]] == ["accepted", "stale", "stale"]
    assert counter.item("gone")["state"] == "deleted"
    space = counter.service.parts.spaces.current()
    assert space is not None
    assert counter.service.worker.index.fetch(space.collection, ["gone"]) == {}
    counter.publish(version("gone", 3))
    check_newest(counter, "gone", 3)


def test_published_from_many_threads_while_workers_run_the_newest_stands(counter: Counter) -> None:
    numbers = [*range(1, 13)] * 2
    done = threading.Event()

    def send(number: int) -> int:
        status: int = counter.post("/v1/events", version("raced", number)).status_code
        return status

    def work() -> None:
        while not done.is_set():
            counter.service.work()

    with ThreadPoolExecutor(6) as threads:
        workers = [threads.submit(work) for _ in range(2)]
        assert set(threads.map(send, numbers[::-1] + numbers)) == {202}
        done.set()
        for one in workers:
            one.result()
    counter.publish()
    check_newest(counter, "raced", 12)
