"""The ledger's invariants under random interleavings of everything that can be done to it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine

from catalog import (
    Catalog,
    Claim,
    Dead,
    Indexed,
    ItemState,
    Outcome,
    Pair,
    Postponed,
    Removed,
    Retry,
)
from catalog.database import checked_url
from catalog.schema import ARRIVALS, METADATA
from domain.events import Event
from tests.fixtures.clock import Clock
from tests.fixtures.events import created, deleted, interaction, user, user_deleted

KEYS = ("a", "b", "c")
PEOPLE = ("u", "v")
VERSIONS = st.integers(min_value=1, max_value=5)
RANDOM = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def engine(ledger_url: str, catalog: Catalog) -> Iterator[Engine]:
    """A way to empty the tables between examples, round the ledger."""
    opened = create_engine(checked_url(ledger_url))
    yield opened
    opened.dispose()


def empty(engine: Engine) -> None:
    with engine.begin() as connection:
        for table in METADATA.sorted_tables:
            if table is ARRIVALS:
                continue
            connection.execute(table.delete())


def versioned_item(key: str, version: int, deletion: bool) -> Event:
    """Content follows from the version, as a publisher's must."""
    return deleted(key, version) if deletion else created(key, version, f"{key} at {version}")


def versioned_user(key: str, version: int, deletion: bool) -> Event:
    """Users are deleted at 1,000 s, after all they did: of what is dated later the order of arrival
    shows (docs/decisions/0012-a-deletion-takes-what-was-there.md)."""
    return user_deleted(key, version, time=1_000) if deletion else user(key, version, f"{version}")


EVENTS = st.one_of(
    st.builds(versioned_item, st.sampled_from(KEYS), VERSIONS, st.booleans()),
    st.builds(versioned_user, st.sampled_from(PEOPLE), VERSIONS, st.booleans()),
    st.builds(
        lambda number, key: interaction(
            f"e{number}", PEOPLE[number % len(PEOPLE)], key, time=number
        ),
        st.integers(0, 7),
        st.just("a"),
    ),
)


@st.composite
def two_deliveries(draw: st.DrawFn) -> tuple[list[list[Event]], list[list[Event]]]:
    """The same events twice: in batches, then shuffled, with repeats, in other batches."""
    once = draw(st.lists(EVENTS, min_size=1, max_size=12))
    again = draw(st.permutations(once + draw(st.lists(st.sampled_from(once), max_size=6))))
    return _batches(draw, once), _batches(draw, list(again))


def _batches(draw: st.DrawFn, events: list[Event]) -> list[list[Event]]:
    cuts = sorted({0, len(events), *draw(st.lists(st.integers(0, len(events)), max_size=3))})
    return [events[start:stop] for start, stop in pairwise(cuts)]


def everything(catalog: Catalog) -> object:
    """What a reader can see of the ledger, event ids and clock times apart."""
    return (
        [(one.id, one.version, one.item, one.state, one.lane) for one in catalog.items()],
        [(key, found.version, found.user) for key in PEOPLE if (found := catalog.user(key))],
        {key: catalog.history(key) for key in PEOPLE},
    )


@RANDOM
@given(deliveries=two_deliveries())
def test_any_order_any_repetition_and_any_batches_end_in_the_same_state(
    catalog: Catalog, engine: Engine, deliveries: tuple[list[list[Event]], list[list[Event]]]
) -> None:
    seen = []
    for batches in deliveries:
        empty(engine)
        for batch in batches:
            catalog.accept(batch)
        seen.append(everything(catalog))
    assert seen[0] == seen[1]


UNVERSIONED = st.one_of(
    EVENTS,
    st.builds(created, st.sampled_from(KEYS)),
    st.builds(deleted, st.sampled_from(KEYS)),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("accept"), st.lists(UNVERSIONED, min_size=1, max_size=4)),
        st.tuples(st.just("claim"), st.sets(st.sampled_from(KEYS), min_size=1)),
        st.tuples(st.just("claim guess"), st.tuples(st.sampled_from(KEYS), st.integers(0, 6))),
        st.tuples(
            st.just("finish"),
            st.tuples(
                st.integers(0, 5),
                st.sampled_from(["done", "retry", "postponed", "dead", "died", "wrong"]),
            ),
        ),
        st.tuples(st.just("wait"), st.sampled_from([1.0, 100.0, 400.0])),
        st.tuples(st.just("due"), st.integers(0, 3)),
        st.tuples(st.just("redrive"), st.none() | st.lists(st.sampled_from(KEYS), max_size=2)),
        st.tuples(st.just("requeue"), st.none() | st.just("fp")),
    ),
    min_size=1,
    max_size=25,
)


class Play:
    """Plays random steps against a ledger and watches what must never happen."""

    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self.catalog = catalog
        self.clock = clock
        self.working: list[Claim] = []
        self.accepted: set[str] = set()
        self.before: dict[str, tuple[int, ItemState]] = {}

    def step(self, kind: str, what: object) -> None:
        getattr(self, "_" + kind.replace(" ", "_"))(what)
        if kind == "wait":
            self.clock.now += float(str(what))
        self.check(kind)

    def _wait(self, _what: float) -> None:
        """The clock is moved by step."""

    def _accept(self, events: list[Event]) -> None:
        for one in self.catalog.accept(events):
            if one.kind == "item" and one.status == "accepted":
                self.accepted.add(one.subject)

    def _claim(self, keys: set[str]) -> None:
        states = self.catalog.states(keys)
        found = self.catalog.claim([Pair(key, version) for key, (version, _) in states.items()])
        for one in found:
            assert states[one.pair.id][1] in (ItemState.PENDING, ItemState.DELETED)
            assert (one.item is None) == (states[one.pair.id][1] is ItemState.DELETED)
        self.working += found

    def _claim_guess(self, pair: tuple[str, int]) -> None:
        found = self.catalog.claim([Pair(*pair)])
        assert [one.pair for one in found] in ([], [Pair(*pair)])
        self.working += found

    def _finish(self, choice: tuple[int, str]) -> None:
        if not self.working:
            return
        claim = self.working.pop(choice[0] % len(self.working))
        kinds: dict[str, Outcome | None] = {
            "done": Removed(claim.pair)
            if claim.item is None
            else Indexed(claim.pair, "fp", {"text": "m"}),
            "retry": Retry(claim.pair, "again"),
            "postponed": Postponed(claim.pair, "later"),
            "dead": Dead(claim.pair, "broken"),
            "died": None,
            "wrong": Indexed(claim.pair, "fp", {}) if claim.item is None else Removed(claim.pair),
        }
        outcome = kinds[choice[1]]
        if outcome is not None:
            self.catalog.finish([outcome])

    def _due(self, limit: int) -> None:
        found = self.catalog.due(limit)
        assert len(found) <= limit
        states = self.catalog.states([one.pair.id for one in found])
        for one in found:
            assert states[one.pair.id] in [
                (one.pair.version, ItemState.PENDING),
                (one.pair.version, ItemState.DELETED),
            ]

    def _redrive(self, ids: list[str] | None) -> None:
        for one in self.catalog.redrive(ids):
            assert self.before[one.pair.id] == (one.pair.version, ItemState.DEAD)

    def _requeue(self, fingerprint: str | None) -> None:
        for one in self.catalog.requeue(other_than_fingerprint=fingerprint):
            assert self.before[one.pair.id] == (one.pair.version, ItemState.INDEXED)
            assert fingerprint is None

    def check(self, kind: str) -> None:
        rows = {one.id: one for one in self.catalog.items()}
        assert set(rows) == self.accepted, "nothing accepted is lost, nothing else appears"
        assert sum(self.catalog.counts().values()) == len(rows)
        for key, row in rows.items():
            assert (row.item is None) == (row.state is ItemState.DELETED)
            if row.state is ItemState.PENDING:
                assert row.next_attempt_at is not None, "somebody will come back for it"
            if row.state in (ItemState.INDEXED, ItemState.DEAD):
                assert row.next_attempt_at is None
            if row.state is ItemState.DEAD:
                assert row.reason
            version, state = self.before.get(key, (-1, ItemState.DELETED))
            assert row.version >= version, "an older version never wins"
            if state is ItemState.DELETED and row.state is not ItemState.DELETED:
                assert row.version > version, "the deleted returns only with a newer version"
            if kind != "accept":
                assert row.version == version
        self.before = {key: (row.version, row.state) for key, row in rows.items()}

    def everything_ends(self) -> None:
        """Workers that work, and enough time, leave nothing outstanding."""
        for _ in range(20):
            self.clock.now += 2_000
            for due in self.catalog.due(100):
                for claim in self.catalog.claim([due.pair]):
                    done: Outcome = Indexed(claim.pair, "fp", {})
                    self.catalog.finish([Removed(claim.pair) if claim.item is None else done])
        counts = self.catalog.counts()
        assert counts[ItemState.PENDING] == 0
        assert all(one.next_attempt_at is None for one in self.catalog.items())


@RANDOM
@given(steps=STEPS)
def test_no_interleaving_breaks_the_invariants(
    catalog: Catalog, clock: Clock, engine: Engine, steps: list[tuple[str, object]]
) -> None:
    empty(engine)
    play = Play(catalog, clock)
    for kind, what in steps:
        play.step(kind, what)
    play.everything_ends()
