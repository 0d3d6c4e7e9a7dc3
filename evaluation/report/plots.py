"""Plots of a summary as PNG files, by matplotlib."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import RejectedError
from evaluation.graph_block import PERMUTED
from evaluation.summary import Summary, System
from evaluation.tuning import METRIC

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from evaluation.significance import Interval

OURS, OTHERS, CONTROL = "#1b6ca8", "#9aa5b1", "#d5b98a"
OUR_METHODS = ("bilinear", "hybrid", "bilinear-graph", "hybrid-graph")
DPI = 144


@dataclass(frozen=True)
class Plot:
    """One picture of the report.

    Attributes:
        file: its name in the report's folder.
        title: what it shows.
    """

    file: str
    title: str


def require_matplotlib() -> None:
    """Raise RejectedError naming the extra where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise RejectedError(
            f"the report's plots need matplotlib ({error})",
            remedy="pip install 'firstlight[evaluate]'",
        ) from error


def draw(summary: Summary, folder: Path) -> list[Plot]:
    """Write every plot that the summary has something for.

    Raises:
        RejectedError: matplotlib is not installed.
    """
    require_matplotlib()
    plots: list[Plot] = []
    curve = [one for one in summary.leading if revealed(one) is not None]
    if len(curve) > 1:
        plots.append(_revealed(summary, curve, folder))
    for at, question in enumerate(summary.leading):
        plots.append(_quality(summary, question, folder, f"quality-{at}.png"))
    if summary.leading and len(summary.whole) < len(summary.systems):
        plots.append(_subsets(summary, summary.leading[0], folder))
    if summary.costs:
        plots.append(_fit_time(summary, folder))
    return plots


def revealed(question: str) -> int | None:
    """How many interactions a question reveals: 3 of "k=3" and of "N=3: cold"."""
    found = re.match(r"[kN]=(\d+)\b", question)
    return int(found.group(1)) if found else None


def by_method(summary: Summary, question: str) -> list[tuple[System, Interval]]:
    """Every method on all that it reads, best first, a graph's permuted control right behind it."""
    found = [(one, summary.value(one, question, METRIC)) for one in _with_controls(summary)]
    known = [(one, value) for one, value in found if value is not None]
    best: dict[str, float] = {}
    for one, value in known:  # a control comes after its method, and stands where that stands
        best.setdefault(one.method, value.mean)
    return sorted(known, key=lambda pair: -best[pair[0].method])


def _with_controls(summary: Summary) -> list[System]:
    controls = [one for one in summary.systems if is_control(one)]
    return [
        one
        for whole in summary.whole
        for one in (whole, *(each for each in controls if each.method == whole.method))
    ]


def is_control(system: System) -> bool:
    """Whether it was given the permuted graph."""
    return PERMUTED in system.features


def name_of(system: System) -> str:
    """The method, and that it is a control."""
    return f"{system.method} ({PERMUTED})" if is_control(system) else system.method


def _noted(summary: Summary, system: System, question: str, label: str) -> str:
    """The label, and on how many seeds the system has a result where it failed on others."""
    line = summary.line(system, question)
    return f"{label} ({line.note})" if line is not None and line.note else label


def _colour(system: System) -> str:
    if is_control(system):
        return CONTROL
    return OURS if system.method in OUR_METHODS else OTHERS


def _half(value: Interval) -> float:
    return 0.0 if math.isnan(value.low) else value.high - value.mean


def _bars(
    axes: Axes, labels: Sequence[str], values: Sequence[float], systems: Sequence[System]
) -> None:
    axes.barh(range(len(labels)), values, color=[_colour(one) for one in systems])
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)


def _intervals(
    axes: Axes, labels: Sequence[str], found: Sequence[tuple[System, Interval]]
) -> tuple[list[float], list[float]]:
    """Bars of means with their intervals; the means, and half of each interval."""
    values = [value.mean for _, value in found]
    halves = [_half(value) for _, value in found]
    _bars(axes, labels, values, [one for one, _ in found])
    axes.errorbar(values, range(len(found)), xerr=halves, fmt="none", ecolor="#222", capsize=3)
    return values, halves


def _quality(summary: Summary, question: str, folder: Path, file: str) -> Plot:
    found = by_method(summary, question)

    def paint(axes: Axes) -> None:
        labels = [_noted(summary, one, question, name_of(one)) for one, _ in found]
        values, halves = _intervals(axes, labels, found)
        for place, (value, half) in enumerate(zip(values, halves, strict=True)):
            axes.annotate(
                f"{value:.3f}",
                (value + half, place),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        axes.set_xlabel(METRIC)
        axes.margins(x=0.12)
        axes.set_xlim(left=0)

    title = f"{METRIC} by method, {question}"
    return _picture(folder, file, title, paint, rows=len(found))


def _revealed(summary: Summary, curve: Sequence[str], folder: Path) -> Plot:
    def paint(axes: Axes) -> None:
        for one in _with_controls(summary):
            points = [
                (n, value)
                for question in curve
                if (n := revealed(question)) is not None
                and (value := summary.value(one, question, METRIC)) is not None
            ]
            if not points:
                continue
            ours = one.method in OUR_METHODS and not is_control(one)
            axes.errorbar(
                [n for n, _ in points],
                [value.mean for _, value in points],
                yerr=[_half(value) for _, value in points],
                label=name_of(one),
                marker="o",
                linestyle="--" if is_control(one) else "-",
                capsize=2,
                linewidth=2.4 if ours else 1.2,
                zorder=3 if ours else 2,
            )
        axes.set_xticks([n for question in curve if (n := revealed(question)) is not None])
        axes.set_xlabel("interactions revealed")
        axes.set_ylabel(METRIC)
        axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        axes.spines[["top", "right"]].set_visible(False)

    title = f"{METRIC} against interactions revealed"
    return _picture(folder, "revealed.png", title, paint, rows=12)


def _subsets(summary: Summary, question: str, folder: Path) -> Plot:
    ablated = {one.method for one in summary.systems if one not in summary.whole}
    found = [
        (one, value)
        for one in summary.systems
        if one.method in ablated and (value := summary.value(one, question, METRIC)) is not None
    ]

    def paint(axes: Axes) -> None:
        labels = [_noted(summary, one, question, one.label) for one, _ in found]
        _intervals(axes, labels, found)
        axes.set_xlabel(METRIC)

    title = f"{METRIC} per modality subset, {question}"
    return _picture(folder, "subsets.png", title, paint, rows=len(found))


def _fit_time(summary: Summary, folder: Path) -> Plot:
    found = [(one, summary.costs[one]) for one in summary.whole if one in summary.costs]
    found.sort(key=lambda pair: pair[1].fit_s)

    def paint(axes: Axes) -> None:
        _bars(
            axes,
            [one.method for one, _ in found],
            [max(cost.fit_s, 1e-4) for _, cost in found],
            [one for one, _ in found],
        )
        axes.set_xscale("log")
        axes.set_xlabel("seconds of one fit (log)")

    return _picture(folder, "fit-time.png", "Time of one fit", paint, rows=len(found))


def _picture(
    folder: Path, file: str, title: str, paint: Callable[[Axes], None], *, rows: int
) -> Plot:
    # not pyplot: no window system is asked for, and no global figure is left behind
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.4 + 0.32 * max(rows, 3)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11)
    paint(axes)
    figure.savefig(folder / file, dpi=DPI)
    return Plot(file, title)
