"""Forgetting a user: whatever this process holds of them beside the ledger, and the receipt."""

from __future__ import annotations

from api.schemas import ForgetReceipt, Receipt, Removed
from api.state import Parts
from catalog import Erased
from domain.errors import RejectedError, RetryableError
from domain.log import logger
from workers.forget import ForgottenPart, forget_user

LATER = "what was learned from the user cannot be reached now and is forgotten a little later"

log = logger(__name__)


def forgotten(parts: Parts, receipt: Receipt, erased: Erased) -> ForgetReceipt:
    """The receipt of a deletion that the ledger has carried out, once the rest is gone, too.

    Where what was learned cannot be reached now, the note says so, and the refresher forgets it.

    Args:
        receipt: of the event.
        erased: what the ledger deleted.
    """
    user = receipt.id or ""
    learned, note = ForgottenPart(), receipt.note
    try:
        learned = forget_user(parts.settings, parts.index, user)
    except (RetryableError, RejectedError) as error:
        log.warning("not_forgotten_yet", reason=str(error))
        note = f"{note}; {LATER}" if note else LATER
    removed = Removed(
        profile=erased.profile,
        interactions=erased.interactions,
        cached_vectors=parts.models.forget(user),
        learned_interactions=learned.interactions,
        refolded_items=learned.items,
        projection=learned.projection or None,
    )
    receipt = receipt.model_copy(update={"note": note})
    return ForgetReceipt(**receipt.model_dump(), user=user, removed=removed)
