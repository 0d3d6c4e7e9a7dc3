"""`firstlight evaluate`: methods side by side on a data set, judged by one protocol."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from api.cli.output import CODE_DIFFERS, AsJson, console, errors, print_json
from domain.errors import RejectedError
from domain.settings import settings

if TYPE_CHECKING:
    from evaluation.dataset import Dataset
    from evaluation.features import Features
    from evaluation.plan import Outcome, Plan
    from evaluation.results import Run
    from evaluation.significance import Interval
    from evaluation.summary import Summary

METRIC = "ndcg@20"
SHOWN = ("recall@20", "ndcg@20")
"""Metrics of the table on the terminal; the report has all."""

ONE_SPLIT = "one split: no interval over seeds"


def evaluate(
    dataset: Annotated[Path, typer.Argument(help="Folder of the data; see docs/evaluation.md.")],
    protocol: Annotated[
        str | None,
        typer.Option(
            help="item-cold, warm-cold, user-cold, user-cold-without-profile, temporal, warm-up"
            " or given. Default: given where the data brings a split, else item-cold."
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: text, attributes, image, audio, graph, or names of vectors that"
            " come with the data. Default: all that the items have."
        ),
    ] = None,
    methods: Annotated[
        str, typer.Option(help="Comma-separated names, MODULE:CLASS for your own, or all.")
    ] = "all",
    seeds: Annotated[
        int, typer.Option(min=1, help="How many splits, from seed 0; temporal and given have one.")
    ] = 5,
    ablation: Annotated[
        bool, typer.Option(help="Also run our methods on each modality and on each prefix.")
    ] = True,
    jobs: Annotated[
        int,
        typer.Option(
            min=1,
            help="Processes that share the cores; each holds the data for itself (MovieLens 1M: up"
            " to 3 GB).",
        ),
    ] = 1,
    out: Annotated[
        Path, typer.Option(help="Folder of the report, and of the results kept for the next run.")
    ] = Path("evaluation-report"),
    as_json: AsJson = False,
) -> None:
    """Compare methods on identical features and splits; write a report.

    A second run with the same folder goes on where the first ended. Exit code 1 when a method
    failed; the others have their results.
    """
    from evaluation.datasets import open_dataset
    from evaluation.features import available
    from evaluation.report import require_matplotlib, write_report
    from evaluation.splits import UNDRAWN
    from evaluation.summary import summarise

    require_matplotlib()
    with _quiet_status(f"reading {dataset}"):
        data = open_dataset(dataset)
    wanted = _names(features) if features is not None else available(data)
    plan = _plan(data, protocol, wanted, _names(methods), seeds, ablation)
    _make_folder(out)
    with _progress() as shown:
        embedded = _embedded(data, wanted, shown)
        outcome = _carried_out(data, embedded, plan, out, shown, jobs)
    summary = summarise(outcome, plan)
    notes = [f"{plan.protocol} has {ONE_SPLIT}"] if plan.protocol in UNDRAWN else []
    about = {**_about(data, embedded, plan, outcome), "notes": notes}
    page = write_report(summary, about, out)
    if as_json:
        print_json({**about, **summary.plain(), "report": str(page)})
    else:
        _show(summary)
        for note in (*notes, *_left_out(data, embedded)):
            console.print(note, markup=False)
        console.print(f"report: {page}", markup=False)
    for run in outcome.failed:
        errors.print(f"failed: {run.method} (seed {run.seed}): {run.reason}", markup=False)
    if outcome.failed:
        raise typer.Exit(CODE_DIFFERS)


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _plan(
    data: Dataset,
    protocol: str | None,
    features: tuple[str, ...],
    methods: tuple[str, ...],
    seeds: int,
    ablation: bool,
) -> Plan:
    from evaluation.methods import chosen
    from evaluation.plan import Plan, protocols
    from evaluation.splits import default_protocol

    known = protocols()
    name = protocol or default_protocol(data)
    if name not in known:
        raise RejectedError(
            f"there is no protocol {name!r}",
            field="--protocol",
            remedy=f"choose from {', '.join(known)}",
        )
    if not methods:
        raise RejectedError("no method is named", field="--methods", remedy="say all, or name some")
    plan = Plan(
        protocol=name,
        splits=known[name].splits,
        questions=known[name].questions,
        methods=chosen(methods),
        features=features,
        seeds=known[name].seeds(seeds),
        ablation=ablation,
    )
    if not plan.steps():
        reasons = "; ".join(f"{method} {why}" for method, why in plan.skipped().items())
        raise RejectedError(
            f"nothing would be run: {reasons}",
            field="--methods",
            remedy="name other methods, or give --features that these read",
        )
    return plan


def _make_folder(out: Path) -> None:
    """The folder of the report, before anything is computed that could not be kept there."""
    kept = out / "runs"
    try:
        kept.mkdir(parents=True, exist_ok=True)
        if not os.access(out, os.W_OK) or not os.access(kept, os.W_OK):
            raise PermissionError(None, "it may not be written to")
    except OSError as error:
        raise RejectedError(
            f"{out} cannot be used ({error.strerror})",
            field="--out",
            remedy="name a folder that can be made and written to",
        ) from error


@contextmanager
def _quiet_status(text: str) -> Iterator[None]:
    with errors.status(text):
        yield


@contextmanager
def _progress() -> Iterator[Progress]:
    """Bars on standard error, so that --json alone is on standard output."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=errors) as shown:
        yield shown


def _embedded(data: Dataset, wanted: tuple[str, ...], shown: Progress) -> Features:
    from evaluation.features import embed

    bars: dict[str, Any] = {}

    def progress(what: str, done: int, total: int) -> None:
        if what not in bars:
            bars[what] = shown.add_task(what, total=total)
        shown.update(bars[what], completed=done, total=total)

    return embed(data, settings(), wanted, progress=progress)


class _Watch:
    """Moves the bar, and prints each failure when it happens."""

    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self._bar = shown.add_task("methods", total=0)
        self._total = 0
        self.kept = 0

    def begin(self, steps: int) -> None:
        self._total += steps
        self._shown.update(self._bar, total=self._total)

    def step(self, what: str) -> None:
        self._shown.update(self._bar, description=what)

    def done(self, run: Run, kept: bool) -> None:
        self._shown.advance(self._bar)
        self.kept += kept
        if run.state == "failed":
            self._shown.console.print(f"{run.method}: {run.reason}", style="red", markup=False)


def _carried_out(
    data: Dataset, features: Features, plan: Plan, out: Path, shown: Progress, jobs: int
) -> Outcome:
    from evaluation.parallel import run_in_parallel
    from evaluation.run import Evaluator

    evaluator = Evaluator(data, features, plan, settings(), out / "runs", _Watch(shown))
    return run_in_parallel(evaluator, jobs) if jobs > 1 else evaluator.run()


def _about(data: Dataset, features: Features, plan: Plan, outcome: Outcome) -> Mapping[str, Any]:
    return {
        "firstlight": version("firstlight"),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["firstlight", *sys.argv[1:]]),
        "dataset": data.summary(),
        "protocol": plan.protocol,
        "seeds": list(plan.seeds),
        "features": {name: features.models.get(name, "made per split") for name in plan.features},
        "coverage": features.coverage(),
        "not_encoded": list(features.failures),
        "splits": list(outcome.facts),
    }


def _left_out(data: Dataset, features: Features) -> Iterator[str]:
    """One line on what of the data was left out or is missing, one on what was not encoded."""
    for what, found in (("data", data.notes), ("not encoded", features.failures)):
        if found:
            more = f"; {len(found) - 1} more in the report" if len(found) > 1 else ""
            yield f"{what}: {found[0]}{more}"


def _show(summary: Summary) -> None:
    """One table per leading question; where it is too wide, names fold and figures stay whole."""
    for question in summary.leading:
        lines = [line for line in summary.lines if line.question == question]
        lines.sort(key=lambda line: -line.metrics[METRIC].mean)
        drawn = Table(title=question, title_justify="left", box=None, pad_edge=False)
        drawn.add_column("method", overflow="fold")
        drawn.add_column("on", overflow="fold")
        figures = [
            (
                *(_short(line.metrics[name]) for name in SHOWN),
                f"{summary.costs[line.system].fit_s:.2f}",
            )
            for line in lines
        ]
        for column in zip((*SHOWN, "fit s"), *figures, strict=True):
            width = max(map(len, column))
            drawn.add_column(column[0], justify="right", no_wrap=True, min_width=width)
        for line, row in zip(lines, figures, strict=True):
            whole = line.system in summary.whole
            drawn.add_row(
                escape(f"{line.system.method} ({line.note})" if line.note else line.system.method),
                "all" if whole and line.system.features else escape(" ".join(line.system.features)),
                *row,
            )
        console.print(drawn)
        console.print()
    for system, reason in summary.absent.items():
        console.print(f"no result: {system.label}: {reason}", markup=False)


def _short(value: Interval) -> str:
    """.2034 ±.0051"""
    half = "" if math.isnan(value.low) else f" ±{value.high - value.mean:.4f}"
    return f"{value.mean:.4f}{half}".replace("0.", ".")


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(evaluate)
