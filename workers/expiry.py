"""Taking expired items out. No answer holds them from the moment they expire; here they go for
good, as if their publisher had deleted them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from catalog import Catalog, Due, Pair
from domain.events import ItemDeleted, ItemReference
from domain.log import logger
from index import ItemIndex

KEPT_S = 3_600.0
"""How long an item stays after it has expired: a clock that is off, or a publisher who prolongs it
late, finds it still there."""

AT_ONCE = 1_000

log = logger(__name__)


def remove_expired(
    catalog: Catalog, index: ItemIndex, send: Callable[[Sequence[Due]], object], now: float
) -> int:
    """Delete items that expired KEPT_S ago or longer, AT_ONCE at most; how many were.

    The deletion carries the version that expired: a newer one that comes meanwhile, or later,
    stands.

    Args:
        now: seconds since 1970.

    Raises:
        RetryableError: the ledger or the index does not answer.
    """
    collection = index.serving()
    pairs = index.expired(collection, now - KEPT_S, AT_ONCE) if collection is not None else []
    if not pairs:
        return 0
    events = [ItemDeleted(data=ItemReference(id=key, version=version)) for key, version in pairs]
    gone = [one for one in catalog.accept(events, bulk=True) if one.status == "accepted"]
    send(
        [
            Due(Pair(one.subject, one.version or 0), one.lane, alone=False)
            for one in gone
            if one.lane is not None
        ]
    )
    if gone:
        log.info("expired_items_removed", items=len(gone))
    return len(gone)
