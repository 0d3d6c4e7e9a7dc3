"""Forgetting users: whatever is held of them beside the ledger, and the receipt."""

from __future__ import annotations

from collections.abc import Sequence

from api.schemas import ForgetReceipt, Receipt, Removed, Statistics
from api.state import Parts
from catalog import Erased
from domain.errors import RejectedError, RetryableError
from domain.log import logger
from workers.forget import ForgottenPart, forget_users
from workers.learning import Learning

LATER = "what was learned from the user cannot be reached now and is forgotten a little later"

log = logger(__name__)


def forgotten(parts: Parts, gone: Sequence[tuple[Receipt, Erased]]) -> list[Receipt]:
    """Receipts of deletions that the ledger has carried out, once the rest is gone, too.

    The receipt of a single deletion tells all that was removed. Several are taken off what was
    learned together, at the price of one. Where what was learned cannot be reached now, the note
    says so, and the refresher forgets it.

    Args:
        gone: the receipt of each event, and what the ledger deleted.
    """
    users = list(dict.fromkeys(receipt.id or "" for receipt, _ in gone))
    learned, statistics = ForgottenPart(), Statistics.NONE
    try:
        learned = forget_users(Learning(parts.settings, parts.index), users)
    except (RetryableError, RejectedError, OSError) as error:
        log.warning("not_forgotten_yet", reason=str(error))
        statistics = Statistics.QUEUED
    if learned.projection:
        statistics = Statistics.SUBTRACTED
    cached = sum(parts.models.forget(user) for user in users)
    told = [_noted(receipt, statistics) for receipt, _ in gone]
    if len(gone) > 1:
        return told
    removed = Removed(
        profile=gone[0][1].profile,
        interactions=gone[0][1].interactions,
        cached_vectors=cached,
        statistics=statistics,
        learned_interactions=learned.interactions,
        refolded_items=learned.items,
        projection=learned.projection or None,
        option=learned.option or None,
    )
    return [ForgetReceipt(**told[0].model_dump(), user=users[0], removed=removed)]


def _noted(receipt: Receipt, statistics: Statistics) -> Receipt:
    if statistics is not Statistics.QUEUED:
        return receipt
    note = f"{receipt.note}; {LATER}" if receipt.note else LATER
    return receipt.model_copy(update={"note": note})
