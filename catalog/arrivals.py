"""Interactions in the order in which the ledger took them, for readers that come back for more.

Each row carries the number of the transaction that accepted it. SQLite has one writer at a time, so
a counter in the ledger will do. On PostgreSQL transactions with lower numbers may commit after
higher ones; there the number is the transaction's own id, and a reader stops below the oldest
transaction that is still under way. So no row ever appears behind a reader's cursor.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, select, text, tuple_

from catalog.batch import chunks
from catalog.schema import INTERACTIONS, USERS

DID, USER = INTERACTIONS.c, USERS.c

NEXT = {
    "sqlite": text("UPDATE arrivals SET last = last + 1 RETURNING last"),
    "postgresql": text("SELECT CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)"),
}
SETTLED = {
    "sqlite": text("SELECT last FROM arrivals"),
    "postgresql": text(
        "SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT) - 1"
    ),
}


class Cursor(NamedTuple):
    """A place in the order of arrival; everything up to it was read."""

    arrival: int
    event_id: str


START = Cursor(-1, "")


class Arrived(NamedTuple):
    """One interaction; `time` in seconds since 1970."""

    user: str
    item: str
    kind: str
    weight: float
    time: float
    cursor: Cursor


class Taken(NamedTuple):
    """All that one user did with one item: the sum of the weights and when it was last."""

    user: str
    item: str
    weight: float
    time: float


COLUMNS = (DID.user_id, DID.item_id, DID.kind, DID.weight, DID.time, DID.arrival, DID.event_id)
PAGE = (
    select(*COLUMNS)
    .where(
        tuple_(DID.arrival, DID.event_id) > tuple_(bindparam("arrival"), bindparam("event_id")),
        DID.arrival <= bindparam("settled"),
    )
    .order_by(DID.arrival, DID.event_id)
    .limit(bindparam("most"))
)
TAKEN = (DID.user_id, DID.item_id, func.sum(DID.weight), func.max(DID.time))
BY_USERS = (
    select(*TAKEN)
    .where(DID.user_id.in_(bindparam("ids", expanding=True)))
    .group_by(DID.user_id, DID.item_id)
    .order_by(DID.user_id, func.max(DID.time).desc(), DID.item_id)
)
OF_ITEM = (
    select(*TAKEN)
    .where(DID.item_id == bindparam("key"))
    .group_by(DID.user_id, DID.item_id)
    .order_by(func.max(DID.time).desc(), DID.user_id)
    .limit(bindparam("most"))
)
SOME_USERS = (
    select(DID.user_id)
    .where(DID.item_id == bindparam("key"))
    .distinct()
    .limit(bindparam("most"))
    .subquery()
)
HOW_MANY_USERS = select(func.count()).select_from(SOME_USERS)
ERASED = (
    select(USER.id, USER.updated_at)
    .where(
        USER.erased_until.is_not(None),
        tuple_(USER.updated_at, USER.id) > tuple_(bindparam("at"), bindparam("key")),
    )
    .order_by(USER.updated_at, USER.id)
    .limit(bindparam("most"))
)
TOTAL = select(func.count()).select_from(INTERACTIONS)


def next_arrival(connection: Connection) -> int:
    """The number of this transaction, for the interactions it writes."""
    return int(connection.execute(NEXT[connection.dialect.name]).scalar_one())


def settled(connection: Connection) -> int:
    """See Catalog.settled."""
    return int(connection.execute(SETTLED[connection.dialect.name]).scalar_one())


def page(connection: Connection, after: Cursor, limit: int) -> list[Arrived]:
    """See Catalog.interactions."""
    bounds = {**after._asdict(), "settled": settled(connection), "most": limit}
    return [Arrived(*row[:5], Cursor(*row[5:])) for row in connection.execute(PAGE, bounds)]


def by_users(connection: Connection, ids: Collection[str]) -> list[Taken]:
    """See Catalog.taken_by."""
    return [
        Taken(*row)
        for part in chunks(sorted(set(ids)))
        for row in connection.execute(BY_USERS, {"ids": part})
    ]


def of_item(connection: Connection, key: str, limit: int) -> list[Taken]:
    """See Catalog.audience."""
    return [Taken(*row) for row in connection.execute(OF_ITEM, {"key": key, "most": limit})]


def audiences(connection: Connection, ids: Sequence[str], most: int) -> dict[str, int]:
    """See Catalog.audiences."""
    return {
        key: int(connection.execute(HOW_MANY_USERS, {"key": key, "most": most}).scalar_one())
        for key in ids
    }


def erased(connection: Connection, at: float, key: str, limit: int) -> list[tuple[str, float]]:
    """See Catalog.erased_users."""
    rows = connection.execute(ERASED, {"at": at, "key": key, "most": limit})
    return [(str(row[0]), float(row[1])) for row in rows]


def total(connection: Connection) -> int:
    """See Catalog.interaction_total."""
    return int(connection.execute(TOTAL).scalar_one())
