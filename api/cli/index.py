"""The index as derived data: fit-fusion, reindex, verify; and redriving dead items.

These work on the ledger and the index directly, with the settings of a worker.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.output import CODE_DIFFERS, AsJson, console, errors, print_json, print_json_line, table
from domain.errors import RejectedError, RetryableError
from domain.settings import settings

if TYPE_CHECKING:
    from catalog import Due
    from workers.collection_settle import Settled
    from workers.runtime import Runtime
    from workers.verify import Difference

SETTLE_EVERY_S = 1.0
SHOWN = 50

Timeout = Annotated[float, typer.Option(help="How long to wait until it serves, in seconds.")]


@contextmanager
def _runtime() -> Iterator[Runtime]:
    from workers import runtime

    try:
        yield runtime.runtime()
    finally:
        runtime.close()


def _dispatch(due: Sequence[Due]) -> None:
    from workers.publish import dispatch

    unsent = dispatch(due)
    if unsent:
        errors.print(
            f"{len(unsent)} items could not be sent to the broker; the reconciler will send them"
        )


def _wait_settled(
    settle: Callable[[], Settled | None], first: Settled | None, timeout_s: float
) -> str | None:
    """Until the new collection serves; its name."""
    deadline = time.monotonic() + timeout_s
    progress = first
    with console.status("moving to the new collection") as shown:
        while progress is None or progress.goal is not None:
            if time.monotonic() > deadline:
                raise RetryableError(
                    f"not moved within {timeout_s:.0f} s",
                    remedy="the reconciler goes on with it; see `firstlight status`",
                )
            if progress is not None:
                shown.update(f"{progress.goal}: {progress.waiting} items or more to go")
            time.sleep(SETTLE_EVERY_S)
            progress = settle()
    return progress.serving


def fit_fusion(timeout_s: Timeout = 3600.0, as_json: AsJson = False) -> None:
    """Fit the fusion statistics from the catalogue and move to a collection made with them."""
    from workers.collection_fit import fit_fusion as fit
    from workers.collection_settle import settle

    with _runtime() as held:
        done = fit(held, _dispatch)
        if done is None:
            raise RejectedError("nothing was fitted", remedy="see `firstlight status`")
        serving = done.collection
        if done.settled is not None:
            found = _wait_settled(lambda: settle(held, _dispatch), done.settled, timeout_s)
            serving = found or serving
    if as_json:
        print_json({"fusion": done.fusion, "collection": serving, "items": done.items})
    else:
        console.print(f"fusion {done.fusion} fitted from {done.items} items; {serving} serves")


def reindex(timeout_s: Timeout = 24 * 3600.0, as_json: AsJson = False) -> None:
    """Build the index anew from the ledger; the old one serves until the new is complete."""
    from workers.collection_reindex import reindex as rebuild
    from workers.collection_settle import settle

    with _runtime() as held:
        begun = rebuild(held, _dispatch)
        serving = _wait_settled(lambda: settle(held, _dispatch), begun.settled, timeout_s)
    if as_json:
        print_json({"collection": serving, "requeued": begun.requeued})
    else:
        console.print(f"{begun.requeued} items sent through the encoders; {serving} serves")


def verify(
    repair: Annotated[
        bool, typer.Option("--repair", help="Send what is missing again, remove ghosts.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare ledger and index and list every difference; exit code 1 when there are any.

    With --json, one object per difference and line, the summary last.
    """
    from catalog import Catalog
    from index import ItemIndex
    from workers.verify import Verifier

    current = settings()
    index = ItemIndex.connect(current)
    kinds: Counter[str] = Counter()
    repaired = 0
    try:
        with Catalog.connect(current) as catalog:
            verifier = Verifier(current, catalog, index)
            found = _counted(verifier.differences(), kinds, as_json)
            if repair:
                repaired = verifier.repair(found, _dispatch)
            else:
                for _ in found:
                    pass
    finally:
        index.close()
    differences = sum(kinds.values())
    if as_json:
        print_json_line({"differences": differences, "kinds": dict(kinds), "repaired": repaired})
    else:
        console.print(
            f"{verifier.points} points and {verifier.items} items compared in"
            f" {verifier.collection}: {differences} differences"
            + (f", {repaired} seen to" if repair else "")
        )
    if differences > repaired:
        raise typer.Exit(CODE_DIFFERS)


def _counted(
    differences: Iterable[Difference], kinds: Counter[str], as_json: bool
) -> Iterator[Difference]:
    for one in differences:
        kinds[str(one.kind)] += 1
        if as_json:
            print_json_line(asdict(one))
        else:
            console.print(f"{one.kind:12} {one.id}: {one.detail}", markup=False)
        yield one


def redrive(
    ids: Annotated[list[str] | None, typer.Argument(help="Dead items to try again.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All dead items.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give dead items new attempts."""
    from catalog import Catalog

    if bool(ids) == every:
        raise RejectedError("name some items, or say --all", field="IDS")
    with Catalog.connect(settings()) as catalog:
        due = catalog.redrive(ids or None)
        _dispatch(due)
    sent = [one.pair.id for one in due]
    left = sorted(set(ids or []) - set(sent))
    if as_json:
        print_json({"redriven": sent, "not_dead": left})
    else:
        if sent:
            table(None, ["redriven"], [(item_id,) for item_id in sent[:SHOWN]])
        console.print(f"{len(sent)} items sent again")
        for item_id in left:
            errors.print(f"{item_id}: not dead", markup=False)
    if left:
        raise typer.Exit(CODE_DIFFERS)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("fit-fusion")(fit_fusion)
    app.command()(reindex)
    app.command()(verify)
    app.command()(redrive)
