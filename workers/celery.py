"""The Celery app: `celery -A workers worker -Q text,image` finds it here.

A message is only a hint that work may exist; the ledger is the truth. Whatever a broker loses
is sent again by the reconciler, so nothing here tries to make the broker more reliable than
it is. Importing this module loads no model.
"""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery, signals
from kombu import Connection, Queue

from domain.errors import RejectedError
from domain.log import configure_logging
from domain.settings import Settings, settings
from workers.process import Models
from workers.queues import CONTROL, QUEUES

CONNECT_TIMEOUT_S = 2.0
SOCKET_TIMEOUT_S = 10.0
"""Bounds on reaching the broker and on one of its answers, for workers and publishers alike."""

BROKER_RETRIES = 10
"""A worker that loses the broker tries this often (2, 4, 6 ... s apart), then ends."""


SWEEP_EVERY_S = 6 * 3600.0
"""How often old uploads are looked for."""


def _transport_options(chosen: Settings) -> dict[str, Any]:
    """What kombu tells the broker's client; only Redis and Valkey know these names."""
    if not chosen.broker_url.startswith(("redis", "rediss", "sentinel", "unix")):
        return {}
    return {
        "visibility_timeout": chosen.broker.visibility_timeout_s,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_keepalive": True,
        "priority_steps": [0],
    }


def configuration(chosen: Settings) -> dict[str, Any]:
    """Celery's settings; docs/workers.md says why each is as it is."""
    worker = chosen.worker
    return {
        "broker_url": chosen.broker_url,
        "broker_transport_options": _transport_options(chosen),
        "broker_connection_timeout": CONNECT_TIMEOUT_S,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": BROKER_RETRIES,
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_serializer": "json",
        "result_backend": None,
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_queues": [Queue(name) for name in QUEUES],
        "task_default_queue": CONTROL,
        "task_create_missing_queues": True,
        "task_routes": {
            "firstlight.fit_fusion": {"queue": "train"},
            "firstlight.train": {"queue": "train"},
            "firstlight.refresh_all": {"queue": "train"},
            "firstlight.reindex": {"queue": "train"},
        },
        "worker_consumer": "workers.consumer:Consumer",
        "worker_pool": "threads",
        "worker_concurrency": worker.concurrency,
        "worker_prefetch_multiplier": 1,
        "worker_soft_shutdown_timeout": worker.soft_shutdown_s,
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "beat_scheduler": "celery.beat:Scheduler",
        "beat_schedule": _schedule(chosen),
        "imports": ["workers.tasks"],
        "timezone": "UTC",
    }


def _schedule(chosen: Settings) -> dict[str, Any]:
    """What beat sends; a message that nobody took by the time of the next one expires."""
    sweep_s = SWEEP_EVERY_S if chosen.worker.upload_days else 0.0
    every_s = {
        "reconcile": ("firstlight.reconcile", chosen.worker.reconcile_every_s, ()),
        "refresh": ("firstlight.refresh", chosen.ranking.refresh_every_s, ()),
        "train": ("firstlight.train", chosen.ranking.train_every_s, (True,)),
        "sweep_uploads": ("firstlight.sweep_uploads", sweep_s, ()),
    }
    return {
        name: {
            "task": task,
            "schedule": seconds,
            "args": arguments,
            "options": {"expires": max(seconds, 1.0)},
        }
        for name, (task, seconds, arguments) in every_s.items()
        if seconds
    }


def create_app(chosen: Settings) -> Celery:
    """An app for these settings; its tasks are those of workers.tasks.

    Raises:
        RejectedError: the broker's URL is of a kind that is not there.
    """
    try:
        Connection(chosen.broker_url).get_transport_cls()
    except (KeyError, ImportError, ValueError):
        raise RejectedError(
            "no broker of this kind is supported here",
            field="FIRSTLIGHT_BROKER_URL",
            remedy="use redis://host:port/0, or install what kombu needs for it",
        ) from None
    made: Celery = Celery("firstlight", set_as_current=False)
    made.conf.update(configuration(chosen))
    made.steps["worker"].add(Models)
    return made


@signals.setup_logging.connect
def _set_up_logging(loglevel: int | str | None = None, **_: Any) -> None:
    """Celery's own lines go through the same formatter as ours."""
    chosen = settings()
    level = logging.getLevelName(loglevel) if isinstance(loglevel, int) else loglevel
    asked = level if level and level.upper() != "WARNING" else chosen.log_level
    configure_logging(asked.lower(), chosen.log_format)
    if asked.lower() != "debug":
        # Two lines per message that say less than the one line per item.
        for chatty in ("celery.worker.strategy", "celery.app.trace"):
            logging.getLogger(chatty).setLevel(logging.WARNING)


@signals.celeryd_after_setup.connect
def _serve_control_too(instance: Any, **_: Any) -> None:
    """Whatever lanes -Q names, the short ledger tasks are always somebody's work."""
    instance.app.amqp.queues.select_add(CONTROL)


try:
    app = create_app(settings())
except RejectedError as error:
    raise SystemExit(f"firstlight: {error}") from None
app.set_current()
