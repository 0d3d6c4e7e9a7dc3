"""Into the ledger first, then a message; a dead broker costs no acceptance and little time."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from catalog import Catalog, Due, Pair
from domain.events import parse_event
from domain.settings import load_settings
from tests.fixtures.valkey import ValkeyServer, free_port
from workers.celery import create_app
from workers.publish import LIVE_EVENTS, NOT_SENT, Message, Sender, accept, messages
from workers.queues import CONTROL, broker_answers, queue_depths


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog.open(f"sqlite:///{tmp_path / 'catalog.db'}")
    yield opened
    opened.close()


def app_for(url: str) -> Celery:
    return create_app(load_settings(broker={"url": url}))


@pytest.fixture
def app(valkey: ValkeyServer) -> Iterator[Celery]:
    made = app_for(valkey.url)
    yield made
    made.close()


def item_event(item_id: str, **more: Any) -> Any:
    media = more.pop("media", {})
    return parse_event(
        {"type": "item.created", "data": {"id": item_id, "title": "t", "media": media, **more}}
    )


def sent(valkey: ValkeyServer, queue: str) -> list[tuple[list[list[Any]], bool]]:
    """The (pairs, alone) of every message in a queue, oldest first."""
    with redis.Redis.from_url(valkey.url) as client:
        found = [json.loads(raw) for raw in client.lrange(queue, 0, -1)]
    bodies = [json.loads(__import__("base64").b64decode(one["body"])) for one in reversed(found)]
    return [(args[0], args[1]) for args, _, _ in bodies]


def test_pairs_are_grouped_by_lane_and_loners_go_by_themselves() -> None:
    due = [
        Due(Pair("a", 1), "text", alone=False),
        Due(Pair("b", 1), "image", alone=False),
        Due(Pair("c", 1), "text", alone=True),
        Due(Pair("d", 1), "text", alone=False),
        Due(Pair("e", 1), "text", alone=False),
    ]
    made = messages(due, batch=2)
    assert Message("text", (Pair("c", 1),), alone=True) in made
    assert Message("text", (Pair("a", 1), Pair("d", 1)), alone=False) in made
    assert Message("text", (Pair("e", 1),), alone=False) in made
    assert Message("image", (Pair("b", 1),), alone=False) in made
    assert len(made) == 4


def test_of_two_versions_of_one_item_only_the_newer_is_sent() -> None:
    due = [Due(Pair("a", version), "text", alone=False) for version in (1, 3, 2)]
    assert messages(due, batch=64) == [Message("text", (Pair("a", 3),), alone=False)]


def test_a_live_event_becomes_one_message_of_one_pair_in_its_own_lane(
    catalog: Catalog, app: Celery, valkey: ValkeyServer
) -> None:
    event = item_event("a", media={"images": ["https://example.com/a.png"]})
    (accepted,) = accept(catalog, [event], sender=Sender(app, batch=64))
    assert (accepted.status, accepted.lane, accepted.note) == ("accepted", "image", "")
    assert sent(valkey, "image") == [([["a", 1]], False)]


def test_heavy_items_travel_in_smaller_messages() -> None:
    due = [
        Due(Pair(f"{lane}{n}", 1), lane, False) for lane in ("image", "audio") for n in range(40)
    ]
    sizes: dict[str, list[int]] = {}
    for message in messages(due, batch=64):
        sizes.setdefault(message.lane, []).append(len(message.pairs))
    assert sizes == {"image": [32, 8], "audio": [8, 8, 8, 8, 8]}


def test_many_events_in_one_call_are_backfill_in_messages_of_64(
    catalog: Catalog, app: Celery, valkey: ValkeyServer
) -> None:
    events = [item_event(f"item-{n}") for n in range(LIVE_EVENTS + 1)]
    accept(catalog, events, sender=Sender(app, batch=64))
    assert [len(pairs) for pairs, _ in sent(valkey, "bulk")] == [64, 64, 64, 64, 1]
    assert queue_depths(app) == {
        "text": 0,
        "image": 0,
        "audio": 0,
        "bulk": 5,
        "train": 0,
        CONTROL: 0,
    }


def test_a_caller_may_say_what_is_bulk(catalog: Catalog, app: Celery, valkey: ValkeyServer) -> None:
    sender = Sender(app, batch=64)
    accept(catalog, [item_event("a")], bulk=True, sender=sender)
    accept(catalog, [item_event(f"b-{n}") for n in range(70)], bulk=False, sender=sender)
    assert [len(pairs) for pairs, _ in sent(valkey, "bulk")] == [1]
    assert [len(pairs) for pairs, _ in sent(valkey, "text")] == [64, 6]


def test_duplicate_and_stale_events_send_nothing(
    catalog: Catalog, app: Celery, valkey: ValkeyServer
) -> None:
    sender = Sender(app, batch=64)
    accept(catalog, [item_event("a", version=5)], sender=sender)
    answers = accept(
        catalog, [item_event("a", version=5), item_event("a", version=4)], sender=sender
    )
    assert [one.status for one in answers] == ["duplicate", "stale"]
    assert [one.note for one in answers if NOT_SENT in one.note] == []
    assert sent(valkey, "text") == [([["a", 5]], False)]


def test_a_deletion_is_sent_like_any_other_work(
    catalog: Catalog, app: Celery, valkey: ValkeyServer
) -> None:
    sender = Sender(app, batch=64)
    accept(catalog, [item_event("a", version=1)], sender=sender)
    deletion = parse_event({"type": "item.deleted", "data": {"id": "a", "version": 2}})
    assert accept(catalog, [deletion], sender=sender)[0].status == "accepted"
    assert sent(valkey, "text") == [([["a", 1]], False), ([["a", 2]], False)]


def test_without_a_broker_events_are_accepted_and_the_answer_says_so(catalog: Catalog) -> None:
    app = app_for(f"redis://127.0.0.1:{free_port()}/0")
    sender = Sender(app, batch=64)
    started = time.monotonic()
    (accepted,) = accept(catalog, [item_event("a")], sender=sender)
    assert time.monotonic() - started < 5
    assert accepted.status == "accepted"
    assert accepted.note == NOT_SENT
    record = catalog.item("a")
    assert record is not None
    assert record.next_attempt_at is not None


def test_after_a_failure_the_broker_is_left_alone_for_a_while(
    app: Celery, valkey: ValkeyServer
) -> None:
    now = [0.0]
    sender = Sender(app, batch=64, pause_s=5, clock=lambda: now[0])
    one = [Due(Pair("a", 1), "text", alone=False)]
    valkey.stop()
    assert sender.dispatch(one) == one
    valkey.start()
    started = time.monotonic()
    assert sender.dispatch(one) == one
    assert time.monotonic() - started < 0.05
    now[0] = 6.0
    assert sender.dispatch(one) == []
    assert sent(valkey, "text")[-1] == ([["a", 1]], False)


def test_a_restarted_broker_is_reached_again_through_old_connections(
    app: Celery, valkey: ValkeyServer
) -> None:
    sender = Sender(app, batch=64)
    assert sender.dispatch([Due(Pair("a", 1), "text", alone=False)]) == []
    valkey.stop()
    valkey.start()
    assert sender.dispatch([Due(Pair("b", 1), "text", alone=False)]) == []
    assert sent(valkey, "text")[-1] == ([["b", 1]], False)


def test_a_broker_that_hangs_holds_a_publisher_up_for_a_bounded_time_and_only_once(
    catalog: Catalog, app: Celery, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.conf.broker_transport_options, "socket_timeout", 1.0)
    sender = Sender(app, batch=64)
    accept(catalog, [item_event("warm")], sender=sender)
    valkey.pause()
    try:
        started = time.monotonic()
        (first,) = accept(catalog, [item_event("a")], sender=sender)
        assert time.monotonic() - started < 6
        started = time.monotonic()
        (second,) = accept(catalog, [item_event("b")], sender=sender)
        assert time.monotonic() - started < 0.5
    finally:
        valkey.resume()
    assert first.note == second.note == NOT_SENT


def test_a_broker_that_is_away_is_named_in_time() -> None:
    from domain.errors import RetryableError

    app = app_for(f"redis://127.0.0.1:{free_port()}/0")
    started = time.monotonic()
    with pytest.raises(RetryableError):
        broker_answers(app, 1)
    with pytest.raises(RetryableError):
        queue_depths(app)
    assert time.monotonic() - started < 10
