"""What happens around the tasks of a worker process: start, health, and an end that is bounded."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import Any

from celery import bootsteps, signals
from celery.worker import state
from celery.worker.control import inspect_command
from prometheus_client import start_http_server

from domain.errors import FirstlightError, RejectedError, RetryableError
from domain.log import CANNOT_START, logger
from domain.settings import LANES, Settings, settings
from domain.tuning import tune_for_serving
from workers import runtime
from workers.queues import QUEUES

EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_CONFIG = 78
"""Exit codes of sysexits.h: encoders dead; tasks that would not end; a wrong setting."""

CHECK_EVERY_S = 5.0

_state: Any = state

log = logger(__name__)


def refuse_prefork(pool: str, device: str) -> None:
    """Raise RejectedError when processes would be forked from one that holds CUDA."""
    if "prefork" not in pool:
        return
    import torch

    if device == "cuda" or (device == "auto" and torch.cuda.is_available()):
        raise RejectedError(
            "a forked process cannot use CUDA, so the prefork pool will not start",
            remedy="use --pool threads, one worker process per GPU",
        )


def refuse_unknown(queues: Iterable[str]) -> None:
    """Raise RejectedError for a queue that nothing is sent to: Celery would wait at it for ever."""
    unknown = sorted(set(queues) - set(QUEUES))
    if unknown:
        raise RejectedError(
            f"no lane {', '.join(unknown)}", field="-Q", remedy=f"use some of {','.join(LANES)}"
        )


class Models(bootsteps.StartStopStep):
    """Loads the models after the pool exists and before the first message is taken."""

    requires = ("celery.worker.components:Pool", "celery.worker.components:Beat")

    def start(self, parent: Any) -> None:
        """Load, or end the worker with one clear line."""
        pool = parent.pool_cls.__module__
        try:
            chosen = settings()
            refuse_prefork(pool, chosen.encoder.device)
            queues = parent.app.amqp.queues.consume_from
            refuse_unknown(queues)
            if "prefork" in pool:
                return
            held = runtime.runtime(queues)
            tune_for_serving()
        except FirstlightError as error:
            wrong = isinstance(error, RejectedError)
            log.critical(CANNOT_START, error=str(error), setting=error.field if wrong else "")
            raise SystemExit(EX_CONFIG) from None
        _serve_metrics(held.settings)
        threading.Thread(
            target=_watch, args=(held, _stopping), name="readiness", daemon=True
        ).start()
        log.info("models_loaded", models=[report.model for report in held.encoders.describe()])


_stopping = threading.Event()


def _serve_metrics(chosen: Settings) -> None:
    port = chosen.worker.metrics_port
    if port is None:
        return
    try:
        start_http_server(port, addr=chosen.worker.metrics_host)
    except OSError as error:
        log.critical(
            CANNOT_START,
            error=f"port {port} for metrics cannot be used: {error.strerror}",
            setting="FIRSTLIGHT_WORKER_METRICS_PORT",
            remedy="set it to a free port",
        )
        raise SystemExit(EX_CONFIG) from None


def _watch(held: runtime.Runtime, stopping: threading.Event) -> None:
    """End the process when its encoders are dead; whoever supervises it starts another."""
    while not stopping.wait(CHECK_EVERY_S):
        try:
            held.check()
        except RetryableError as error:
            give_up(str(error), held.settings.worker.soft_shutdown_s)
            return


@inspect_command()
def readiness(_: Any) -> dict[str, str]:
    """Whether this worker's encoders can take work."""
    try:
        runtime.runtime().check()
    except FirstlightError as error:
        return {"error": str(error)}
    return {"ok": "ready"}


def give_up(reason: str, soft_shutdown_s: float) -> None:
    """Take no more work, let what runs end, then leave. Pairs not finished are sent again."""
    log.critical("worker_gives_up", reason=reason)
    _state.should_stop = EX_UNAVAILABLE
    _end_within(soft_shutdown_s, EX_UNAVAILABLE)


def is_ending() -> bool:
    """Whether this process should begin nothing new."""
    return _state.should_stop is not None or _state.should_terminate is not None


@signals.worker_shutting_down.connect
def _bound_the_end(**_: Any) -> None:
    """A warm shutdown waits for running tasks; Celery sets no limit to that."""
    _end_within(settings().worker.soft_shutdown_s, EX_SOFTWARE)


def _end_within(limit_s: float, code: int) -> None:
    _stopping.set()

    def end() -> None:
        log.warning("tasks_left_unfinished", after_s=limit_s, remedy="the ledger sends them again")
        os._exit(code)

    timer = threading.Timer(limit_s, end)
    timer.daemon = True
    timer.start()


@signals.worker_shutdown.connect
def _close(**_: Any) -> None:
    _stopping.set()
    runtime.close()
