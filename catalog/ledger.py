"""The ledger: what was accepted, and how far it got. The truth; all else is derived from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from types import TracebackType
from typing import Self

from sqlalchemy import text

from catalog import arrivals, lifecycle, reading
from catalog.acceptance import Acceptor, content_of
from catalog.arrivals import START, Arrived, Cursor, Taken
from catalog.database import Database
from catalog.records import (
    Acceptance,
    Arrival,
    Claim,
    Due,
    InteractionRecord,
    ItemRecord,
    ItemState,
    Outcome,
    Pair,
    UserRecord,
)
from catalog.retries import RetryPolicy
from domain.events import Event
from domain.settings import Settings

DEFAULT_POLICY = RetryPolicy()


class Catalog:
    """One ledger, SQLite or PostgreSQL, shared by all threads of a process.

    Every method is one transaction, and raises RetryableError when the database does not answer
    or stays locked. What is unknown is None or absent, never an error.
    """

    def __init__(self, database: Database, retry: RetryPolicy, clock: Callable[[], float]) -> None:
        self._database = database
        self._retry = retry
        self._clock = clock
        self._acceptor = Acceptor(database, retry)

    @classmethod
    def open(
        cls,
        url: str,
        *,
        busy_timeout_s: float = 30.0,
        retry: RetryPolicy = DEFAULT_POLICY,
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """Open the ledger, creating or migrating its tables.

        Args:
            url: sqlite:////absolute/path.db or postgresql://user:password@host/database.
            busy_timeout_s: how long to wait for a lock before RetryableError.
            retry: waits and limits of attempts.
            clock: seconds since 1970.

        Raises:
            RejectedError: the URL is of no use, or a newer Firstlight wrote the ledger.
            RetryableError: the database does not answer.
        """
        return cls(Database.open(url, busy_timeout_s=busy_timeout_s), retry, clock)

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """Open the ledger that the settings name. Raises as `open` does."""
        if settings.catalog.url is None:
            settings.folder("")  # an error names the setting that is at fault
        return cls.open(
            settings.catalog_url,
            busy_timeout_s=settings.catalog.busy_timeout_s,
            retry=RetryPolicy.from_settings(settings.worker),
        )

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def ping(self) -> None:
        """Ask the database for a sign of life."""
        with self._database.reading() as connection:
            connection.execute(text("SELECT 1"))

    def accept(self, events: Sequence[Event], *, bulk: bool = False) -> list[Acceptance]:
        """Accept events, durably and all together; one answer each, in order.

        Newest version wins, in whatever order and however often events arrive:

        - the same (id, version) again is a duplicate, an older one stale; several events of one
          id in a batch are judged one after another;
        - at the same version a deletion outranks content, so a deleted item comes back only with
          a newer version; the deletion of an unknown id leaves a tombstone that holds back
          older content arriving later;
        - two contents under one version are the publisher's mistake: the first stays, and the
          other is answered `duplicate` with a note;
        - without a version an event gets the one after the stored version, even when it says what
          is stored already; deleting what is deleted changes nothing; deleting what was never
          seen is kept at version 0, which any version outranks;
        - created and updated mean the same.

        Interactions are accepted once per event id, also about unknown items and users (`note`).
        A user's deletion takes the profile and the stored interactions; interactions that arrive
        later but happened before it are stale.

        Args:
            bulk: a backfill: messages go to the bulk lane, not to the items' own.
        """
        if not events:
            return []
        contents = [content_of(event) for event in events]
        return self._database.write(
            partial(
                self._acceptor.accept,
                events=events,
                contents=contents,
                bulk=bulk,
                now=self._clock(),
            ),
            durable=True,
        )

    def claim(self, pairs: Sequence[Pair]) -> list[Claim]:
        """Take work: those pairs that are pending, or deleted and outstanding, at that version.

        The attempt is counted before the work begins, so that an item which kills its worker is
        counted too; until the lease ends nobody else is told of it. Pairs that are overtaken,
        finished, unknown or out of attempts are left out. In the order of `pairs`.
        """
        if not pairs:
            return []
        return self._database.write(
            lambda connection: lifecycle.claim(connection, pairs, self._retry, self._clock()),
            durable=False,
        )

    def finish(self, outcomes: Sequence[Outcome]) -> None:
        """Record what became of claimed pairs. An outcome for another version is ignored.

        A Retry after the last attempt makes the item dead; a deletion is never given up. Report
        Indexed only for points that were left in the index.
        """
        if not outcomes:
            return
        self._database.write(
            lambda connection: lifecycle.finish(connection, outcomes, self._retry, self._clock()),
            durable=False,
        )

    def due(self, limit: int, now: float | None = None) -> list[Due]:
        """What is to be sent again, longest overdue first; the waits double with every sending.

        Items out of attempts whose last worker never reported become dead here.
        """
        at = self._clock() if now is None else now
        return self._database.write(
            lambda connection: lifecycle.due(connection, limit, self._retry, at), durable=False
        )

    def redrive(self, ids: Sequence[str] | None = None) -> list[Due]:
        """Give dead items (all, or those named) new attempts; what is to be sent for them."""
        return self._database.write(
            lambda connection: lifecycle.redrive(connection, ids, self._retry, self._clock()),
            durable=False,
        )

    def requeue(
        self,
        *,
        other_than_fingerprint: str | None = None,
        ids: Sequence[str] | None = None,
        limit: int = 1000,
    ) -> list[Due]:
        """Make indexed items pending again, in the bulk lane; at most `limit` of them.

        Args:
            other_than_fingerprint: only those indexed in another collection than this.
            ids: only these.
        """
        return self._database.write(
            lambda connection: lifecycle.requeue(
                connection,
                other_than_fingerprint=other_than_fingerprint,
                ids=ids,
                limit=limit,
                policy=self._retry,
                now=self._clock(),
            ),
            durable=False,
        )

    def moved(self, pairs: Sequence[Pair], fingerprint: str) -> None:
        """Say that the points of these indexed versions are in this collection now: they were
        re-fused, not encoded again. What is not indexed at exactly that version is left alone."""
        if pairs:
            self._database.write(
                lambda connection: lifecycle.moved(connection, pairs, fingerprint, self._clock()),
                durable=False,
            )

    def item(self, key: str) -> ItemRecord | None:
        """All that is known of one item, deleted ones included."""
        with self._database.reading() as connection:
            return reading.item(connection, key)

    def items(
        self, *, state: ItemState | None = None, limit: int = 100, after: str | None = None
    ) -> list[ItemRecord]:
        """A page of items in the order of their ids, beginning behind `after`."""
        with self._database.reading() as connection:
            return reading.items(connection, state=state, limit=limit, after=after)

    def states(self, ids: Collection[str]) -> dict[str, tuple[int, ItemState]]:
        """Version and state of each known id."""
        with self._database.reading() as connection:
            return reading.states(connection, ids)

    def counts(self) -> dict[ItemState, int]:
        """Items in each state."""
        with self._database.reading() as connection:
            return reading.counts(connection)

    def pending_by_lane(self) -> dict[str, int]:
        """Pending items of each lane that has any."""
        with self._database.reading() as connection:
            return reading.pending_by_lane(connection)

    def oldest_pending_s(self) -> float:
        """Seconds since the acceptance of the pending item that waits longest; 0 if none does."""
        with self._database.reading() as connection:
            found = reading.oldest_pending_at(connection)
        return 0.0 if found is None else max(0.0, self._clock() - found)

    def newest(self, limit: int) -> list[str]:
        """Ids of the indexed items, newest first: by when they were indexed for the first time."""
        with self._database.reading() as connection:
            return reading.newest(connection, limit)

    def indexed_last(self, limit: int) -> list[Arrival]:
        """The items whose present version was indexed last, newest first."""
        with self._database.reading() as connection:
            return reading.indexed_last(connection, limit)

    def user(self, key: str) -> UserRecord | None:
        """All that is known of one user, deleted ones included."""
        with self._database.reading() as connection:
            return reading.user(connection, key)

    def users(self, limit: int = 100, after: str | None = None) -> list[UserRecord]:
        """A page of users with a profile in the order of their ids, beginning behind `after`."""
        with self._database.reading() as connection:
            return reading.users(connection, limit=limit, after=after)

    def history(self, user_id: str, limit: int = 50) -> list[InteractionRecord]:
        """What the user did, newest first."""
        with self._database.reading() as connection:
            return reading.history(connection, user_id, limit)

    def seen(self, user_id: str, limit: int = 10_000) -> set[str]:
        """Items of the user's last `limit` interactions."""
        return {one.item for one in self.history(user_id, limit)}

    def seen_among(self, user_id: str, ids: Collection[str]) -> set[str]:
        """Those of these items that the user ever interacted with."""
        with self._database.reading() as connection:
            return reading.seen_among(connection, user_id, ids)

    def interactions(self, after: Cursor = START, limit: int = 10_000) -> list[Arrived]:
        """The next interactions in the order of arrival, behind `after`.

        A reader that comes back with the last cursor misses nothing and sees nothing twice. On
        PostgreSQL an interaction is seen once every transaction that began before its own ended.
        """
        with self._database.reading() as connection:
            return arrivals.page(connection, after, limit)

    def settled(self) -> int:
        """The arrival up to which a reader can see. A cursor beyond it is of another ledger."""
        with self._database.reading() as connection:
            return arrivals.settled(connection)

    def interaction_total(self) -> int:
        """Interactions stored; counts them."""
        with self._database.reading() as connection:
            return arrivals.total(connection)

    def taken_by(self, user_ids: Collection[str]) -> list[Taken]:
        """What these users took, each item once; by user, what was taken last first."""
        with self._database.reading() as connection:
            return arrivals.by_users(connection, user_ids)

    def audience(self, item_id: str, limit: int = 1000) -> list[Taken]:
        """Who took an item, each user once, the latest first."""
        with self._database.reading() as connection:
            return arrivals.of_item(connection, item_id, limit)

    def audiences(self, ids: Sequence[str], most: int = 10_000) -> dict[str, int]:
        """How many different users took each item; counted up to `most`."""
        with self._database.reading() as connection:
            return arrivals.audiences(connection, ids, most)

    def erased_users(
        self, since: float = 0.0, after: str = "", limit: int = 1000
    ) -> list[tuple[str, float]]:
        """Users that were ever deleted as (id, when they last changed), in the order of (when,
        id), behind (`since`, `after`). One that came back is among them."""
        with self._database.reading() as connection:
            return arrivals.erased(connection, since, after, limit)

    def interaction_counts(self, ids: Collection[str]) -> dict[str, int]:
        """Interactions stored for each id, 0 included."""
        with self._database.reading() as connection:
            return reading.interaction_counts(connection, ids)

    def latest_taken(self, limit: int, *, of_each: int) -> list[tuple[str, str]]:
        """(user, item) of the interactions that arrived last, newest first.

        Args:
            of_each: of one user no more than so many; others are read further back instead, to
                ten times `limit`.
        """
        with self._database.reading() as connection:
            return reading.latest_taken(connection, limit, of_each)

    def uploads_named(self) -> set[str]:
        """sha256 of every upload that an item refers to, whatever its state. Reads all items."""
        with self._database.reading() as connection:
            return reading.uploads_named(connection)
