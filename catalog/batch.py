"""What the ledger knows of everything a batch of events speaks of, moved forward in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, bindparam, select

from catalog.records import ItemState
from catalog.schema import INTERACTIONS, ITEMS, USERS
from catalog.versions import Stored
from domain.events import Event, InteractionRecorded, UserDeleted, UserUpdated

T = TypeVar("T")

SELECT_CHUNK = 5_000
"""Ids in one IN list, below SQLite's 32,766 and PostgreSQL's 65,535 parameters."""

NEVER = float("-inf")

KNOWN_ITEMS = (
    select(ITEMS.c.id, ITEMS.c.version, ITEMS.c.item)
    .where(ITEMS.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(ITEMS.c.id)
    .with_for_update()
)
KNOWN_USERS = (
    select(USERS.c.id, USERS.c.version, USERS.c.profile, USERS.c.erased_until)
    .where(USERS.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(USERS.c.id)
    .with_for_update()
)
KNOWN_INTERACTIONS = select(INTERACTIONS.c.event_id).where(
    INTERACTIONS.c.event_id.in_(bindparam("ids", expanding=True))
)
PRESENT_ITEMS = select(ITEMS.c.id).where(
    ITEMS.c.id.in_(bindparam("ids", expanding=True)), ITEMS.c.state != ItemState.DELETED
)


def chunks(values: Sequence[T], size: int = SELECT_CHUNK) -> Iterable[Sequence[T]]:
    """Slices of at most `size`, in order."""
    return (values[start : start + size] for start in range(0, len(values), size))


def rows_of(connection: Connection, query: Select[Any], ids: Collection[str]) -> list[Any]:
    """Rows of a query with an expanding `ids`, asked for in ascending order of id.

    So rows are locked in the same order by every transaction, and none deadlocks.
    """
    found: list[Any] = []
    for part in chunks(sorted(ids)):
        found += connection.execute(query, {"ids": part}).all()
    return found


class Batch:
    """Reads once, then is asked and changed event by event; the rows are locked meanwhile.

    Attributes:
        items, users: by id, what is known now.
        before: (table name, id) to the version that was stored when the batch began.
        changed_items, changed_users: ids whose rows are to be written.
        erased: by user, the time up to which interactions are erased.
        interactions: new rows by event id.
        erase_until, erase_all: what is to be deleted of the stored interactions, by user.
    """

    def __init__(self, connection: Connection, events: Sequence[Event]) -> None:
        item_ids: set[str] = set()
        user_ids: set[str] = set()
        interaction_ids: set[str] = set()
        subjects: set[str] = set()
        for event in events:
            if isinstance(event, InteractionRecorded):
                interaction_ids.add(event.id)
                user_ids.add(event.data.user)
                subjects.add(event.data.item)
            elif isinstance(event, (UserUpdated, UserDeleted)):
                user_ids.add(event.data.id)
            else:
                item_ids.add(event.data.id)
        self.items: dict[str, Stored] = {}
        self.users: dict[str, Stored] = {}
        self.erased: dict[str, float] = {}
        self.before: dict[tuple[str, str], int] = {}
        for row in rows_of(connection, KNOWN_ITEMS, item_ids):
            self.items[row.id] = Stored(row.version, row.item)
            self.before["items", row.id] = row.version
        for row in rows_of(connection, KNOWN_USERS, user_ids):
            self.users[row.id] = Stored(row.version, row.profile)
            self.before["users", row.id] = row.version
            if row.erased_until is not None:
                self.erased[row.id] = row.erased_until
        self._seen = {row[0] for row in rows_of(connection, KNOWN_INTERACTIONS, interaction_ids)}
        self._present = {row[0] for row in rows_of(connection, PRESENT_ITEMS, subjects - item_ids)}
        self.changed_items: set[str] = set()
        self.changed_users: set[str] = set()
        self.interactions: dict[str, dict[str, Any]] = {}
        self.erase_until: dict[str, float] = {}
        self.erase_all: set[str] = set()

    def has_item(self, key: str) -> bool:
        """Whether the item is known and not deleted."""
        found = self.items.get(key)
        return key in self._present if found is None else found.content is not None

    def has_user(self, key: str) -> bool:
        """Whether the user is known and not deleted."""
        found = self.users.get(key)
        return found is not None and found.content is not None

    def has_interaction(self, event_id: str) -> bool:
        """Whether the interaction is stored, or new in this batch."""
        return event_id in self._seen or event_id in self.interactions

    def erase(self, user: str, until: float, *, everything: bool) -> None:
        """Take a user's interactions away, stored ones and those of this batch so far.

        Those up to `until` go whenever the deletion arrives, late or twice, so that the order of
        arrival does not matter; `everything` takes those dated after it, too.
        """
        if until > self.erased.get(user, NEVER):
            self.erased[user] = until
            self.changed_users.add(user)
        self.erase_until[user] = max(until, self.erase_until.get(user, NEVER))
        if everything:
            self.erase_all.add(user)
        for event_id, row in list(self.interactions.items()):
            if row["user_id"] == user and (everything or row["time"] <= until):
                del self.interactions[event_id]
