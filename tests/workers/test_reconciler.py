"""What is pending too long is sent again, without flooding anybody."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from catalog import Catalog, Due, RetryPolicy
from domain.errors import RetryableError
from domain.events import parse_events
from workers.reconciler import CROWDED_MESSAGES, CROWDED_SEND_AT_MOST, Reconciled, reconcile


class Recorder:
    """A sender that remembers, and fails when told to."""

    def __init__(self) -> None:
        self.sent: list[Due] = []
        self.broken = False

    def dispatch(self, due: Sequence[Due]) -> list[Due]:
        if self.broken:
            return list(due)
        self.sent += due
        return []


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    policy = RetryPolicy(max_attempts=3, resend_s=1e-6, lease_s=1e-6)
    opened = Catalog.open(f"sqlite:///{tmp_path / 'catalog.db'}", retry=policy)
    yield opened
    opened.close()


def publish(catalog: Catalog, count: int) -> None:
    raws = [
        {"type": "item.created", "data": {"id": f"item-{n}", "version": 1, "title": "t"}}
        for n in range(count)
    ]
    events: list[Any] = parse_events(raws)
    catalog.accept(events)


def run(catalog: Catalog, sender: Any, waiting: int = 0) -> Reconciled:
    return reconcile(catalog, sender, ping_index=lambda: None, depths=lambda: {"text": waiting})


def away() -> None:
    raise RetryableError("does not answer")


def test_what_was_never_taken_is_sent_again(catalog: Catalog) -> None:
    publish(catalog, 3)
    sender = Recorder()
    assert run(catalog, sender) == Reconciled(sent=3)
    assert {one.pair.id for one in sender.sent} == {"item-0", "item-1", "item-2"}
    assert not any(one.alone for one in sender.sent)


def test_what_was_taken_without_an_outcome_is_sent_alone(catalog: Catalog) -> None:
    publish(catalog, 2)
    sender = Recorder()
    run(catalog, sender)
    catalog.claim([one.pair for one in sender.sent])
    sender.sent.clear()
    assert run(catalog, sender) == Reconciled(sent=2, alone=2)
    assert all(one.alone for one in sender.sent)


def test_a_full_queue_is_not_flooded_but_what_was_lost_still_trickles(catalog: Catalog) -> None:
    publish(catalog, 200)
    sender = Recorder()
    found = run(catalog, sender, waiting=CROWDED_MESSAGES + 1)
    assert found.sent == CROWDED_SEND_AT_MOST


@pytest.mark.parametrize("what", ["index", "broker"])
def test_nothing_is_sent_while_a_store_is_away_and_nothing_is_used_up(
    catalog: Catalog, what: str
) -> None:
    publish(catalog, 1)
    sender: Any = Recorder()

    def depths() -> dict[str, int]:
        if what == "broker":
            away()
        return {}

    ping = away if what == "index" else (lambda: None)
    assert reconcile(catalog, sender, ping_index=ping, depths=depths) == Reconciled()
    assert run(catalog, sender) == Reconciled(sent=1)


def test_what_could_not_be_sent_is_sent_in_a_later_round(catalog: Catalog) -> None:
    publish(catalog, 1)
    sender = Recorder()
    sender.broken = True
    assert run(catalog, sender) == Reconciled(unsent=1)
    sender.broken = False
    assert run(catalog, sender) == Reconciled(sent=1)
