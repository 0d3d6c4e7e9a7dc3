"""Removing uploads that no item names."""

from __future__ import annotations

from catalog import Catalog
from domain.log import logger
from workers.uploads import Uploads

DAY_S = 86_400.0

log = logger(__name__)


def sweep_uploads(catalog: Catalog, uploads: Uploads, days: int) -> int:
    """Remove the uploads that were sent longer ago than `days` and that no item of the ledger
    names, pending, dead or indexed; how many were removed.

    The age is what lets a publisher upload first and publish later.

    Raises:
        RetryableError: the ledger does not answer; nothing was removed.
    """
    if not days:
        return 0
    old = uploads.older_than(days * DAY_S)
    if not old:
        return 0
    named = catalog.uploads_named()
    removed = sum(uploads.remove(one, days * DAY_S) for one in old if one not in named)
    if removed:
        log.info("uploads_removed", removed=removed, kept=len(old) - removed)
    return removed
