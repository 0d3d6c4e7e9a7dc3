"""Threads and real processes that write to one ledger at once."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from catalog import Catalog, Indexed, ItemState, Pair
from tests.fixtures.clock import Clock
from tests.fixtures.events import created, deleted, interaction

PROCESSES = 4
ROUNDS = 15

WRITER = f"""
import sys
from catalog import Catalog, Indexed, Removed
from tests.fixtures.events import created, deleted, interaction

url, name = sys.argv[1:]
catalog = Catalog.open(url)
print("ready", flush=True)
sys.stdin.readline()
for number in range({ROUNDS}):
    found = catalog.accept([
        created("shared"),
        created("also shared", number + 1),
        created(f"own {{name}} {{number}}", 1),
        interaction(f"{{name}} {{number}}", "u", "shared"),
        interaction(f"everybody's {{number}}", "u", "shared"),
    ])
    for due in catalog.due(50, now=4e9):
        for claim in catalog.claim([due.pair]):
            catalog.finish([Indexed(claim.pair, "fp", {{"text": name}})])
print(sum(one.status == "accepted" for one in found), flush=True)
"""

BASE = Path(__file__).parents[2]


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=BASE,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_processes_that_open_and_write_a_fresh_ledger_together_lose_nothing(
    ledger_url: str,
) -> None:
    writers = [start(WRITER, ledger_url, str(number)) for number in range(PROCESSES)]
    for writer in writers:
        assert writer.stdout is not None
        line = writer.stdout.readline()
        if line != "ready\n":
            raise AssertionError(writer.communicate(timeout=30)[1])
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
    with Catalog.open(ledger_url) as catalog:
        assert catalog.states(["shared"])["shared"][0] == PROCESSES * ROUNDS
        assert catalog.states(["also shared"])["also shared"][0] == ROUNDS
        assert len(catalog.items(limit=1000)) == PROCESSES * ROUNDS + 2
        assert len(catalog.history("u", 1000)) == PROCESSES * ROUNDS + ROUNDS


PUBLISHER = """
import sys
from catalog import Catalog
from tests.fixtures.events import created

catalog = Catalog.open(sys.argv[1])
for number in range(100_000):
    catalog.accept([created(f"x {number}", 1), created("hot")])
    print(number, flush=True)
"""


def test_killed_in_the_middle_of_accepting_it_keeps_all_it_answered_for(ledger_url: str) -> None:
    publisher = start(PUBLISHER, ledger_url)
    assert publisher.stdout is not None
    first = publisher.stdout.readline()
    assert first == "0\n", publisher.stderr and publisher.stderr.read()
    time.sleep(0.5)
    publisher.kill()
    answered = [first, *publisher.communicate(timeout=30)[0].splitlines()]
    last = max(int(line) for line in answered if line.strip().isdigit())
    with Catalog.open(ledger_url) as catalog:
        states = catalog.states([f"x {number}" for number in range(last + 1)])
        assert set(states.values()) == {(1, ItemState.PENDING)}
        assert len(states) == last + 1
        assert catalog.states(["hot"])["hot"][0] in (last + 1, last + 2)


def together(work: list[Callable[[], object]]) -> list[object]:
    """Run in threads that begin at the same moment."""
    gate = threading.Barrier(len(work))

    def begin(one: Callable[[], object]) -> object:
        gate.wait()
        return one()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(begin, work))


def test_threads_that_publish_one_new_item_get_a_version_each(catalog: Catalog) -> None:
    def publish() -> object:
        return [catalog.accept([created("x")])[0].version for _ in range(5)]

    found = together([publish] * 8)
    versions = [version for each in found for version in each]  # type: ignore[attr-defined]
    assert sorted(versions) == list(range(1, 41))


def test_overlapping_batches_in_opposite_order_do_not_deadlock(catalog: Catalog) -> None:
    keys = [f"k{number}" for number in range(40)]

    def publish(order: list[str]) -> Callable[[], object]:
        def run() -> object:
            for _ in range(4):
                catalog.accept([created(key) for key in order])
                catalog.claim([Pair(key, 1) for key in order])
                catalog.finish([Indexed(Pair(key, 1), "fp", {}) for key in order])
                catalog.requeue(ids=order)
            return None

        return run

    together([publish(keys), publish(keys[::-1])] * 3)
    assert {version for version, _ in catalog.states(keys).values()} == {24}


def test_the_same_event_delivered_at_once_is_accepted_once(catalog: Catalog) -> None:
    events = [created("x", 3), interaction("e", "u", "x"), deleted("y", 2)]
    found = together([lambda: [one.status for one in catalog.accept(events)]] * 8)
    assert found.count(["accepted"] * 3) == 1
    assert found.count(["duplicate"] * 3) == 7


def test_what_is_due_is_given_to_one_of_several_reconcilers(catalog: Catalog, clock: Clock) -> None:
    catalog.accept([created(f"k{number}", 1) for number in range(200)])
    found = together([lambda: catalog.due(50, now=clock.now + 100)] * 6)
    pairs = [due.pair for each in found for due in each]  # type: ignore[attr-defined]
    assert len(pairs) == len(set(pairs))
    rest = catalog.due(200, now=clock.now + 100)
    assert len(pairs) + len(rest) == 200
