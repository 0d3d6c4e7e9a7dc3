"""Sending again what the ledger says is pending too long. Celery beat calls it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from catalog import Catalog
from domain.errors import RetryableError
from domain.log import logger
from workers import metrics
from workers.publish import Sender

SEND_AT_MOST = 4096
"""Items sent in one round."""

CROWDED_MESSAGES = 256
"""With more than this waiting in the broker, what is pending is most likely among them."""

CROWDED_SEND_AT_MOST = 64
"""Sent in one round all the same, so that what the broker lost never waits for ever."""

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """One round: items sent (of them alone, in a message of their own), items left unsent."""

    sent: int = 0
    alone: int = 0
    unsent: int = 0


def reconcile(
    catalog: Catalog,
    sender: Sender,
    *,
    ping_index: Callable[[], None],
    depths: Callable[[], Mapping[str, int]],
) -> Reconciled:
    """One round.

    Nothing is sent while the index is away, for no attempt could succeed; nor while the broker
    is. Two reconcilers at once do no harm: what one takes is no longer due for the other.

    Raises:
        RetryableError: the ledger does not answer.
    """
    try:
        ping_index()
        waiting = sum(depths().values())
    except RetryableError as error:
        log.warning("not_reconciled", reason=str(error))
        return Reconciled()
    due = catalog.due(SEND_AT_MOST if waiting <= CROWDED_MESSAGES else CROWDED_SEND_AT_MOST)
    if not due:
        return Reconciled()
    unsent = sender.dispatch(due)
    metrics.RESENT.inc(len(due) - len(unsent))
    round_ = Reconciled(
        sent=len(due) - len(unsent),
        alone=sum(one.alone for one in due),
        unsent=len(unsent),
    )
    log.info(
        "reconciled", sent=round_.sent, alone=round_.alone, unsent=round_.unsent, waiting=waiting
    )
    return round_
