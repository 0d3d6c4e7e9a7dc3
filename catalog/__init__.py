"""The ledger: accepts events once, keeps the newest version, knows what is still to be done."""

from catalog.ledger import Catalog
from catalog.records import (
    Acceptance,
    Arrival,
    Claim,
    Dead,
    Due,
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
    "Acceptance",
    "Arrival",
    "Catalog",
    "Claim",
    "Dead",
    "Due",
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
    "UserRecord",
]
