"""Starting a worker or the reconciler from Python: `firstlight worker`."""

from __future__ import annotations

import os
import sys
from urllib.parse import urlsplit

from domain.errors import RejectedError, RetryableError
from domain.settings import LANES, settings
from workers.queues import CONTROL, broker_answers

BROKER_PATIENCE_S = 20


def run_worker(
    lanes: str | None = None, concurrency: int | None = None, loglevel: str | None = None
) -> None:
    """Serve these lanes until told to stop (SIGTERM, SIGINT).

    Args:
        lanes: comma-separated; by default FIRSTLIGHT_WORKER_LANES.
        concurrency: threads; by default FIRSTLIGHT_WORKER_CONCURRENCY.
        loglevel: by default FIRSTLIGHT_LOG_LEVEL.

    Raises:
        RejectedError: no such lane.
        RetryableError: the broker does not answer.
        SystemExit: the worker ended with a failure; the code says which.
    """
    chosen = settings()
    names = checked_lanes(lanes or chosen.worker.lanes)
    _await_broker()
    from workers.celery import app

    worker = app.Worker(
        hostname=f"firstlight-{os.getpid()}@{os.uname().nodename}",
        queues=[*names, CONTROL],
        concurrency=concurrency or chosen.worker.concurrency,
        loglevel=(loglevel or chosen.log_level).upper(),
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )
    worker.start()
    if worker.exitcode:
        sys.exit(worker.exitcode)


def run_reconciler(loglevel: str | None = None) -> None:
    """Run Celery beat, which calls the reconciler in some worker, until told to stop."""
    from workers.celery import app

    app.Beat(loglevel=(loglevel or settings().log_level).upper(), quiet=True).run()


def checked_lanes(lanes: str) -> list[str]:
    """The names in a comma-separated list. Raises RejectedError for one that is no lane."""
    names = [name.strip() for name in lanes.split(",") if name.strip()]
    unknown = [name for name in names if name not in LANES]
    if unknown or not names:
        raise RejectedError(
            f"no lane {', '.join(unknown) or 'was named'}",
            field="FIRSTLIGHT_WORKER_LANES",
            remedy=f"use some of {','.join(LANES)}",
        )
    return names


def _await_broker() -> None:
    from workers.celery import app

    try:
        broker_answers(app, BROKER_PATIENCE_S)
    except RetryableError as error:
        where = urlsplit(settings().broker_url)
        raise RetryableError(
            f"no broker at {where.scheme}://{where.hostname}:{where.port}: {error.message}",
            remedy="start `firstlight up`, or set FIRSTLIGHT_BROKER_URL",
        ) from None
