"""What happens to an accepted item: taken by a worker, finished, sent again, redriven.

    pending --claim--> pending (attempts + 1) --finish--> indexed | dead | pending again
    deleted and outstanding --claim--> the same --finish--> deleted and done

Each function runs inside the caller's write transaction; rows are locked in ascending order of id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, Row, and_, bindparam, or_, select

from catalog.acceptance import BULK
from catalog.batch import chunks, rows_of
from catalog.records import (
    Claim,
    Dead,
    Due,
    Indexed,
    ItemState,
    Outcome,
    Pair,
    Postponed,
    Removed,
    Retry,
)
from catalog.retries import RetryPolicy
from catalog.schema import ITEMS
from catalog.stored import dumps, failures_to_json, storable, to_item
from domain.log import logger

log = logger(__name__)

ITEM = ITEMS.c
OUTSTANDING = and_(
    ITEM.state.in_([ItemState.PENDING.value, ItemState.DELETED.value]),
    ITEM.next_attempt_at.is_not(None),
)
IDS: BindParameter[list[str]] = bindparam("ids", expanding=True)

CLAIMABLE = (
    select(
        ITEM.id,
        ITEM.version,
        ITEM.item,
        ITEM.lane,
        ITEM.attempts,
        ITEM.accepted_at,
        ITEM.first_indexed_at,
    )
    .where(ITEM.id.in_(IDS), OUTSTANDING)
    .order_by(ITEM.id)
    .with_for_update()
)
TAKE = (
    ITEMS.update()
    .where(ITEM.id.in_(IDS))
    .values(
        attempts=ITEM.attempts + 1,
        sends=0,
        next_attempt_at=bindparam("lease_until"),
        updated_at=bindparam("now"),
    )
)
PROGRESS = (
    "state",
    "attempts",
    "next_attempt_at",
    "reason",
    "failures",
    "fingerprint",
    "models",
    "indexed_at",
    "first_indexed_at",
)
IN_PROGRESS = (
    select(ITEM.id, ITEM.version, ITEM.accepted_at, *(ITEM[name] for name in PROGRESS))
    .where(ITEM.id.in_(IDS))
    .order_by(ITEM.id)
    .with_for_update()
)
SET_PROGRESS = (
    ITEMS.update()
    .where(ITEM.id == bindparam("key"))
    .values({name: bindparam(f"new_{name}") for name in (*PROGRESS, "updated_at")})
)
OVERDUE = (
    select(ITEM.id, ITEM.version, ITEM.lane, ITEM.state, ITEM.attempts, ITEM.sends, ITEM.reason)
    .where(ITEM.next_attempt_at <= bindparam("now"))
    .order_by(ITEM.next_attempt_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
SENT = (
    ITEMS.update()
    .where(ITEM.id == bindparam("key"))
    .values(
        sends=bindparam("new_sends"),
        next_attempt_at=bindparam("again_at"),
        updated_at=bindparam("now"),
    )
)
GIVEN_UP = (
    ITEMS.update()
    .where(ITEM.id == bindparam("key"))
    .values(
        state=ItemState.DEAD.value,
        next_attempt_at=None,
        reason=bindparam("new_reason"),
        updated_at=bindparam("now"),
    )
)


def claim(
    connection: Connection, pairs: Sequence[Pair], policy: RetryPolicy, now: float
) -> list[Claim]:
    """See Catalog.claim."""
    versions: dict[str, set[int]] = defaultdict(set)
    for key, version in pairs:
        versions[key].add(version)
    rows = [
        row
        for row in rows_of(connection, CLAIMABLE, versions)
        if row.version in versions[row.id]
        and (row.item is None or row.attempts < policy.max_attempts)
    ]
    for part in chunks([row.id for row in rows]):
        connection.execute(TAKE, {"ids": part, "lease_until": now + policy.lease_s, "now": now})
    by_id = {row.id: row for row in rows}
    return [
        _claimed(by_id[key]) for key in dict.fromkeys(pair[0] for pair in pairs) if key in by_id
    ]


def _claimed(row: Row[Any]) -> Claim:
    item = None if row.item is None else to_item(row.item, row.version)
    return Claim(
        Pair(row.id, row.version),
        item,
        row.lane,
        row.attempts + 1,
        row.accepted_at,
        row.first_indexed_at,
    )


def finish(
    connection: Connection, outcomes: Sequence[Outcome], policy: RetryPolicy, now: float
) -> None:
    """See Catalog.finish."""
    rows = {
        row.id: dict(row._mapping)
        for row in rows_of(connection, IN_PROGRESS, {one.pair[0] for one in outcomes})
    }
    changed: set[str] = set()
    for outcome in outcomes:
        row = rows.get(outcome.pair[0])
        if row is None or row["version"] != outcome.pair[1]:
            continue
        new = _after(row, outcome, policy, now)
        if new:
            row.update(new)
            changed.add(row["id"])
    if changed:
        connection.execute(
            SET_PROGRESS,
            [
                {
                    "key": key,
                    "new_updated_at": now,
                    **{f"new_{name}": rows[key][name] for name in PROGRESS},
                }
                for key in sorted(changed)
            ],
        )


def _after(
    row: dict[str, Any], outcome: Outcome, policy: RetryPolicy, now: float
) -> dict[str, Any] | None:
    """What an outcome changes in a row of the same version; None when it comes too late."""
    state = ItemState(row["state"])
    if isinstance(outcome, Removed):
        done = {"next_attempt_at": None, "reason": ""}
        return done if state is ItemState.DELETED else None
    if isinstance(outcome, Indexed):
        # An item given up while its worker was merely slow did get into the index.
        if state not in (ItemState.PENDING, ItemState.DEAD):
            return None
        first = row["first_indexed_at"]
        return {
            "state": ItemState.INDEXED.value,
            "next_attempt_at": None,
            "reason": "",
            "failures": failures_to_json(outcome.failures),
            "fingerprint": outcome.fingerprint,
            "models": dumps(dict(outcome.models)),
            "indexed_at": now if row["indexed_at"] is None else row["indexed_at"],
            "first_indexed_at": now if first is None else first,
        }
    outstanding = row["next_attempt_at"] is not None
    if not outstanding or state not in (ItemState.PENDING, ItemState.DELETED):
        return None
    attempts, reason = row["attempts"], storable(outcome.reason)
    if isinstance(outcome, Postponed):
        again_at = now + policy.while_away(now - row["accepted_at"])
        return {"attempts": max(attempts - 1, 0), "reason": reason, "next_attempt_at": again_at}
    # A deletion is never given up: its point would stay for ever.
    if isinstance(outcome, Retry) and (
        state is ItemState.DELETED or attempts < policy.max_attempts
    ):
        return {"reason": reason, "next_attempt_at": now + policy.after_attempt(attempts)}
    if state is ItemState.DELETED:
        return {"reason": reason, "next_attempt_at": now + policy.max_s}
    dead: dict[str, Any] = {"state": ItemState.DEAD.value, "next_attempt_at": None}
    if isinstance(outcome, Dead):
        return dead | {"reason": reason, "failures": failures_to_json(outcome.failures)}
    return dead | {"reason": f"gave up after {attempts} attempts: {reason}"}


def due(connection: Connection, limit: int, policy: RetryPolicy, now: float) -> list[Due]:
    """See Catalog.due."""
    rows = connection.execute(OVERDUE, {"now": now, "most": limit}).all()
    given_up = []
    sent = []
    found = []
    for row in rows:
        pending = row.state == ItemState.PENDING
        if pending and row.attempts >= policy.max_attempts:
            reason = (
                f"gave up after {row.attempts} attempts: its worker died or hung during the last"
            )
            if row.reason:
                reason += f"; before that: {row.reason}"
            given_up.append({"key": row.id, "new_reason": reason, "now": now})
            log.warning(
                "item",
                item=row.id,
                version=row.version,
                outcome="dead",
                attempts=row.attempts,
                reason=reason,
            )
            continue
        sends = row.sends + 1
        again_at = now + policy.after_send(sends)
        sent.append({"key": row.id, "new_sends": sends, "again_at": again_at, "now": now})
        alone = pending and row.attempts >= 1
        found.append(Due(Pair(row.id, row.version), row.lane, alone))
    if given_up:
        connection.execute(GIVEN_UP, given_up)
    if sent:
        connection.execute(SENT, sent)
    return found


def redrive(
    connection: Connection, ids: Sequence[str] | None, policy: RetryPolicy, now: float
) -> list[Due]:
    """See Catalog.redrive."""
    dead = ITEM.state == ItemState.DEAD.value
    if ids is None:
        return _revive(connection, dead, policy, now)
    found = []
    for part in chunks(sorted(set(ids))):
        found += _revive(connection, and_(dead, ITEM.id.in_(part)), policy, now)
    return found


def requeue(
    connection: Connection,
    *,
    other_than_fingerprint: str | None,
    ids: Sequence[str] | None,
    limit: int,
    policy: RetryPolicy,
    now: float,
) -> list[Due]:
    """See Catalog.requeue."""
    indexed = ITEM.state == ItemState.INDEXED.value
    if other_than_fingerprint is not None:
        indexed = and_(
            indexed,
            # Two ranges of an index where <> would read all of it.
            or_(
                ITEM.fingerprint < other_than_fingerprint,
                ITEM.fingerprint > other_than_fingerprint,
            ),
        )
    if ids is None:
        return _revive(connection, indexed, policy, now, lane=BULK, limit=limit)
    found: list[Due] = []
    for part in chunks(sorted(set(ids))):
        left = limit - len(found)
        if left <= 0:
            break
        chosen = and_(indexed, ITEM.id.in_(part))
        found += _revive(connection, chosen, policy, now, lane=BULK, limit=left)
    return found


def _revive(
    connection: Connection,
    chosen: ColumnElement[bool],
    policy: RetryPolicy,
    now: float,
    *,
    lane: str | None = None,
    limit: int | None = None,
) -> list[Due]:
    """Make rows pending again as if just accepted, in the lane given or their own."""
    query = select(ITEM.id, ITEM.version, ITEM.lane).where(chosen)
    if limit is not None:
        query = query.limit(limit)
    rows = connection.execute(query.with_for_update(skip_locked=True)).all()
    change: dict[str, Any] = {
        "state": ItemState.PENDING.value,
        "attempts": 0,
        "sends": 1,
        "next_attempt_at": now + policy.after_send(1),
        "updated_at": now,
    }
    if lane is not None:
        change["lane"] = lane
    for part in chunks([row.id for row in rows]):
        connection.execute(ITEMS.update().where(ITEM.id.in_(part)).values(change))
    return [Due(Pair(row.id, row.version), lane or row.lane, alone=False) for row in rows]


MOVE = (
    ITEMS.update()
    .where(
        ITEM.id == bindparam("key"),
        ITEM.version == bindparam("at_version"),
        ITEM.state == ItemState.INDEXED.value,
    )
    .values(fingerprint=bindparam("new_fingerprint"), updated_at=bindparam("now"))
)


def moved(connection: Connection, pairs: Sequence[Pair], fingerprint: str, now: float) -> None:
    """See Catalog.moved."""
    rows = [
        {"key": key, "at_version": version, "new_fingerprint": fingerprint, "now": now}
        for key, version in sorted(pairs)
    ]
    connection.execute(MOVE, rows)
