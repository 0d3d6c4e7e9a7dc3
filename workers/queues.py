"""The queues: one per lane, one for short ledger work, and how long they are."""

from __future__ import annotations

from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError

from domain.errors import RetryableError
from domain.settings import LANES

CONTROL = "celery"
"""Celery's own default queue, which every worker serves beside its lanes: short work on the
ledger (firstlight.publish, firstlight.reconcile). A publisher that knows nothing but a broker
URL and a task name reaches it."""

QUEUES = (*LANES, CONTROL)


def _unreachable(connection: Connection) -> tuple[type[BaseException], ...]:
    """What kombu and the transport raise when the broker is away."""
    return (OperationalError, OSError, *connection.connection_errors)


def queue_depths(app: Celery) -> dict[str, int]:
    """Messages waiting per queue; those a worker has taken are not counted.

    Raises:
        RetryableError: the broker does not answer.
    """
    depths = {}
    with app.connection_or_acquire() as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_max=0)
            with connection.channel() as channel:
                for name in QUEUES:
                    try:
                        found = channel.queue_declare(queue=name, passive=True)
                        depths[name] = int(found.message_count)
                    except connection.channel_errors:
                        depths[name] = 0
        except _unreachable(connection) as error:
            raise RetryableError(f"the broker does not answer: {error}") from None
    return depths


def broker_answers(app: Celery, timeout_s: int) -> None:
    """Return once the broker takes a connection.

    Raises:
        RetryableError: it did not within about `timeout_s`.
    """
    with app.connection_for_read() as connection:
        try:
            connection.ensure_connection(
                timeout=timeout_s, interval_start=1, interval_step=1, interval_max=2
            )
        except _unreachable(connection) as error:
            raise RetryableError(str(error)) from None
