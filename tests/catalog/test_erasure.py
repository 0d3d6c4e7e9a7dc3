"""What a user's deletion is answered with is what it took, on both engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog import Catalog, Erased
from tests.fixtures.clock import Clock
from tests.fixtures.events import created, interaction, parsed, user, user_deleted


def erased(found: Sequence[Any]) -> list[Erased | None]:
    return [one.erased for one in found]


def test_a_deletion_tells_profile_and_interactions_once(catalog: Catalog) -> None:
    catalog.accept([user("u", 1), created("a"), created("b")])
    catalog.accept([interaction(f"e{n}", "u", "ab"[n % 2], 10 + n) for n in range(5)])
    catalog.accept([interaction("other", "v", "a", 10)])
    assert erased(catalog.accept([user_deleted("u", 2, time=100)])) == [Erased(True, 5)]
    assert erased(catalog.accept([user_deleted("u", 2, time=100)])) == [Erased(False, 0)]
    assert (catalog.history("u"), len(catalog.history("v"))) == ([], 1)


def test_somebody_who_only_ever_did_things_is_deleted_too(catalog: Catalog) -> None:
    catalog.accept([interaction("e1", "u", "a", 10), interaction("e2", "u", "b", 20)])
    assert erased(catalog.accept([user_deleted("u", time=100)])) == [Erased(False, 2)]
    assert catalog.history("u") == []


def test_a_late_deletion_takes_what_happened_before_it_and_leaves_the_profile(
    catalog: Catalog,
) -> None:
    catalog.accept([user("u", 3), interaction("e1", "u", "a", 50), interaction("e2", "u", "a", 70)])
    assert erased(catalog.accept([user_deleted("u", 2, time=60)])) == [Erased(False, 1)]
    assert len(catalog.history("u")) == 1


def test_a_deletion_takes_what_was_there_before_it_though_it_is_dated_later(
    catalog: Catalog,
) -> None:
    catalog.accept([user("u", 1), interaction("ahead", "u", "a", 70)])
    assert erased(catalog.accept([user_deleted("u", 2, time=60)])) == [Erased(True, 1)]
    assert catalog.history("u") == []
    catalog.accept([interaction("back", "u", "a", 70), interaction("late", "u", "a", 50)])
    assert [one.time for one in catalog.history("u")] == [70]


def test_a_stale_deletion_that_does_not_say_when_it_happened_takes_nothing(
    catalog: Catalog,
) -> None:
    catalog.accept([user("u", 5), interaction("e1", "u", "a", 50)])
    stale = parsed({"type": "user.deleted", "data": {"id": "u", "version": 3}})
    [told] = catalog.accept([stale])
    assert (told.status, told.erased) == ("stale", Erased(False, 0))
    assert len(catalog.history("u")) == 1
    catalog.accept([interaction("e2", "u", "a", 60)])
    assert len(catalog.history("u")) == 2


def test_a_deletion_dated_in_the_future_is_one_of_now(catalog: Catalog, clock: Clock) -> None:
    catalog.accept([user("u", 1), interaction("e1", "u", "a", clock.now - 10)])
    [told] = catalog.accept([user_deleted("u", 2, time=clock.now + 1e9)])
    assert "in the future" in told.note
    clock.now += 60
    catalog.accept([user("u", 3)])
    [done] = catalog.accept([interaction("e2", "u", "a", clock.now - 1)])
    assert done.status == "accepted"
    assert [one.time for one in catalog.history("u")] == [clock.now - 1]


def test_of_two_deletions_in_a_batch_one_is_told_the_profile_and_the_last_the_interactions(
    catalog: Catalog,
) -> None:
    catalog.accept([user("u", 1), user("v", 1), interaction("e1", "u", "a", 50)])
    found = catalog.accept(
        [
            user_deleted("u", 2, time=60),
            user_deleted("v", 2, time=60),
            user_deleted("u", 3, time=61),
        ]
    )
    assert erased(found) == [Erased(True, 0), Erased(True, 0), Erased(False, 1)]


def test_only_deletions_of_users_are_told_what_they_took(catalog: Catalog) -> None:
    found = catalog.accept([user("u", 1), created("a"), interaction("e1", "u", "a", 50)])
    assert erased(found) == [None, None, None]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    times=st.lists(st.integers(1, 100), max_size=8),
    until=st.integers(1, 100),
    version=st.integers(1, 3),
)
def test_what_is_told_is_what_is_gone(
    catalog: Catalog, times: list[int], until: int, version: int
) -> None:
    name = f"u{len(catalog.users(limit=10_000))}-{hash((tuple(times), until, version))}"
    events = [interaction(f"{name}/{n}", name, "a", time) for n, time in enumerate(times)]
    catalog.accept([user(name, 2), *events])
    before = catalog.user(name)
    had, stored = before is not None and before.user is not None, len(catalog.history(name))
    [told] = erased(catalog.accept([user_deleted(name, version, time=until)]))
    after = catalog.user(name)
    has = after is not None and after.user is not None
    assert told == Erased(had and not has, stored - len(catalog.history(name)))
