"""Accepting events: read what is known, judge in order, write what changed. One transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Table, bindparam

from catalog.arrivals import next_arrival
from catalog.batch import NEVER, Batch
from catalog.database import ConcurrentChange, Database
from catalog.records import Acceptance, Erased, ItemState
from catalog.retries import RetryPolicy
from catalog.schema import INTERACTIONS, ITEMS, USERS
from catalog.stored import to_json
from catalog.versions import UNVERSIONED_TOMBSTONE, judge
from domain.events import (
    Event,
    InteractionRecorded,
    ItemDeleted,
    ItemEvent,
    UserDeleted,
    UserEvent,
    UserUpdated,
)

BULK = "bulk"
DELETION_LANE = "text"
"""A deletion needs no encoder; it goes where the shortest tasks are."""

UNSEEN = -1

SKEW_S = 300.0
"""Clocks differ: a time in the future counts as now, and beyond this its publisher is told so."""

AHEAD = "its time lies in the future; it counts as now"

ERASE_UNTIL = INTERACTIONS.delete().where(
    INTERACTIONS.c.user_id == bindparam("erased"), INTERACTIONS.c.time <= bindparam("until")
)
ERASE_ALL = INTERACTIONS.delete().where(INTERACTIONS.c.user_id == bindparam("erased"))


def content_of(event: Event) -> str | None:
    """Canonical JSON of the item or user an event carries; None for every other event."""
    if isinstance(event, (ItemDeleted, UserDeleted, InteractionRecorded)):
        return None
    return to_json(event.data)


class Acceptor:
    """Accepts events into one ledger. Its statements are built once."""

    def __init__(self, database: Database, retry: RetryPolicy) -> None:
        self._retry = retry
        self._put_item = _upsert(database, ITEMS)
        self._put_user = _upsert(database, USERS)
        self._put_interaction = (
            database.insert(INTERACTIONS)
            .on_conflict_do_nothing(index_elements=[INTERACTIONS.c.event_id])
            .execution_options(preserve_rowcount=True)
        )

    def accept(
        self,
        connection: Connection,
        events: Sequence[Event],
        contents: Sequence[str | None],
        *,
        bulk: bool,
        now: float,
    ) -> list[Acceptance]:
        """Judge and write; one acceptance per event, in order. See Catalog.accept."""
        batch = Batch(connection, events)
        found: list[Acceptance] = []
        for event, content in zip(events, contents, strict=True):
            if isinstance(event, InteractionRecorded):
                found.append(_interaction(batch, event, now))
            elif isinstance(event, (UserUpdated, UserDeleted)):
                found.append(_user(batch, event, content, now))
            else:
                found.append(_item(batch, event, content, bulk=bulk))
        lanes = {one.subject: one.lane for one in found if one.kind == "item" and one.lane}
        erased = self._write(connection, batch, lanes, now)
        return _told_what_went(_without_overtaken(found), erased)

    def _write(
        self, connection: Connection, batch: Batch, lanes: dict[str, str], now: float
    ) -> dict[str, int]:
        """Write in ascending order of id, as rows are locked.

        Returns:
            {user that was deleted: interactions deleted}.
        """
        if batch.changed_items:
            rows = [
                self._item_row(batch, key, lanes.get(key, DELETION_LANE), now)
                for key in sorted(batch.changed_items)
            ]
            _put(connection, self._put_item, rows)
        if batch.changed_users:
            rows = [_user_row(batch, key, now) for key in sorted(batch.changed_users)]
            _put(connection, self._put_user, rows)
        erased: dict[str, int] = {}
        for key, until in sorted(batch.erase_until.items()):
            gone = connection.execute(ERASE_UNTIL, {"erased": key, "until": until})
            erased[key] = gone.rowcount
        for key in sorted(batch.erase_all):
            erased[key] += connection.execute(ERASE_ALL, {"erased": key}).rowcount
        if batch.interactions:
            arrival = next_arrival(connection)
            rows = [
                {**batch.interactions[key], "arrival": arrival}
                for key in sorted(batch.interactions)
            ]
            _put(connection, self._put_interaction, rows)
        return erased

    def _item_row(self, batch: Batch, key: str, lane: str, now: float) -> dict[str, Any]:
        version, content = batch.items[key]
        outstanding = version != UNVERSIONED_TOMBSTONE
        return {
            "before": batch.before.get(("items", key), UNSEEN),
            "id": key,
            "version": version,
            "item": content,
            "lane": lane,
            "state": ItemState.DELETED.value if content is None else ItemState.PENDING.value,
            "attempts": 0,
            "sends": 1 if outstanding else 0,
            "next_attempt_at": now + self._retry.after_send(1) if outstanding else None,
            "reason": "",
            "failures": None,
            "fingerprint": None,
            "models": None,
            "accepted_at": now,
            "indexed_at": None,
            "updated_at": now,
        }


def _user_row(batch: Batch, key: str, now: float) -> dict[str, Any]:
    version, content = batch.users[key]
    return {
        "before": batch.before.get(("users", key), UNSEEN),
        "id": key,
        "version": version,
        "profile": content,
        "erased_until": batch.erased.get(key),
        "updated_at": now,
    }


def _item(batch: Batch, event: ItemEvent, content: str | None, *, bulk: bool) -> Acceptance:
    data, key = event.data, event.data.id
    verdict = judge(batch.items.get(key), data.version, content)
    version = verdict.stored.version if data.version is None else data.version
    lane = None
    if verdict.status == "accepted":
        batch.items[key] = verdict.stored
        batch.changed_items.add(key)
        # Of what was never seen nothing can be in the index: no message.
        if version != UNVERSIONED_TOMBSTONE:
            own_lane = DELETION_LANE if isinstance(event, ItemDeleted) else event.data.lane
            lane = BULK if bulk else own_lane
    return Acceptance("item", key, event.id, verdict.status, version, lane, verdict.note)


def _user(batch: Batch, event: UserEvent, content: str | None, now: float) -> Acceptance:
    data, key = event.data, event.data.id
    verdict = judge(batch.users.get(key), data.version, content)
    version = verdict.stored.version if data.version is None else data.version
    had_profile = batch.has_user(key)
    if verdict.status == "accepted":
        batch.users[key] = verdict.stored
        batch.changed_users.add(key)
    erased, note = None, verdict.note
    if isinstance(event, UserDeleted):
        erased = Erased(profile=had_profile and not batch.has_user(key), interactions=0)
        time = event.time.timestamp()
        # A stale deletion takes what it was meant for only where it says when that was.
        if verdict.status != "stale" or "time" in event.model_fields_set:
            batch.erase(key, min(time, now), everything=verdict.status == "accepted")
            note = _with_ahead(note, time, now)
    return Acceptance("user", key, event.id, verdict.status, version, None, note, erased)


def _with_ahead(note: str, time: float, now: float) -> str:
    if time <= now + SKEW_S:
        return note
    return f"{note}; {AHEAD}" if note else AHEAD


def _interaction(batch: Batch, event: InteractionRecorded, now: float) -> Acceptance:
    data = event.data
    time = (data.time or event.time).timestamp()
    if time <= batch.erased.get(data.user, NEVER):
        note = f"user {data.user} was deleted after it happened; it is not kept"
        return Acceptance("interaction", data.item, event.id, "stale", None, None, note)
    if batch.has_interaction(event.id):
        return Acceptance("interaction", data.item, event.id, "duplicate", None, None)
    batch.interactions[event.id] = {
        "event_id": event.id,
        "user_id": data.user,
        "item_id": data.item,
        "kind": data.kind,
        "weight": data.weight,
        "time": min(time, now),
    }
    unknown = [] if batch.has_user(data.user) else [f"user {data.user}"]
    unknown += [] if batch.has_item(data.item) else [f"item {data.item}"]
    note = f"{' and '.join(unknown)} not known yet; it counts from then on" if unknown else ""
    note = _with_ahead(note, time, now)
    return Acceptance("interaction", data.item, event.id, "accepted", None, None, note)


def _upsert(database: Database, table: Table) -> Any:
    """Insert, or replace the row whose version is still the one that was read (`before`).

    When an item was indexed for the first time stays known, whatever versions follow.
    """
    insert = database.insert(table)
    return insert.on_conflict_do_update(
        index_elements=[table.c.id],
        set_={
            one.name: insert.excluded[one.name]
            for one in table.c
            if not one.primary_key and one is not ITEMS.c.first_indexed_at
        },
        where=table.c.version == bindparam("before"),
    ).execution_options(preserve_rowcount=True)


def _put(connection: Connection, statement: Any, rows: list[dict[str, Any]]) -> None:
    """Raises ConcurrentChange when another transaction put one of the rows first."""
    if connection.execute(statement, rows).rowcount != len(rows):
        raise ConcurrentChange


def _without_overtaken(found: list[Acceptance]) -> list[Acceptance]:
    """No message for a version that a later event of the same batch overtook."""
    last = {one.subject: index for index, one in enumerate(found) if one.lane is not None}
    return [
        replace(one, lane=None) if one.lane and last[one.subject] != index else one
        for index, one in enumerate(found)
    ]


def _told_what_went(found: list[Acceptance], erased: dict[str, int]) -> list[Acceptance]:
    """The last deletion of each user with the number of interactions that went."""
    last = {one.subject: index for index, one in enumerate(found) if one.erased is not None}
    for key, index in last.items():
        told = found[index]
        assert told.erased is not None
        found[index] = replace(told, erased=replace(told.erased, interactions=erased.get(key, 0)))
    return found
