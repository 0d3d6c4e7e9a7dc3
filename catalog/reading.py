"""Questions to the ledger. None of them takes a lock."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, tuple_

from catalog.batch import chunks, rows_of
from catalog.records import Arrival, InteractionRecord, ItemRecord, ItemState, UserRecord
from catalog.schema import INTERACTIONS, ITEMS, USERS
from catalog.stored import to_item_record, to_user_record

ITEM, USER, DID = ITEMS.c, USERS.c, INTERACTIONS.c

ONE_ITEM = select(ITEMS).where(ITEM.id == bindparam("key"))
STATES = select(ITEM.id, ITEM.version, ITEM.state).where(
    ITEM.id.in_(bindparam("ids", expanding=True))
)
COUNTS = select(ITEM.state, func.count()).group_by(ITEM.state)
PENDING_BY_LANE = (
    select(ITEM.lane, func.count()).where(ITEM.state == ItemState.PENDING.value).group_by(ITEM.lane)
)
OLDEST_PENDING = select(func.min(ITEM.accepted_at)).where(ITEM.state == ItemState.PENDING.value)
NEWEST = (
    select(ITEM.id)
    .where(ITEM.state == ItemState.INDEXED.value)
    .order_by(ITEM.first_indexed_at.desc())
    .limit(bindparam("most"))
)
INDEXED_LAST = (
    select(ITEM.id, ITEM.accepted_at, ITEM.indexed_at)
    .where(ITEM.state == ItemState.INDEXED.value)
    .order_by(ITEM.indexed_at.desc())
    .limit(bindparam("most"))
)
ONE_USER = select(USERS).where(USER.id == bindparam("key"))
HISTORY = (
    select(DID.item_id, DID.kind, DID.weight, DID.time)
    .where(DID.user_id == bindparam("key"))
    .order_by(DID.time.desc(), DID.event_id.desc())
    .limit(bindparam("most"))
)
SEEN_AMONG = (
    select(DID.item_id)
    .where(DID.user_id == bindparam("key"), DID.item_id.in_(bindparam("ids", expanding=True)))
    .distinct()
)
LATEST_TAKEN = (
    select(DID.user_id, DID.item_id, DID.arrival, DID.event_id)
    .where(tuple_(DID.arrival, DID.event_id) < tuple_(bindparam("arrival"), bindparam("event_id")))
    .order_by(DID.arrival.desc(), DID.event_id.desc())
    .limit(bindparam("most"))
)
LAST = 2**63 - 1
"""No interaction arrives as late."""

READ_FURTHER = 10
"""Windows of interactions that are read to fill one where few people did most."""

NAMING_UPLOADS = (
    select(ITEM.id, ITEM.item)
    .where(ITEM.item.like('%"upload:%'), ITEM.id > bindparam("after"))
    .order_by(ITEM.id)
    .limit(bindparam("most"))
)
UPLOAD = re.compile(r'"upload:([0-9a-f]{64})"')
PAGE = 5_000
INTERACTION_COUNTS = (
    select(DID.item_id, func.count())
    .where(DID.item_id.in_(bindparam("ids", expanding=True)))
    .group_by(DID.item_id)
)


def item(connection: Connection, key: str) -> ItemRecord | None:
    """See Catalog.item."""
    row = connection.execute(ONE_ITEM, {"key": key}).one_or_none()
    return None if row is None else to_item_record(row)


def items(
    connection: Connection, *, state: ItemState | None, limit: int, after: str | None
) -> list[ItemRecord]:
    """See Catalog.items."""
    query = select(ITEMS).order_by(ITEM.id).limit(limit)
    if state is not None:
        query = query.where(ITEM.state == state.value)
    if after is not None:
        query = query.where(ITEM.id > after)
    return [to_item_record(row) for row in connection.execute(query)]


def states(connection: Connection, ids: Collection[str]) -> dict[str, tuple[int, ItemState]]:
    """See Catalog.states."""
    rows = rows_of(connection, STATES, set(ids))
    return {row.id: (row.version, ItemState(row.state)) for row in rows}


def counts(connection: Connection) -> dict[ItemState, int]:
    """See Catalog.counts."""
    found = {str(state): number for state, number in connection.execute(COUNTS)}
    return {state: found.get(state.value, 0) for state in ItemState}


def pending_by_lane(connection: Connection) -> dict[str, int]:
    """See Catalog.pending_by_lane."""
    return {str(lane): int(number) for lane, number in connection.execute(PENDING_BY_LANE)}


def oldest_pending_at(connection: Connection) -> float | None:
    """When the pending item that waits longest was accepted."""
    found: float | None = connection.execute(OLDEST_PENDING).scalar_one()
    return found


def newest(connection: Connection, limit: int) -> list[str]:
    """See Catalog.newest."""
    return list(connection.execute(NEWEST, {"most": limit}).scalars())


def indexed_last(connection: Connection, limit: int) -> list[Arrival]:
    """See Catalog.indexed_last."""
    rows = connection.execute(INDEXED_LAST, {"most": limit})
    return [Arrival(row.id, row.accepted_at, row.indexed_at) for row in rows]


def user(connection: Connection, key: str) -> UserRecord | None:
    """See Catalog.user."""
    row = connection.execute(ONE_USER, {"key": key}).one_or_none()
    return None if row is None else to_user_record(row)


def users(connection: Connection, *, limit: int, after: str | None) -> list[UserRecord]:
    """See Catalog.users."""
    query = select(USERS).where(USER.profile.is_not(None)).order_by(USER.id).limit(limit)
    if after is not None:
        query = query.where(USER.id > after)
    return [to_user_record(row) for row in connection.execute(query)]


def history(connection: Connection, user_id: str, limit: int) -> list[InteractionRecord]:
    """See Catalog.history."""
    rows = connection.execute(HISTORY, {"key": user_id, "most": limit})
    return [InteractionRecord(row.item_id, row.kind, row.weight, row.time) for row in rows]


def seen_among(connection: Connection, user_id: str, ids: Collection[str]) -> set[str]:
    """See Catalog.seen_among."""
    return {
        str(row[0])
        for part in chunks(sorted(ids))
        for row in connection.execute(SEEN_AMONG, {"key": user_id, "ids": part})
    }


def interaction_counts(connection: Connection, ids: Collection[str]) -> dict[str, int]:
    """See Catalog.interaction_counts."""
    found = {str(row[0]): int(row[1]) for row in rows_of(connection, INTERACTION_COUNTS, set(ids))}
    return {key: found.get(key, 0) for key in ids}


def latest_taken(connection: Connection, limit: int, of_each: int) -> list[tuple[str, str]]:
    """See Catalog.latest_taken."""
    found: list[tuple[str, str]] = []
    kept: Counter[str] = Counter()
    before: dict[str, Any] = {"arrival": LAST, "event_id": ""}
    for _ in range(READ_FURTHER):
        rows = connection.execute(LATEST_TAKEN, {**before, "most": limit}).all()
        for row in rows:
            if kept[row.user_id] < of_each:
                kept[row.user_id] += 1
                found.append((row.user_id, row.item_id))
        if len(found) >= limit or len(rows) < limit:
            break
        before = {"arrival": rows[-1].arrival, "event_id": rows[-1].event_id}
    return found[:limit]


def uploads_named(connection: Connection) -> set[str]:
    """See Catalog.uploads_named."""
    found: set[str] = set()
    after = ""
    while rows := connection.execute(NAMING_UPLOADS, {"after": after, "most": PAGE}).all():
        for row in rows:
            found.update(UPLOAD.findall(row.item))
        after = rows[-1].id
    return found
