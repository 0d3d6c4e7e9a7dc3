"""The Celery tasks. Each is thin: it finds the runtime and calls what does the work.

Every wait inside a task has its own bound (fetching, the encoder's queue, store timeouts, the
ledger's lock), for the threads pool ignores Celery's time limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import Task, shared_task
from celery.exceptions import Reject

from catalog import Pair
from domain.errors import RejectedError, RetryableError
from domain.events import BadEvent, parse_events
from domain.log import logger
from workers import process
from workers.batch import named
from workers.publish import INDEX_ITEMS, accept, default_sender
from workers.queues import queue_depths
from workers.reconciler import reconcile as reconcile_once
from workers.runtime import runtime
from workers.upkeep import Upkeep

MOST_PAIRS = 64

PUBLISH_RETRY_MAX_S = 60

TRAIN = "firstlight.train"
REFRESH_ALL = "firstlight.refresh_all"

log = logger(__name__)
upkeep = Upkeep()


@shared_task(name=INDEX_ITEMS)
def index_items(pairs: Sequence[tuple[str, int]], alone: bool = False) -> None:
    """Bring (item id, version) pairs into the index; what became of each is in the ledger.

    Args:
        pairs: at most 64.
        alone: no other task of this process runs beside it, for it may kill the process.
    """
    if process.is_ending():
        raise Reject("this worker is ending", requeue=True)
    if not _are_pairs(pairs):
        log.error("message_rejected", reasons=["pairs: not a list of [item id, version]"])
        return
    if len(pairs) > MOST_PAIRS:
        raise RejectedError(
            f"{len(pairs)} pairs in one message, the limit is {MOST_PAIRS}",
            remedy="split it; the ledger sends these again by itself",
        )
    held = runtime()
    wanted = [Pair(item_id, version) for item_id, version in pairs]
    try:
        if alone:
            for pair in wanted:
                default_sender().dispatch(held.pipeline.run_alone(pair).again)
        else:
            default_sender().dispatch(held.pipeline.run(wanted).again)
        upkeep.after_items(held, default_sender())
    except RetryableError as error:
        log.warning("message_left_to_the_ledger", **named(wanted), reason=str(error))


def _are_pairs(pairs: Any) -> bool:
    return isinstance(pairs, list | tuple) and all(
        isinstance(pair, list | tuple)
        and len(pair) == 2
        and isinstance(pair[0], str)
        and isinstance(pair[1], int)
        for pair in pairs
    )


@shared_task(
    name="firstlight.publish",
    bind=True,
    autoretry_for=(RetryableError,),
    max_retries=None,
    retry_backoff=True,
    retry_backoff_max=PUBLISH_RETRY_MAX_S,
)
def publish(
    self: Task[..., None], events: Sequence[Any] | dict[str, Any], bulk: bool | None = None
) -> None:
    """Accept events that a Celery publisher sent, as POST /v1/events would.

    A bad event is logged with its reasons and harms no neighbour. While the ledger does not
    answer the message is kept by the broker and tried again without end.
    """
    if not isinstance(events, list | tuple | dict):
        reason = f"events: a {type(events).__name__}; send a list of events, or one event"
        log.error("event_rejected", reasons=[reason])
        return
    held = runtime()
    limits = held.settings.limits
    raws = [events] if isinstance(events, dict) else events
    raws = [_with_id(raw, f"{self.request.id}/{n}") for n, raw in enumerate(raws)]
    for start in range(0, len(raws), limits.request_events):
        parsed = parse_events(raws[start : start + limits.request_events], limits)
        good = [event for event in parsed if not isinstance(event, BadEvent)]
        for position, event in enumerate(parsed, start):
            if isinstance(event, BadEvent):
                reasons = [f"{problem.field}: {problem.message}" for problem in event.problems]
                log.error(
                    "event_rejected",
                    **_item_of(raws[position]),
                    event_id=event.event_id,
                    position=position,
                    reasons=reasons,
                )
        if good:
            as_bulk = True if bulk is None and len(raws) > limits.request_events else bulk
            accepted = accept(held.catalog, good, bulk=as_bulk)
            if any(one.erased is not None for one in accepted):
                default_sender().send_task("firstlight.refresh")


def _with_id(raw: Any, event_id: str) -> Any:
    """An event without an id gets the same one whenever its message is delivered again."""
    return {"id": event_id, **raw} if isinstance(raw, dict) else raw


def _item_of(raw: Any) -> dict[str, object]:
    """The item, and its version, that an event which may be all wrong speaks of, for the log."""
    data = raw.get("data") if isinstance(raw, dict) else None
    if not isinstance(data, dict):
        return {}
    if raw.get("type") == "interaction":
        told = {"item": data.get("item")}
    elif str(raw.get("type")).startswith("item."):
        told = {"item": data.get("id"), "version": data.get("version")}
    else:
        return {}
    return {name: one for name, one in told.items() if isinstance(one, (str, int))}


@shared_task(name="firstlight.reconcile")
def reconcile() -> None:
    """Send again what is pending too long; go on with a fit or reindex that was cut short."""
    from workers.celery import app

    held = runtime()
    try:
        reconcile_once(
            held.catalog,
            default_sender(),
            ping_index=held.index.ping,
            depths=lambda: queue_depths(app),
        )
        upkeep.after_round(held, default_sender())
    except RetryableError as error:
        log.warning("not_reconciled", reason=str(error))


@shared_task(name="firstlight.fit_fusion")
def fit_fusion(only_first: bool = False) -> None:
    """Fit the fusion's statistics and move everything to a collection that uses them.

    Args:
        only_first: do nothing where a fit is in use already.
    """
    from workers.collection_fit import fit_fusion as fit

    try:
        made = fit(runtime(), default_sender().dispatch, only_first=only_first)
    except (RejectedError, RetryableError) as error:
        log.warning("not_fitted", reason=str(error))
        return
    if made is not None:
        log.info("fitted", fusion=made.fusion, collection=made.collection, items=made.items)
        if runtime().settings.ranking.train_every_s:
            default_sender().send_task(TRAIN, True)


@shared_task(name=TRAIN)
def train(only_if_due: bool = False) -> None:
    """Learn from the ledger's interactions; what came since is added where that will do.

    Args:
        only_if_due: do nothing where little came since the last training.
    """
    from workers.due import is_due
    from workers.training import train as learn

    held = runtime()
    try:
        if not only_if_due or is_due(held):
            learn(held)
    except (RejectedError, RetryableError) as error:
        log.warning("not_trained", reason=str(error))


@shared_task(name="firstlight.sweep_uploads")
def sweep_uploads() -> None:
    """Remove old uploads that no item names."""
    from workers.sweep import sweep_uploads as sweep
    from workers.uploads import Uploads

    held = runtime()
    uploads = Uploads(held.settings.folder("uploads"))
    try:
        sweep(held.catalog, uploads, held.settings.worker.upload_days)
    except RetryableError as error:
        log.warning("uploads_not_swept", reason=str(error))


@shared_task(name="firstlight.refresh")
def refresh() -> None:
    """Forget whom the ledger deleted; count and fold in again the items that people took."""
    from workers.forget import forget_erased
    from workers.learning import Learning
    from workers.refresh import Refresher

    held = runtime()
    try:
        forget_erased(Learning(held.settings, held.index), held.catalog)
        if Refresher.of(held).round().all_due:
            default_sender().send_task(REFRESH_ALL)
    except RetryableError as error:
        log.warning("not_refreshed", reason=str(error))


@shared_task(name=REFRESH_ALL)
def refresh_all() -> None:
    """Look at every item once, after a training or a graph import that was cut short of it."""
    from workers.refresh import Refresher

    try:
        Refresher.of(runtime()).all()
    except RetryableError as error:
        log.warning("not_refreshed", reason=str(error))


@shared_task(name="firstlight.reindex")
def reindex() -> None:
    """Rebuild the index from the ledger; called again it continues."""
    from workers.collection_reindex import reindex as rebuild

    try:
        made = rebuild(runtime(), default_sender().dispatch)
    except (RejectedError, RetryableError) as error:
        log.warning("not_reindexed", reason=str(error))
        return
    log.info("reindex_begun", collection=made.collection, requeued=made.requeued)
