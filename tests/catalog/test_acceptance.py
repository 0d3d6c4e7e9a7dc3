"""What becomes of item events, one by one and in batches."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from catalog import Catalog, Indexed, ItemState, Pair
from domain.events import BadEvent, Event, parse_event
from domain.fields import MAX_VERSION
from domain.limits import Limits
from tests.fixtures.clock import Clock
from tests.fixtures.events import created, deleted, interaction, parsed, user, user_deleted


def test_an_accepted_item_is_pending_in_the_lane_of_its_heaviest_modality(
    catalog: Catalog,
) -> None:
    events = [
        created("t"),
        created("i", media={"images": ["https://h/a.jpg"]}),
        created("a", media={"images": ["https://h/a.jpg"], "audio": ["https://h/a.ogg"]}),
    ]
    found = catalog.accept(events)
    assert [one.lane for one in found] == ["text", "image", "audio"]
    assert [one.status for one in found] == ["accepted"] * 3
    assert [one.event_id for one in found] == [event.id for event in events]
    assert catalog.counts()[ItemState.PENDING] == 3
    assert catalog.pending_by_lane() == {"text": 1, "image": 1, "audio": 1}


def test_an_item_comes_back_exactly_as_it_was_published(catalog: Catalog) -> None:
    data: dict[str, Any] = {
        "id": "x",
        "version": 7,
        "title": "Ünï \u202eקר 🎬",
        "description": "d" * 5000,
        "tags": ["b", "a"],
        "attributes": {"year": 1999, "score": 1.0, "ok": True, "who": ["z", 1, 2.5, False]},
        "media": {"images": ["https://h/1.png"], "audio": ["upload:" + "a" * 64]},
        "expires_at": "2031-12-31T23:59:59Z",
    }
    catalog.accept([parsed({"type": "item.created", "data": data})])
    record = catalog.item("x")
    assert record is not None
    assert record.item is not None
    assert record.item.model_dump(mode="json") == data
    assert type(record.item.attributes["score"]) is float
    assert type(record.item.attributes["year"]) is int


def test_an_interaction_dated_in_the_future_is_one_of_now(catalog: Catalog, clock: Clock) -> None:
    catalog.accept([user("u", 1), created("a"), created("b")])
    [far, near] = catalog.accept(
        [
            interaction("far", "u", "a", clock.now + 1e9),
            interaction("near", "u", "b", clock.now + 100),
        ]
    )
    assert far.note == "its time lies in the future; it counts as now"
    assert near.note == ""
    assert [one.time for one in catalog.history("u")] == [clock.now, clock.now]
    then = clock.now
    clock.now += 60
    catalog.accept([interaction("real", "u", "b", clock.now)])
    assert [one.time for one in catalog.history("u")] == [then + 60, then, then]


def test_what_was_accepted_under_wider_limits_is_still_read(catalog: Catalog) -> None:
    wide = Limits(title_chars=10**6, tags=10**6)
    raw = {"type": "item.created", "data": {"id": "x", "title": "t" * 5000, "tags": ["t"] * 500}}
    event = parse_event(raw, wide)
    assert not isinstance(event, BadEvent)
    [done] = catalog.accept([event])
    [claim] = catalog.claim([Pair("x", 1)])
    assert done.version == 1
    assert claim.item is not None
    assert len(claim.item.title) == 5000


def test_the_same_version_again_is_a_duplicate_and_an_older_one_is_stale(
    catalog: Catalog,
) -> None:
    catalog.accept([created("x", 5)])
    found = catalog.accept([created("x", 5), created("x", 4, "old"), deleted("x", 3)])
    assert [one.status for one in found] == ["duplicate", "stale", "stale"]
    assert [one.lane for one in found] == [None, None, None]
    assert [one.version for one in found] == [5, 4, 3]
    assert "version 5 is newer" in found[1].note
    record = catalog.item("x")
    assert record is not None
    assert (record.version, record.state) == (5, ItemState.PENDING)


def test_other_content_under_a_known_version_is_told_and_not_taken(catalog: Catalog) -> None:
    catalog.accept([created("x", 5, "first")])
    [found] = catalog.accept([created("x", 5, "second")])
    assert found.status == "duplicate"
    assert "other content" in found.note
    record = catalog.item("x")
    assert record is not None
    assert record.item is not None
    assert record.item.title == "first"


def test_an_event_without_a_version_gets_the_next_one(catalog: Catalog) -> None:
    found = catalog.accept([created("x"), created("x"), deleted("x"), created("x")])
    assert [one.version for one in found] == [1, 2, 3, 4]
    assert [one.status for one in found] == ["accepted"] * 4
    catalog.accept([created("y", 41)])
    assert catalog.accept([created("y")])[0].version == 42
    assert catalog.accept([deleted("y")])[0].version == 43
    assert catalog.accept([created("y")])[0].version == 44


def test_nothing_comes_after_the_last_version(catalog: Catalog) -> None:
    catalog.accept([created("x", MAX_VERSION)])
    [found] = catalog.accept([created("x")])
    assert found.status == "stale"
    assert "no version comes after it" in found.note


def test_a_timestamp_orders_versions_by_microseconds(catalog: Catalog) -> None:
    early = parsed(
        {
            "type": "item.updated",
            "data": {"id": "x", "title": "early", "version": "2026-01-01T00:00:00.000001Z"},
        }
    )
    late = parsed(
        {
            "type": "item.updated",
            "data": {"id": "x", "title": "late", "version": "2026-01-01T02:00:00.000002+02:00"},
        }
    )
    found = catalog.accept([late, early])
    assert [one.status for one in found] == ["accepted", "stale"]
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert found[0].version == int(moment.timestamp()) * 1_000_000 + 2


def test_only_the_newest_of_one_batch_asks_for_a_message(catalog: Catalog) -> None:
    found = catalog.accept([created("x", 1), created("y", 1), created("x", 3), created("x", 2)])
    assert [one.lane for one in found] == [None, "text", "text", None]
    assert [one.status for one in found] == ["accepted", "accepted", "accepted", "stale"]
    assert catalog.claim([Pair("x", 1)]) == []
    assert [one.pair for one in catalog.claim([Pair("x", 3)])] == [Pair("x", 3)]


def test_a_bulk_event_goes_to_the_bulk_lane(catalog: Catalog) -> None:
    found = catalog.accept([created("x"), deleted("x", 9)], bulk=True)
    assert found[1].lane == "bulk"
    assert catalog.accept([created("y")], bulk=True)[0].lane == "bulk"
    assert catalog.pending_by_lane() == {"bulk": 1}


def test_a_deletion_outranks_content_of_its_version_and_a_newer_version_returns(
    catalog: Catalog,
) -> None:
    catalog.accept([created("x", 5)])
    assert catalog.accept([deleted("x", 5)])[0].status == "accepted"
    [back] = catalog.accept([created("x", 5)])
    assert back.status == "stale"
    assert "newer version brings it back" in back.note
    record = catalog.item("x")
    assert record is not None
    assert (record.state, record.item) == (ItemState.DELETED, None)
    assert catalog.accept([created("x", 6)])[0].status == "accepted"
    assert catalog.states(["x"]) == {"x": (6, ItemState.PENDING)}


def test_a_deletion_that_overtakes_its_item_holds_it_back(catalog: Catalog) -> None:
    [gone] = catalog.accept([deleted("x", 9)])
    assert (gone.status, gone.lane) == ("accepted", "text")
    assert catalog.accept([created("x", 8)])[0].status == "stale"
    assert catalog.states(["x"]) == {"x": (9, ItemState.DELETED)}


def test_deleting_the_unknown_without_a_version_is_kept_and_outranked_by_any(
    catalog: Catalog,
) -> None:
    [gone] = catalog.accept([deleted("x")])
    assert (gone.status, gone.version, gone.lane) == ("accepted", 0, None)
    assert "never published" in gone.note
    record = catalog.item("x")
    assert record is not None
    assert (record.state, record.next_attempt_at) == (ItemState.DELETED, None)
    assert catalog.accept([created("x", 1)])[0].status == "accepted"


def test_deleting_the_deleted_without_a_version_changes_nothing(catalog: Catalog) -> None:
    catalog.accept([created("x", 1), deleted("x")])
    [again] = catalog.accept([deleted("x")])
    assert (again.status, again.version) == ("duplicate", 2)


def test_a_new_version_forgets_attempts_and_failures_of_the_old(catalog: Catalog) -> None:
    catalog.accept([created("x", 1)])
    catalog.claim([Pair("x", 1)])
    catalog.finish([Indexed(Pair("x", 1), "fp", {"text": "m"})])
    catalog.accept([created("x", 2)])
    record = catalog.item("x")
    assert record is not None
    assert (record.state, record.attempts) == (ItemState.PENDING, 0)
    assert (record.fingerprint, record.models, record.latency_s) == (None, None, None)


def test_nothing_is_accepted_when_nothing_is_sent(catalog: Catalog) -> None:
    assert catalog.accept([]) == []
    assert catalog.claim([]) == []
    catalog.finish([])
    assert catalog.items(limit=0) == []
    assert catalog.states([]) == {}


def test_an_interaction_counts_once_by_its_event_id(catalog: Catalog) -> None:
    catalog.accept([user("u"), created("a"), created("b")])
    one, two = interaction("e1", "u", "a", 10), interaction("e2", "u", "b", 20)
    found = catalog.accept([one, two, one])
    assert [each.status for each in found] == ["accepted", "accepted", "duplicate"]
    assert [each.note for each in found] == ["", "", ""]
    assert catalog.accept([two])[0].status == "duplicate"
    assert [(each.item, each.time) for each in catalog.history("u")] == [("b", 20), ("a", 10)]
    assert [each.item for each in catalog.history("u", limit=1)] == ["b"]
    assert catalog.history("u", limit=0) == []
    assert catalog.seen("u") == {"a", "b"}
    assert catalog.interaction_counts(["a", "b", "c"]) == {"a": 1, "b": 1, "c": 0}


def test_an_interaction_with_the_unknown_is_kept_and_told(catalog: Catalog) -> None:
    [found] = catalog.accept([interaction("e1", "nobody", "nothing")])
    assert found.status == "accepted"
    assert "user nobody and item nothing not known" in found.note
    assert catalog.interaction_counts(["nothing"]) == {"nothing": 1}
    catalog.accept([user("u"), created("a"), deleted("a")])
    [found] = catalog.accept([interaction("e2", "u", "a")])
    assert found.note.startswith("item a not known")


def test_the_newest_profile_wins(catalog: Catalog) -> None:
    found = catalog.accept([user("u", 2, "new"), user("u", 1, "old"), user("u", 2, "new")])
    assert [one.status for one in found] == ["accepted", "stale", "duplicate"]
    record = catalog.user("u")
    assert record is not None
    assert record.user is not None
    assert (record.version, record.user.profile, record.user.version) == (2, "new", 2)
    assert catalog.user("nobody") is None


def test_a_deleted_user_loses_profile_and_interactions_late_ones_too(catalog: Catalog) -> None:
    catalog.accept([user("u", 1), created("a"), interaction("e1", "u", "a", 10)])
    catalog.accept([user("other", 1), interaction("e9", "other", "a", 10)])
    [gone] = catalog.accept([user_deleted("u", 2, time=100)])
    assert (gone.status, gone.version) == ("accepted", 2)
    record = catalog.user("u")
    assert record is not None
    assert (record.user, record.version) == (None, 2)
    assert catalog.history("u") == []
    late, later = interaction("e2", "u", "a", 99), interaction("e3", "u", "a", 101)
    found = catalog.accept([late, later])
    assert [one.status for one in found] == ["stale", "accepted"]
    assert "deleted after it happened" in found[0].note
    assert [one.time for one in catalog.history("u")] == [101]
    assert len(catalog.history("other")) == 1
    assert catalog.accept([user("u", 3)])[0].status == "accepted"


def test_a_deletion_repeated_spares_what_happened_after_it(catalog: Catalog) -> None:
    catalog.accept([user("u", 1), user_deleted("u", 2, time=100)])
    catalog.accept([interaction("e1", "u", "a", 150)])
    [again] = catalog.accept([user_deleted("u", 2, time=100)])
    assert again.status == "duplicate"
    assert [one.time for one in catalog.history("u")] == [150]


def test_a_deletion_overtaken_by_a_new_profile_still_erases_what_was_before(
    catalog: Catalog,
) -> None:
    catalog.accept([user("u", 3), interaction("e1", "u", "a", 50), interaction("e2", "u", "a", 70)])
    [late] = catalog.accept([user_deleted("u", 2, time=60)])
    assert late.status == "stale"
    assert [one.time for one in catalog.history("u")] == [70]
    record = catalog.user("u")
    assert record is not None
    assert record.user is not None


def test_a_deletion_in_a_batch_takes_the_interactions_before_it_only(catalog: Catalog) -> None:
    found = catalog.accept(
        [
            interaction("e1", "u", "a", 10),
            user_deleted("u", time=20),
            interaction("e2", "u", "a", 15),
            interaction("e3", "u", "a", 25),
        ]
    )
    assert [one.status for one in found] == ["accepted", "accepted", "stale", "accepted"]
    assert [one.time for one in catalog.history("u")] == [25]


def test_pages_follow_the_order_of_ids_byte_by_byte(catalog: Catalog) -> None:
    names = ["b", "A", "a", "B", "ä", "a b", "Z", "🎬"]
    catalog.accept([created(name) for name in names] + [user(name) for name in names])
    expected = sorted(names, key=str.encode)
    pages: list[str] = []
    while page := catalog.items(limit=3, after=pages[-1] if pages else None):
        pages += [one.id for one in page]
    assert pages == expected
    people: list[str] = []
    while found := catalog.users(limit=3, after=people[-1] if people else None):
        people += [one.id for one in found]
    assert people == expected
    catalog.accept([deleted("A"), user_deleted("A")])
    assert [one.id for one in catalog.items(state=ItemState.DELETED)] == ["A"]
    assert "A" not in [one.id for one in catalog.users(limit=100)]


@pytest.mark.parametrize("size", [1000, 6000])
def test_a_large_batch_is_accepted_in_one_transaction(catalog: Catalog, size: int) -> None:
    events = [created(f"item {number}", 1) for number in range(size)]
    events += [interaction(f"e{number}", "u", f"item {number}") for number in range(size)]
    found = catalog.accept(events)
    assert {one.status for one in found} == {"accepted"}
    again = catalog.accept(events)
    assert {one.status for one in again} == {"duplicate"}
    assert catalog.counts()[ItemState.PENDING] == size
    assert len(catalog.states([f"item {number}" for number in range(size)])) == size


def test_uploads_are_named_by_what_items_hold_now_whatever_their_state(catalog: Catalog) -> None:
    first, second, third = ("0" * 63 + mark for mark in "abc")

    def naming(item: str, version: int, *uploads: str) -> Event:
        images = [f"upload:{one}" for one in uploads]
        return created(item, version, media={"images": images})

    catalog.accept([naming("a", 1, first, second), naming("b", 1, third)])
    assert catalog.uploads_named() == {first, second, third}
    catalog.accept([naming("a", 2, second), deleted("b", 2)])
    assert catalog.uploads_named() == {second}
