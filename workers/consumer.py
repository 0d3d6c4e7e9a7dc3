"""The part of a worker that talks to the broker."""

from __future__ import annotations

from typing import Any

from celery.worker import consumer

Base: Any = consumer.Consumer


def _answer_nobody(*_: Any, **__: Any) -> None:
    """In place of acknowledging a message to a broker that is gone."""


class Consumer(Base):  # type: ignore[misc]
    """Celery's own, but outliving a broker that dies while messages are in hand.

    On a lost connection Celery gives the unacknowledged messages back through the channel that
    was just closed, and acknowledges through it what is done later. Both end in AttributeError,
    and over that the worker (celery 5.7 and kombu 5.7 with Redis). So the channel is told that
    nobody listens: the broker returns such messages after its visibility timeout, the reconciler
    before, and what is indexed by then is skipped.
    """

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Called by Celery when the broker is lost."""
        if self.task_consumer is not None:
            channel = self.task_consumer.channel
            channel.do_restore = False
            channel.basic_ack = channel.basic_reject = _answer_nobody
        super().on_connection_error_after_connected(exc)
