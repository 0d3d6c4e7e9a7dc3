"""The ledger: accepts events once, keeps the newest version, knows what is still to be done."""

from catalog.arrivals import START, Arrived, Cursor, Taken
from catalog.ledger import Catalog
from catalog.records import (
    Acceptance,
    Arrival,
    Claim,
    Dead,
    Due,
    Erased,
    Indexed,
    InteractionRecord,
    ItemRecord,
    ItemState,
    MediaFailure,
    Outcome,
    Pair,
    Postponed,
    Removed,
    Retry,
    UserRecord,
)
from catalog.retries import RetryPolicy

__all__ = [
    "START",
    "Acceptance",
    "Arrival",
    "Arrived",
    "Catalog",
    "Claim",
    "Cursor",
    "Dead",
    "Due",
    "Erased",
    "Indexed",
    "InteractionRecord",
    "ItemRecord",
    "ItemState",
    "MediaFailure",
    "Outcome",
    "Pair",
    "Postponed",
    "Removed",
    "Retry",
    "RetryPolicy",
    "Taken",
    "UserRecord",
]
