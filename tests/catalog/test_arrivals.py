"""Interactions in the order of arrival: a reader that comes back misses nothing."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import create_engine, text

from catalog import START, Catalog, Cursor
from catalog.database import checked_url
from catalog.migrations import STEPS, migrate
from domain.events import Event, InteractionRecorded, UserDeleted, UserUpdated
from tests.fixtures.clock import Clock


def did(event_id: str, user: str, item: str, weight: float = 1.0, at: int = 0) -> Event:
    return InteractionRecorded.model_validate(
        {
            "id": event_id,
            "data": {
                "user": user,
                "item": item,
                "weight": weight,
                "time": f"2026-01-01T00:00:{at:02}Z",
            },
        }
    )


def deleted(user: str) -> Event:
    return UserDeleted.model_validate({"data": {"id": user}, "time": "2026-02-01T00:00:00Z"})


def test_pages_follow_each_other_without_a_gap_and_new_ones_come_last(catalog: Catalog) -> None:
    for turn in range(4):
        catalog.accept([did(f"e{9 - turn}{n}", f"u{n}", "i", at=turn) for n in range(3)])
    found = []
    cursor = START
    while page := catalog.interactions(cursor, limit=5):
        found += page
        cursor = page[-1].cursor
    assert [one.cursor.event_id for one in found] == [
        f"e{9 - turn}{n}" for turn in range(4) for n in range(3)
    ]
    catalog.accept([did("a", "u0", "j", weight=2.5, at=7)])
    (new,) = catalog.interactions(cursor)
    assert (new.user, new.item, new.kind, new.weight) == ("u0", "j", "view", 2.5)
    assert catalog.interaction_total() == 13


def test_a_cursor_stays_good_when_the_newest_interactions_are_deleted(catalog: Catalog) -> None:
    catalog.accept([did("a", "u", "i"), did("b", "gone", "i")])
    cursor = catalog.interactions()[-1].cursor
    catalog.accept([deleted("gone")])
    catalog.accept([did("0", "v", "i")])
    assert [one.user for one in catalog.interactions(cursor)] == ["v"]


def test_nothing_appears_behind_a_reader_that_reads_while_others_write(catalog: Catalog) -> None:
    def write(writer: int) -> None:
        for n in range(25):
            catalog.accept([did(f"{writer}-{n}-{k}", f"u{writer}", f"i{n}") for k in range(2)])

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    seen: list[str] = []
    cursor = START
    while any(writer.is_alive() for writer in writers) or catalog.interactions(cursor):
        page = catalog.interactions(cursor, limit=7)
        seen += [one.cursor.event_id for one in page]
        cursor = page[-1].cursor if page else cursor
    assert len(seen) == len(set(seen)) == 200


def test_a_slow_transaction_is_not_overtaken_by_the_readers_cursor(
    ledger_url: str, catalog: Catalog
) -> None:
    if ledger_url.startswith("sqlite"):
        pytest.skip("SQLite has one writer at a time")
    engine = create_engine(checked_url(ledger_url))
    with engine.begin() as slow:
        slow.execute(
            text(
                "INSERT INTO interactions (event_id, user_id, item_id, kind, weight, time, arrival)"
                " VALUES ('slow', 'u', 'i', 'view', 1, 1,"
                " CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT))"
            )
        )
        catalog.accept([did("quick", "u", "i")])
        assert catalog.interactions() == []
    assert [one.cursor.event_id for one in catalog.interactions()] == ["slow", "quick"]
    engine.dispose()


def test_a_cursor_of_another_ledger_is_beyond_what_is_settled(catalog: Catalog) -> None:
    catalog.accept([did("a", "u", "i")])
    (one,) = catalog.interactions()
    assert one.cursor.arrival <= catalog.settled()
    assert Cursor(2**62, "x").arrival > catalog.settled()


def test_what_a_user_took_is_summed_by_item_and_the_latest_comes_first(catalog: Catalog) -> None:
    catalog.accept(
        [
            did("a", "u", "i", 1.0, 1),
            did("b", "u", "j", 2.0, 2),
            did("c", "u", "i", 0.5, 3),
            did("d", "v", "j", 1.0, 4),
        ]
    )
    found = catalog.taken_by(["v", "u", "nobody"])
    assert [(one.user, one.item, one.weight) for one in found] == [
        ("u", "i", 1.5),
        ("u", "j", 2.0),
        ("v", "j", 1.0),
    ]
    assert [(one.user, one.weight) for one in catalog.audience("j")] == [("v", 1.0), ("u", 2.0)]
    assert [one.user for one in catalog.audience("j", limit=1)] == ["v"]
    assert catalog.audiences(["i", "j", "k"]) == {"i": 1, "j": 2, "k": 0}
    assert catalog.audiences(["j"], most=1) == {"j": 1}


def test_users_that_were_ever_deleted_are_listed_in_order_also_one_that_came_back(
    catalog: Catalog, clock: Clock
) -> None:
    for user in ("b", "a", "c"):
        clock.now += 10
        catalog.accept([UserUpdated.model_validate({"data": {"id": user}})])
    for user in ("b", "a"):
        clock.now += 10
        catalog.accept([deleted(user)])
    first = catalog.erased_users()
    assert [key for key, _ in first] == ["b", "a"]
    clock.now += 10
    catalog.accept([UserUpdated.model_validate({"data": {"id": "b"}})])
    key, at = first[-1]
    assert [one for one, _ in catalog.erased_users(at, key)] == ["b"]


def test_a_ledger_from_before_arrivals_moves_forward_and_is_read_from_the_start(
    ledger_url: str,
) -> None:
    engine = create_engine(checked_url(ledger_url))
    with engine.begin() as connection:
        migrate(connection, STEPS[:1])
        connection.execute(
            text(
                "INSERT INTO interactions (event_id, user_id, item_id, kind, weight, time)"
                " VALUES ('b', 'u', 'i', 'view', 1, 1), ('a', 'u', 'i', 'view', 1, 1)"
            )
        )
    engine.dispose()
    with Catalog.open(ledger_url) as catalog:
        catalog.accept([did("0", "u", "i")])
        assert [one.cursor.event_id for one in catalog.interactions()] == ["a", "b", "0"]


def test_what_was_taken_last_comes_first_and_no_more_than_asked_for(catalog: Catalog) -> None:
    assert catalog.latest_taken(10, of_each=9) == []
    for number in range(5):
        catalog.accept([did(f"e{number}", f"u{number % 2}", f"i{number}")])
    assert catalog.latest_taken(3, of_each=9) == [("u0", "i4"), ("u1", "i3"), ("u0", "i2")]
    assert len(catalog.latest_taken(100, of_each=9)) == 5


def test_of_one_user_the_latest_few_are_read_and_of_others_further_back(catalog: Catalog) -> None:
    took = [("others", n, f"u{n}") for n in range(4)] + [("flood", n, "bot") for n in range(9)]
    for name, number, user in took:
        catalog.accept([did(f"{name}{number}", user, f"i{number}")])
    found = catalog.latest_taken(5, of_each=2)
    bot, others = [("bot", "i8"), ("bot", "i7")], [("u3", "i3"), ("u2", "i2"), ("u1", "i1")]
    assert found == [*bot, *others]
    assert catalog.latest_taken(20, of_each=2) == [*found, ("u0", "i0")]
