"""Raw events of a request into the ledger, each with its own receipt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import Request, Response

from api.forgetting import forgotten
from api.problems import from_field_problem, invalid_fields, printable
from api.schemas import EventsAnswer, FieldError, Receipt
from api.state import Parts, parts_of
from api.wire import answer
from catalog import Acceptance
from domain.events import BadEvent, Event, parse_events
from workers import publish


async def receipts_of(request: Request, raws: Sequence[Any], prefix: str = "") -> list[Receipt]:
    """Accept what can be accepted; one receipt per raw event, in order.

    Args:
        prefix: what the caller did not send (such as "data."), left out of fields' names.

    Raises:
        RetryableError: the ledger does not answer; nothing was accepted.
    """
    parts = parts_of(request)
    receipts = await parts.run(_accept, parts, raws, prefix)
    counted = request.app.state.metrics.events
    for receipt in receipts:
        counted.labels(receipt.kind or "unknown", receipt.status).inc()
    return receipts


def _accept(parts: Parts, raws: Sequence[Any], prefix: str) -> list[Receipt]:
    parsed = parse_events(raws, parts.settings.limits)
    good: list[Event] = [one for one in parsed if not isinstance(one, BadEvent)]
    accepted = iter(publish.accept(parts.catalog, good, sender=parts.sender) if good else [])
    receipts, erased = [], {}
    for index, one in enumerate(parsed):
        if isinstance(one, BadEvent):
            receipts.append(_rejected(index, one, prefix))
            continue
        told = next(accepted)
        receipts.append(_receipt(index, told))
        if told.erased is not None:
            erased[index] = told.erased
    if erased:
        gone = forgotten(parts, [(receipts[index], one) for index, one in erased.items()])
        for index, receipt in zip(erased, gone, strict=True):
            receipts[index] = receipt
    return receipts


def _receipt(index: int, one: Acceptance) -> Receipt:
    return Receipt(
        index=index,
        status=one.status,
        event_id=one.event_id,
        kind=one.kind,
        id=one.subject,
        version=one.version,
        note=one.note,
    )


def _rejected(index: int, bad: BadEvent, prefix: str) -> Receipt:
    errors = [FieldError(**from_field_problem(one, prefix)) for one in bad.problems]
    event_id = printable(bad.event_id) if bad.event_id is not None else None
    return Receipt(index=index, status="rejected", event_id=event_id, errors=errors)


def one_answer(receipt: Receipt) -> Response:
    """The answer to a request about one thing: 202, 200 when nothing changed, or a problem."""
    if receipt.status == "rejected":
        raise invalid_fields([error.model_dump() for error in receipt.errors])
    return answer(receipt, 202 if receipt.status == "accepted" else 200)


def many_answer(receipts: list[Receipt]) -> Response:
    """202 with every event's own outcome."""
    counts = dict.fromkeys(("accepted", "duplicate", "stale", "rejected"), 0)
    for receipt in receipts:
        counts[receipt.status] += 1
    return answer(EventsAnswer(results=receipts, **counts), 202)
