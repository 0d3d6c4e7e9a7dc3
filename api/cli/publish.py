"""`firstlight publish FILE.jsonl`: events from a file, with progress and a summary."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from api.cli.output import CODE_DIFFERS, AsJson, client, console, errors, print_json, table
from api.client import FirstlightClient
from api.schemas import State
from domain.errors import FirstlightError, RejectedError

POLL_S = 0.25
WAIT_PAGE = 100
STATES: tuple[State, ...] = ("pending", "indexed", "dead")
UPLOADS_AT_ONCE = 8
WORDS = ("title", "description", "tags", "attributes")
LEFT_OUT = "left out; put it there and publish the item in a newer version"


@dataclass
class Line:
    """One event of the file, its local media replaced by uploads, or what is wrong with it."""

    number: int
    event: dict[str, Any] | None = None
    problem: str = ""
    failures: list[str] = field(default_factory=list)
    """Media that were left out."""


@dataclass
class Summary:
    """What became of a file."""

    events: int = 0
    accepted: int = 0
    duplicate: int = 0
    stale: int = 0
    rejected: int = 0
    indexed: int = 0
    dead: int = 0
    still_pending: int = 0
    media_left_out: int = 0
    seconds: float = 0.0
    items_per_s: float | None = None
    searchable_median_s: float | None = None
    searchable_p95_s: float | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every event was taken, with all its media, and every item indexed."""
        return not (self.rejected or self.dead or self.still_pending or self.media_left_out)


def read_lines(path: Path) -> Iterator[Line]:
    """Events of a JSONL file. A line without `type` is taken as an item's content.

    Raises:
        RejectedError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                if raw.strip():
                    yield _line(number, raw)
    except OSError as error:
        raise RejectedError(
            f"{path}: {error.strerror}", field="FILE", remedy="name a readable JSONL file"
        ) from None


def _line(number: int, raw: bytes) -> Line:
    try:
        event = orjson.loads(raw)
    except orjson.JSONDecodeError:
        from api.problems import ProblemError
        from api.wire import decode

        try:
            event = decode(raw)  # NaN and lone surrogates: the API says in which field
        except ProblemError as problem:
            said = problem.errors[0]
            return Line(number, problem=f"not JSON: {said['message']}; {said['remedy']}")
    if not isinstance(event, dict):
        return Line(number, problem="not a JSON object; write one item or event per line")
    if "type" not in event and "id" in event:
        event = {"type": "item.created", "data": event}
    return Line(number, event)


def upload_media(api: FirstlightClient, folder: Path, line: Line) -> Line:
    """Replace media named by relative path with uploads.

    A file that is missing or refused is left out, and the line's failure; of a line that has
    nothing else it is the problem.
    """
    data = line.event.get("data") if line.event else None
    media = data.get("media") if isinstance(data, dict) else None
    if line.event is None or not isinstance(data, dict) or not isinstance(media, dict):
        return line
    replaced = {}
    failures = []
    for kind, references in media.items():
        if not isinstance(references, list):
            return line  # the API says what is wrong with it
        found = []
        for reference in references:
            if not isinstance(reference, str) or _is_absolute(reference):
                found.append(reference)
                continue
            try:
                found.append(api.upload((folder / reference).read_bytes()).reference)
            except OSError as error:
                failures.append(f"data.media.{kind}: {reference}: {error.strerror}")
            except ValueError:
                failures.append(f"data.media.{kind}: {reference!r}: no path of a file")
            except RejectedError as error:
                failures.append(f"data.media.{kind}: {reference}: {error}")
        replaced[kind] = found
    if failures and not any(replaced.values()) and not any(map(data.get, WORDS)):
        return Line(line.number, problem="; ".join(failures))
    return Line(line.number, {**line.event, "data": {**data, "media": replaced}}, "", failures)


def _is_absolute(reference: str) -> bool:
    return reference.startswith(("/", "upload:")) or "://" in reference or reference == ""


def publish_lines(
    api: FirstlightClient,
    lines: Sequence[Line],
    folder: Path,
    *,
    wait: bool,
    timeout_s: float,
    show: bool = True,
) -> Summary:
    """Publish events whose relative media paths are found in `folder`."""
    started = time.monotonic()
    summary = Summary(events=len(lines))
    with Progress(
        TextColumn("{task.description:10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not show,
    ) as progress:
        versions = _send(api, folder, lines, summary, progress)
        done = not (wait and versions) or _wait(api, versions, progress, timeout_s)
    summary.seconds = time.monotonic() - started
    if wait and versions:
        _measure(api, versions, summary, ["indexed", "dead"] if done else list(STATES))
    return summary


def _send(
    api: FirstlightClient, folder: Path, lines: Sequence[Line], summary: Summary, progress: Progress
) -> dict[str, int]:
    bar = progress.add_task("published", total=len(lines))
    versions: dict[str, int] = {}
    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        for start in range(0, len(lines), api.batch_events):
            batch = list(
                pool.map(
                    lambda line: upload_media(api, folder, line),
                    lines[start : start + api.batch_events],
                )
            )
            good = [line for line in batch if line.event is not None]
            for line in batch:
                if line.event is None:
                    summary.rejected += 1
                    summary.problems.append(f"line {line.number}: {line.problem}")
                for failure in line.failures:
                    summary.media_left_out += 1
                    summary.problems.append(f"line {line.number}: {failure}; {LEFT_OUT}")
            answer = api.publish([line.event for line in good if line.event is not None])
            summary.accepted += answer.accepted
            summary.duplicate += answer.duplicate
            summary.stale += answer.stale
            summary.rejected += answer.rejected
            for line, result in zip(good, answer.results, strict=True):
                for problem in result.errors:
                    text = f"line {line.number}: {problem.field}: {problem.message}"
                    summary.problems.append(
                        text + (f"; {problem.remedy}" if problem.remedy else "")
                    )
                if result.kind == "item" and result.status == "accepted" and result.id:
                    versions[result.id] = result.version or 0
                    if line.event is not None and line.event.get("type") == "item.deleted":
                        del versions[result.id]
            progress.advance(bar, len(batch))
    return versions


def _wait(
    api: FirstlightClient, versions: dict[str, int], progress: Progress, timeout_s: float
) -> bool:
    """Until none of these items is pending, whatever others publish; False when time ran out.

    One page of what is pending is looked at per turn. The page moves on past what is done or
    another publisher's, and the end is believed only after a pass that met nothing of ours.
    """
    bar = progress.add_task("searchable", total=len(versions))
    deadline = time.monotonic() + timeout_s
    after, met = None, False
    while True:
        page = api.items(state="pending", limit=WAIT_PAGE, after=after)
        waiting = [n for n, item in enumerate(page.items) if versions.get(item.id) == item.version]
        if not waiting and page.next is None and not met:
            progress.update(bar, completed=len(versions))
            return True
        if time.monotonic() > deadline:
            return False
        if waiting:
            met = True
            at_least = len(waiting)
            if page.next is not None:
                at_least = api.status().counts.get("pending", at_least)
            progress.update(bar, completed=max(0, len(versions) - at_least))
            if waiting[0] > 0:
                after = page.items[waiting[0] - 1].id
            time.sleep(POLL_S)
        else:
            after = page.next
            met = met and after is not None


def _measure(
    api: FirstlightClient, versions: dict[str, int], summary: Summary, states: Sequence[State]
) -> None:
    """Outcome and event-to-searchable time of the items that were just published."""
    latencies = []
    pending: set[str] = set()
    for state in states:
        after = None
        while True:
            page = api.items(state=state, limit=1000, after=after)
            for item in page.items:
                if versions.get(item.id) != item.version:
                    continue
                if state == "pending":
                    pending.add(item.id)
                    continue
                pending.discard(item.id)  # it was done between the two looks
                if state == "dead":
                    summary.dead += 1
                    summary.problems.append(f"{item.id}: dead: {item.reason}")
                    continue
                summary.indexed += 1
                if item.latency_s is not None:
                    latencies.append(item.latency_s)
                summary.problems += [f"{item.id}: {f.field}: {f.message}" for f in item.failures]
            after = page.next
            if after is None:
                break
    summary.still_pending = len(pending)
    if latencies:
        latencies.sort()
        summary.items_per_s = summary.indexed / summary.seconds
        summary.searchable_median_s = statistics.median(latencies)
        summary.searchable_p95_s = latencies[min(len(latencies) - 1, int(len(latencies) * 0.95))]


def show_summary(summary: Summary) -> None:
    """The summary as two short tables, and the problems."""
    table(
        None,
        ["events", "accepted", "duplicate", "stale", "rejected", "indexed", "dead", "pending"],
        [
            (
                summary.events,
                summary.accepted,
                summary.duplicate,
                summary.stale,
                summary.rejected,
                summary.indexed,
                summary.dead,
                summary.still_pending,
            )
        ],
    )
    if summary.items_per_s is not None:
        console.print(
            f"{summary.items_per_s:.1f} items/s; event to searchable: median"
            f" {summary.searchable_median_s:.2f} s, p95 {summary.searchable_p95_s:.2f} s"
        )
    for problem in summary.problems[:20]:
        errors.print(problem, markup=False)
    if len(summary.problems) > 20:
        errors.print(f"... and {len(summary.problems) - 20} more (--json lists all)")


def publish(
    file: Annotated[Path, typer.Argument(help="One event, or one item, per line (JSONL).")],
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until everything is searchable.")
    ] = True,
    timeout_s: Annotated[float, typer.Option(help="How long to wait, in seconds.")] = 3600.0,
    as_json: AsJson = False,
) -> None:
    """Publish the events of a file; relative media paths are uploaded from beside it."""
    lines = list(read_lines(file))
    with client() as api:
        try:
            summary = publish_lines(
                api, lines, file.parent, wait=wait, timeout_s=timeout_s, show=not as_json
            )
        except FirstlightError:
            errors.print(
                "publishing stopped; events already accepted stay accepted,"
                " and sending the file again is safe for events with a version"
            )
            raise
    if as_json:
        print_json(asdict(summary))
    else:
        show_summary(summary)
    if not summary.clean:
        raise typer.Exit(CODE_DIFFERS)


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(publish)
