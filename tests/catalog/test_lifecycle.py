"""Claims, outcomes, what is due, what is redriven."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from catalog import (
    Arrival,
    Catalog,
    Dead,
    Due,
    Indexed,
    ItemRecord,
    ItemState,
    MediaFailure,
    Outcome,
    Pair,
    Postponed,
    Removed,
    Retry,
)
from tests.fixtures.clock import Clock
from tests.fixtures.events import created, deleted

X = Pair("x", 1)


def record(catalog: Catalog, key: str = "x") -> ItemRecord:
    found = catalog.item(key)
    assert found is not None
    return found


def indexed(pair: Pair = X, fingerprint: str = "fp") -> Indexed:
    return Indexed(pair, fingerprint, {"text": "MiniLM"})


def test_a_claim_gives_what_is_pending_at_that_version_and_nothing_else(catalog: Catalog) -> None:
    catalog.accept([created("x", 1), created("y", 2), created("z", 1), deleted("z", 2)])
    catalog.claim([X])
    catalog.finish([indexed()])
    claims = catalog.claim(
        [Pair("z", 2), X, Pair("y", 1), Pair("y", 2), Pair("unknown", 1), Pair("z", 1), ("y", 2)]
    )
    assert [one.pair for one in claims] == [Pair("z", 2), Pair("y", 2)]
    assert claims[0].item is None
    assert claims[1].item is not None
    assert claims[1].item.version == 2
    assert claims[1].attempts == 1


def test_an_attempt_is_counted_before_the_work(catalog: Catalog, clock: Clock) -> None:
    catalog.accept([created("x", 1)])
    catalog.claim([X])
    found = record(catalog)
    assert (found.attempts, found.state) == (1, ItemState.PENDING)
    assert found.next_attempt_at == clock.now + 180


def test_an_indexed_item_tells_how_and_how_fast(catalog: Catalog, clock: Clock) -> None:
    catalog.accept([created("x", 1)])
    catalog.claim([X])
    clock.now += 2
    failures = (MediaFailure("media.images[0]", "404 Not Found"),)
    catalog.finish([Indexed(X, "abc", {"text": "MiniLM"}, failures)])
    found = record(catalog)
    assert (found.state, found.fingerprint, found.models) == (
        ItemState.INDEXED,
        "abc",
        {"text": "MiniLM"},
    )
    assert found.failures == failures
    assert found.latency_s == 2
    assert (found.next_attempt_at, found.reason) == (None, "")
    assert catalog.counts() == {
        ItemState.PENDING: 0,
        ItemState.INDEXED: 1,
        ItemState.DEAD: 0,
        ItemState.DELETED: 0,
    }


@pytest.mark.parametrize(
    "outcome", [indexed(), Retry(X, "r"), Postponed(X, "p"), Dead(X, "d"), Removed(X)]
)
def test_an_outcome_of_an_overtaken_version_is_ignored(catalog: Catalog, outcome: Outcome) -> None:
    catalog.accept([created("x", 1)])
    catalog.claim([X])
    catalog.accept([created("x", 2)])
    before = record(catalog)
    catalog.finish([outcome])
    assert record(catalog) == before


@pytest.mark.parametrize("outcome", [indexed(), Retry(X, "r"), Postponed(X, "p"), Dead(X, "d")])
def test_work_on_content_does_not_undo_a_deletion_of_the_same_version(
    catalog: Catalog, outcome: Outcome
) -> None:
    catalog.accept([created("x", 1)])
    catalog.claim([X])
    catalog.accept([deleted("x", 1)])
    catalog.finish([outcome])
    found = record(catalog)
    assert found.state is ItemState.DELETED
    assert found.next_attempt_at is not None


def test_outcomes_of_one_batch_stand_alone(catalog: Catalog) -> None:
    catalog.accept([created(key, 1) for key in "abcd"] + [deleted("d", 2)])
    catalog.claim([Pair(key, 1) for key in "abc"] + [Pair("d", 2)])
    catalog.finish(
        [
            indexed(Pair("a", 1)),
            Retry(Pair("b", 1), "host did not answer"),
            Dead(Pair("c", 1), "no modality left", (MediaFailure("media.audio[0]", "truncated"),)),
            Removed(Pair("d", 2)),
            indexed(Pair("never accepted", 1)),
        ]
    )
    assert [record(catalog, key).state for key in "abcd"] == [
        ItemState.INDEXED,
        ItemState.PENDING,
        ItemState.DEAD,
        ItemState.DELETED,
    ]
    assert record(catalog, "b").reason == "host did not answer"
    assert record(catalog, "c").failures == (MediaFailure("media.audio[0]", "truncated"),)
    assert record(catalog, "d").next_attempt_at is None
    assert catalog.item("never accepted") is None


def test_waits_double_with_every_attempt_until_the_item_is_dead(
    catalog: Catalog, clock: Clock
) -> None:
    catalog.accept([created("x", 1)])
    waits = []
    for _ in range(2):
        catalog.claim([X])
        catalog.finish([Retry(X, "connection reset")])
        waits.append((record(catalog).next_attempt_at or 0) - clock.now)
    assert waits == [5, 10]
    catalog.claim([X])
    catalog.finish([Retry(X, "connection reset")])
    found = record(catalog)
    assert (found.state, found.next_attempt_at) == (ItemState.DEAD, None)
    assert found.reason == "gave up after 3 attempts: connection reset"
    assert catalog.claim([X]) == []


def test_a_service_that_is_away_costs_no_attempt(catalog: Catalog, clock: Clock) -> None:
    catalog.accept([created("x", 1)])
    waits = []
    for _ in range(10):
        assert len(catalog.claim([X])) == 1
        catalog.finish([Postponed(X, "the index does not answer")])
        wait_s = (record(catalog).next_attempt_at or 0) - clock.now
        waits.append(wait_s)
        clock.now += wait_s
    found = record(catalog)
    assert (found.state, found.attempts) == (ItemState.PENDING, 0)
    assert found.reason == "the index does not answer"
    assert waits[0] == 5
    assert waits[-1] == 60
    assert waits == sorted(waits)
    assert [one.alone for one in catalog.due(10)] == [False]


def test_a_deletion_is_never_given_up(catalog: Catalog, clock: Clock) -> None:
    catalog.accept([deleted("x", 1)])
    for _ in range(10):
        assert len(catalog.claim([X])) == 1
        catalog.finish([Retry(X, "the index does not answer")])
    catalog.finish([Dead(X, "odd")])
    assert record(catalog).next_attempt_at == clock.now + 1000
    clock.now += 1000
    assert [one.pair for one in catalog.due(10)] == [X]
    catalog.finish([Removed(X)])
    assert record(catalog).next_attempt_at is None
    catalog.finish([Retry(X, "late")])
    assert catalog.due(10, now=clock.now + 1e9) == []


def test_what_nobody_took_is_sent_again_ever_more_rarely(catalog: Catalog, clock: Clock) -> None:
    catalog.accept([created("x", 1, media={"images": ["https://h/a.png"]})])
    sent_at = []
    for _ in range(700):
        clock.now += 1
        if catalog.due(10):
            sent_at.append(clock.now - 2_000_000_000)
    assert sent_at == [60, 180, 420]
    clock.now += 1e6
    assert catalog.due(10) == [Due(X, "image", alone=False)]


def test_a_silent_worker_is_held_for_dead_and_its_items_go_alone(
    catalog: Catalog, clock: Clock
) -> None:
    catalog.accept([created("x", 1), created("y", 1)])
    catalog.claim([X])
    clock.now += 179
    assert [one.pair for one in catalog.due(10)] == [Pair("y", 1)]
    clock.now += 1
    assert catalog.due(10) == [Due(X, "text", alone=True)]


def test_an_item_that_kills_its_workers_is_declared_dead(catalog: Catalog, clock: Clock) -> None:
    catalog.accept([created("x", 1)])
    catalog.claim([X])
    catalog.finish([Retry(X, "out of memory")])
    for _ in range(2):
        assert len(catalog.claim([X])) == 1
    assert catalog.claim([X]) == [], "a message that comes back does not start attempt 4 of 3"
    assert record(catalog).state is ItemState.PENDING
    clock.now += 180
    with capture_logs() as lines:
        assert catalog.due(10) == []
    found = record(catalog)
    assert found.state is ItemState.DEAD
    (told,) = lines
    assert (told["item"], told["version"], told["outcome"]) == ("x", 1, "dead")
    assert told["reason"] == found.reason
    assert found.reason == (
        "gave up after 3 attempts: its worker died or hung during the last;"
        " before that: out of memory"
    )


def test_an_item_given_up_too_early_is_indexed_after_all(catalog: Catalog, clock: Clock) -> None:
    catalog.accept([created("x", 1)])
    for _ in range(3):
        catalog.claim([X])
    clock.now += 180
    catalog.due(10)
    assert record(catalog).state is ItemState.DEAD
    catalog.finish([indexed()])
    assert record(catalog).state is ItemState.INDEXED


def test_due_answers_the_longest_overdue_first_and_no_more_than_asked(
    catalog: Catalog, clock: Clock
) -> None:
    for key in "cab":
        catalog.accept([created(key, 1)])
        clock.now += 1
    clock.now += 100
    assert catalog.due(0) == []
    assert [one.pair.id for one in catalog.due(2)] == ["c", "a"]
    assert [one.pair.id for one in catalog.due(2)] == ["b"]
    assert catalog.due(2) == []


def test_the_dead_are_redriven_by_name_or_all(catalog: Catalog) -> None:
    keys = ["a", "b", "c", "d"]
    catalog.accept([created(key, 1) for key in keys])
    catalog.claim([Pair(key, 1) for key in keys])
    catalog.finish([Dead(Pair(key, 1), "broken") for key in keys[:3]] + [indexed(Pair("d", 1))])
    assert [one.id for one in catalog.items(state=ItemState.DEAD)] == ["a", "b", "c"]
    assert catalog.redrive(["b", "d", "unknown"]) == [Due(Pair("b", 1), "text", alone=False)]
    found = record(catalog, "b")
    assert (found.state, found.attempts) == (ItemState.PENDING, 0)
    assert sorted(one.pair.id for one in catalog.redrive()) == ["a", "c"]
    assert catalog.redrive() == []
    assert catalog.redrive([]) == []
    assert len(catalog.claim([Pair("a", 1)])) == 1


def test_a_new_collection_takes_what_lies_in_others_in_the_bulk_lane(
    catalog: Catalog, clock: Clock
) -> None:
    catalog.accept([created(key, 1) for key in "abcde"])
    catalog.claim([Pair(key, 1) for key in "abcd"])
    clock.now += 3
    catalog.finish(
        [
            indexed(Pair(key, 1), fingerprint)
            for key, fingerprint in zip("abcd", "mnop", strict=True)
        ]
    )
    assert catalog.requeue(other_than_fingerprint="n", limit=0) == []
    first = catalog.requeue(other_than_fingerprint="n", limit=2)
    rest = catalog.requeue(other_than_fingerprint="n")
    assert sorted(one.pair.id for one in first + rest) == ["a", "c", "d"]
    assert {one.lane for one in first + rest} == {"bulk"}
    assert record(catalog, "a").state is ItemState.PENDING
    clock.now += 100
    catalog.claim([Pair("a", 1)])
    catalog.finish([indexed(Pair("a", 1), "n")])
    assert record(catalog, "a").latency_s == 3, "of its first indexing, not of the move"
    assert catalog.requeue(ids=["b", "e", "unknown"]) == [Due(Pair("b", 1), "bulk", alone=False)]
    assert [one.pair.id for one in catalog.requeue()] == ["a"]


def test_the_oldest_pending_item_tells_the_lag(catalog: Catalog, clock: Clock) -> None:
    assert catalog.oldest_pending_s() == 0
    catalog.accept([created("x", 1)])
    clock.now += 7
    catalog.accept([created("y", 1)])
    assert catalog.oldest_pending_s() == 7
    catalog.claim([X])
    catalog.finish([indexed()])
    assert catalog.oldest_pending_s() == 0


def test_a_reason_with_characters_no_store_holds_is_kept_readable(catalog: Catalog) -> None:
    catalog.accept([created("x", 1)])
    catalog.claim([X])
    catalog.finish([Dead(X, "bad byte \x00 and \ud800", (MediaFailure("m\x00", "\ud800"),))])
    found = record(catalog)
    assert found.reason == "bad byte \ufffd and ?"
    assert found.failures == (MediaFailure("m\ufffd", "?"),)


def test_the_newest_are_those_indexed_last(catalog: Catalog, clock: Clock) -> None:
    catalog.accept([created(key, 1) for key in "abcd"])
    catalog.claim([Pair(key, 1) for key in "abc"])
    for key in "bca":
        clock.now += 1
        catalog.finish([indexed(Pair(key, 1))])
    assert catalog.newest(2) == ["a", "c"]
    [*_, first] = catalog.indexed_last(10)
    assert first == Arrival("b", 2_000_000_000.0, 2_000_000_001.0)
    assert catalog.newest(0) == []


def test_neither_a_newer_version_nor_a_reindex_makes_an_item_new(
    catalog: Catalog, clock: Clock
) -> None:
    catalog.accept([created("a", 1), created("b", 1)])
    for key in "ab":
        [claim] = catalog.claim([Pair(key, 1)])
        assert claim.first_indexed_at is None
        catalog.finish([indexed(Pair(key, 1))])
        clock.now += 10
    first = clock.now - 20
    for event in (created("a", 2), deleted("a", 3), created("a", 4)):
        catalog.accept([event])
        [claim] = catalog.claim([Pair("a", event.data.version)])
        assert claim.first_indexed_at == first
        catalog.finish([Removed(claim.pair) if claim.item is None else indexed(claim.pair)])
    assert catalog.newest(2) == ["b", "a"]
    assert [one.id for one in catalog.indexed_last(2)] == ["a", "b"]
    catalog.requeue(other_than_fingerprint="another", ids=["a"], limit=1)
    [claim] = catalog.claim([Pair("a", 4)])
    assert claim.first_indexed_at == first
