"""One item: publish it, see how far it has come, delete it; and lists of items."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.accepting import one_answer, receipts_of
from api.auth import READ, WRITE
from api.openapi import body, problem_answers, ref
from api.problems import ProblemError, invalid_fields
from api.problems import field_error as wrong
from api.routes.events import ITEM_EVENT
from api.schemas import ItemAnswer, ItemsAnswer, MediaProblem, Receipt, State
from api.state import Parts, parts_of
from api.wire import answer, check_limit, read_json
from catalog import ItemRecord, ItemState
from workers.learning import Learning

router = APIRouter(tags=["items"])

MOST_DIGITS = 100
"""Of a version in a query; Python refuses to read a number of thousands, and none is that new."""


@router.get(
    "/v1/items",
    dependencies=READ,
    response_model=ItemsAnswer,
    responses=problem_answers(401, 422, 503),
)
async def list_items(
    request: Request,
    state: Annotated[State | None, Query(description="Only items in this state.")] = None,
    limit: Annotated[int, Query(description="Items on one page.")] = 100,
    after: Annotated[str | None, Query(description="`next` of the page before.")] = None,
) -> Response:
    """Items in order of their ids, page by page."""
    parts = parts_of(request)
    check_limit(limit, parts.settings.api.max_limit)
    chosen = ItemState(state) if state is not None else None

    def read() -> Response:
        records = parts.catalog.items(state=chosen, limit=limit + 1, after=after)
        more = len(records) > limit
        shown = [item_answer(record) for record in records[:limit]]
        return answer(ItemsAnswer(items=shown, next=shown[-1].id if more else None))

    return await parts.run(read)


@router.put(
    "/v1/items/{item_id:path}",
    status_code=202,
    dependencies=WRITE,
    response_model=Receipt,
    responses=problem_answers(400, 401, 403, 413, 415, 422, 503),
    openapi_extra=body(ref("Item"), {"an item": ITEM_EVENT["data"]}),
)
async def put_item(request: Request, item_id: str) -> Response:
    """Publish an item, whole. `id` may be left out of the body.

    202 when it was accepted, 200 when this version (or a newer one) is there already.
    """
    raw = await read_json(request, parts_of(request).settings.limits)
    event = {"type": "item.updated", "data": with_id(raw, item_id)}
    return one_answer((await receipts_of(request, [event], "data."))[0])


@router.get(
    "/v1/items/{item_id:path}",
    dependencies=READ,
    response_model=ItemAnswer,
    responses=problem_answers(401, 404, 503),
)
async def get_item(request: Request, item_id: str) -> Response:
    """An item and how far it has come: pending, indexed, dead (with the reason), deleted."""
    parts = parts_of(request)
    record = await parts.run(parts.catalog.item, item_id)
    if record is None:
        raise no_such("item", item_id)
    return answer(item_answer(record))


@router.delete(
    "/v1/items/{item_id:path}",
    status_code=202,
    dependencies=WRITE,
    response_model=Receipt,
    responses=problem_answers(401, 403, 404, 422, 503),
)
async def delete_item(
    request: Request,
    item_id: str,
    version: Annotated[
        str | None, Query(description="Delete up to this version; the next one if left out.")
    ] = None,
) -> Response:
    """Delete an item; it comes back only with a newer version."""
    return await delete(request, "item", item_id, version)


async def delete(request: Request, kind: str, subject: str, version: str | None) -> Response:
    """Accept a deletion. Without a version, what was never there cannot be deleted."""
    parts = parts_of(request)
    if version is None:
        known = _item_is_known if kind == "item" else _user_is_known
        if not await parts.run(known, parts, subject):
            raise no_such(kind, subject)
    data: dict[str, Any] = {"id": subject}
    if version is not None:
        short = len(version) <= MOST_DIGITS and version.isdecimal()
        data["version"] = int(version) if short else version
    event = {"type": f"{kind}.deleted", "data": data}
    return one_answer((await receipts_of(request, [event], "data."))[0])


def _item_is_known(parts: Parts, subject: str) -> bool:
    return parts.catalog.item(subject) is not None


def _user_is_known(parts: Parts, subject: str) -> bool:
    """By a profile, now or once, by anything they did, or by what was learned from a file."""
    catalog = parts.catalog
    if catalog.user(subject) is not None or catalog.history(subject, 1):
        return True
    return any(sums.has(subject) for sums in Learning(parts.settings, parts.index).sums.all())


def with_id(raw: Any, subject: str) -> Any:
    """The body with the id of the path. Raises ProblemError 422 when it names another."""
    if not isinstance(raw, dict):
        raise ProblemError(
            422, "invalid", "the body is not a JSON object", field="body", remedy="send an object"
        )
    if raw.get("id", subject) != subject:
        raise invalid_fields(
            [wrong("id", "differs from the id in the path", "leave it out of the body")]
        )
    return {**raw, "id": subject}


def no_such(kind: str, subject: str) -> ProblemError:
    """404 for an item or user."""
    return ProblemError(
        404,
        "not-found",
        f"no {kind} {subject!r}",
        field="id",
        remedy=f"publish it with PUT /v1/{kind}s/{{id}}",
    )


def item_answer(record: ItemRecord) -> ItemAnswer:
    """A ledger's record as the API shows it."""
    return ItemAnswer(
        id=record.id,
        version=record.version,
        state=record.state.value,
        item=record.item,
        lane=record.lane,
        attempts=record.attempts,
        next_attempt_at=at(record.next_attempt_at),
        reason=record.reason or None,
        failures=[MediaProblem(field=one.field, message=one.message) for one in record.failures],
        fingerprint=record.fingerprint,
        models=record.models,
        accepted_at=at(record.accepted_at),
        indexed_at=at(record.indexed_at),
        updated_at=at(record.updated_at),
        latency_s=record.latency_s,
    )


def at(seconds: float | None) -> datetime | None:
    """Seconds since 1970 as a time in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
