"""What goes into the ledger and comes out of it. Times are float seconds since 1970 (UTC)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, NamedTuple, TypeAlias

from domain.items import Item
from domain.users import User


class Pair(NamedTuple):
    """One version of one item, the unit of work. In JSON: [id, version]."""

    id: str
    version: int


class MediaFailure(NamedTuple):
    """One part of an item that could not be used: its field (`media.images[0]`) and why."""

    field: str
    message: str


class Arrival(NamedTuple):
    """When an item's present version was accepted and when it could be found."""

    id: str
    accepted_at: float
    indexed_at: float


class ItemState(StrEnum):
    """Where an item stands; every accepted item is in exactly one of these."""

    PENDING = "pending"
    INDEXED = "indexed"
    DEAD = "dead"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Erased:
    """What a user's deletion took out of the ledger.

    Attributes:
        profile: whether there was one.
        interactions: rows that were deleted.
    """

    profile: bool
    interactions: int


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What became of one event.

    Attributes:
        kind: item, user or interaction.
        subject: the item's or user's id; of an interaction, its item's.
        status: accepted; duplicate (this very version or interaction is in the ledger already);
            stale (something newer is).
        version: the event's version, assigned here where it had none; None for interactions.
        lane: the queue to send (subject, version) to; None when no message is needed.
        note: what the publisher may want to know; empty otherwise.
        erased: of a user's deletion, what it took; None of everything else. Of several deletions
            of one user in a batch the last is told the interactions.
    """

    kind: Literal["item", "user", "interaction"]
    subject: str
    event_id: str
    status: Literal["accepted", "duplicate", "stale"]
    version: int | None
    lane: str | None
    note: str = ""
    erased: Erased | None = None


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """Everything the ledger knows of one item.

    Attributes:
        item: as published, with its version; None when deleted.
        attempts: how often a worker took this version.
        next_attempt_at: when it is sent again if nothing is heard; None when nothing is
            outstanding. A deleted item has one until its point is out of the index.
        reason: the last failure, empty if none.
        failures: media that could not be used although the item was indexed.
        fingerprint: of the collection it was last indexed in.
        models: name of each modality's model.
        accepted_at: when this version was accepted.
        indexed_at: when this version was indexed for the first time.
        updated_at: when this row changed last.
    """

    id: str
    version: int
    item: Item | None
    lane: str
    state: ItemState
    attempts: int
    next_attempt_at: float | None
    reason: str
    failures: tuple[MediaFailure, ...]
    fingerprint: str | None
    models: dict[str, Any] | None
    accepted_at: float
    indexed_at: float | None
    updated_at: float

    @property
    def latency_s(self) -> float | None:
        """Seconds from acceptance to the index, None before it got there."""
        return None if self.indexed_at is None else self.indexed_at - self.accepted_at


@dataclass(frozen=True, slots=True)
class Claim:
    """Work taken by a worker; `item` is None when the item's deletion is to be carried out.

    Attributes:
        first_indexed_at: when the item was indexed for the first time, in whatever version; None
            before that.
    """

    pair: Pair
    item: Item | None
    lane: str
    attempts: int
    accepted_at: float
    first_indexed_at: float | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """Work to be sent. `alone`: in a message of its own, for it may have killed a worker."""

    pair: Pair
    lane: str
    alone: bool


@dataclass(frozen=True, slots=True)
class Indexed:
    """The item's point is in the index."""

    pair: Pair
    fingerprint: str
    models: Mapping[str, Any]
    failures: tuple[MediaFailure, ...] = ()


@dataclass(frozen=True, slots=True)
class Retry:
    """The attempt failed and another may succeed; the last attempt's failure is final."""

    pair: Pair
    reason: str


@dataclass(frozen=True, slots=True)
class Postponed:
    """Not the item's fault (index or encoders away): tried again, the attempt not counted."""

    pair: Pair
    reason: str


@dataclass(frozen=True, slots=True)
class Dead:
    """No attempt will succeed."""

    pair: Pair
    reason: str
    failures: tuple[MediaFailure, ...] = ()


@dataclass(frozen=True, slots=True)
class Removed:
    """The deleted item's point is out of the index."""

    pair: Pair


Outcome: TypeAlias = Indexed | Retry | Postponed | Dead | Removed


@dataclass(frozen=True, slots=True)
class UserRecord:
    """What the ledger knows of one user; `user` is None when deleted."""

    id: str
    version: int
    user: User | None
    updated_at: float


@dataclass(frozen=True, slots=True)
class InteractionRecord:
    """One thing a user did with an item; `time` in seconds since 1970."""

    item: str
    kind: str
    weight: float
    time: float
