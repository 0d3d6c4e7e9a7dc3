"""Looking after it: status, items, dead ones, the index."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer

from api.cli.output import CODE_DIFFERS, AsJson, client, console, print_json, table
from api.schemas import ItemAnswer, ItemsAnswer, State
from domain.errors import RejectedError

STATES: tuple[State, ...] = ("pending", "indexed", "dead", "deleted")


def status(as_json: AsJson = False) -> None:
    """Items by state, queues, collection, models."""
    with client() as api:
        answer = api.status()
    if as_json:
        print_json(answer)
        return
    table(None, ["state", "items"], answer.counts.items())
    lanes = sorted({*answer.pending_by_lane, *answer.queue_depth})
    rows = [
        (lane, answer.pending_by_lane.get(lane, 0), answer.queue_depth.get(lane, 0))
        for lane in lanes
    ]
    table(None, ["lane", "pending", "messages"], rows)
    console.print(f"oldest pending {answer.oldest_pending_s:.1f} s")
    console.print(f"collection {answer.collection} ({answer.collection_items} items)")
    console.print(f"fusion {answer.fusion}")
    console.print(f"projection {answer.projection}")
    console.print(f"model pack {answer.pack}")
    for note in answer.notes:
        console.print(f"note: {note}", markup=False)


def items(
    ids: Annotated[list[str] | None, typer.Argument(help="Show these in full.")] = None,
    state: Annotated[str | None, typer.Option(help="pending, indexed, dead or deleted.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many.")] = 50,
    after: Annotated[str | None, typer.Option(help="Continue after this id.")] = None,
    as_json: AsJson = False,
) -> None:
    """List items by state, or show some in full."""
    with client() as api:
        if ids:
            found = [api.item(item_id) for item_id in ids]
            if as_json:
                print_json([item.model_dump(mode="json") for item in found])
            else:
                for item in found:
                    _show_item(item)
            return
        _show_items(api.items(state=_state(state), limit=limit, after=after), as_json)


def _state(name: str | None) -> State | None:
    if name is None:
        return None
    for known in STATES:
        if name == known:
            return known
    raise RejectedError(f"{name!r} is no state", field="--state", remedy=f"use {', '.join(STATES)}")


def _show_items(page: ItemsAnswer, as_json: bool) -> None:
    if as_json:
        print_json(page)
        return
    if not page.items:
        console.print("none")
        return
    table(
        None,
        ["item", "version", "state", "lane", "attempts", "latency_s", "reason"],
        (
            (i.id, i.version, i.state, i.lane, i.attempts, i.latency_s, _reason(i))
            for i in page.items
        ),
    )
    if page.next is not None:
        console.print(f"more: --after {page.next}", markup=False)


def _show_item(item: ItemAnswer) -> None:
    """One item in full: its content, how far it has come, what could not be used."""
    shown = item.model_dump(mode="json", exclude={"item", "failures", "models"})
    content = item.item.model_dump(mode="json", exclude={"id", "version"}) if item.item else {}
    used = {f"model of {name}": model for name, model in (item.models or {}).items()}
    failed = {failure.field: failure.message for failure in item.failures}
    rows = {**shown, **content, **used, **failed}.items()
    table(None, ["field", "value"], [(name, _said(value)) for name, value in rows if value], 1)


def _said(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _reason(item: ItemAnswer) -> str:
    return item.reason or "; ".join(f"{f.field}: {f.message}" for f in item.failures)


def dead(
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many.")] = 50,
    after: Annotated[str | None, typer.Option(help="Continue after this id.")] = None,
    as_json: AsJson = False,
) -> None:
    """List dead items with the reason; exit code 1 when there are any."""
    with client() as api:
        page = api.items(state="dead", limit=limit, after=after)
    _show_items(page, as_json)
    if page.items:
        raise typer.Exit(CODE_DIFFERS)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(status)
    app.command()(items)
    app.command()(dead)
