"""results.json, the plots, and one HTML page that shows them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from evaluation.report.plots import OUR_METHODS, Plot, draw
from evaluation.results import write_json
from evaluation.significance import Interval
from evaluation.summary import Line, Summary, System, Versus
from evaluation.tuning import METRIC

RESULTS, PAGE = "results.json", "report.html"
EXAMPLES = 5
"""How many of what could not be encoded the page names; results.json has all."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
  color: #1c2733; background: #fff }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block;
  overflow-x: auto }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #e3e8ee;
  white-space: nowrap }
th:first-child, td:first-child { text-align: left }
tr.ours td { background: #eef5fb } td.best { font-weight: 700 }
small, .note { color: #5b6b7b } img { max-width: 100%; height: auto }
code { background: #f2f4f7; padding: .1rem .3rem }
"""


def write_report(summary: Summary, about: Mapping[str, Any], folder: Path) -> Path:
    """Write results.json, the PNG files and report.html; the page.

    Args:
        about: what was evaluated and how: dataset, protocol, seeds, features, command ...

    Raises:
        RejectedError: matplotlib is not installed; results.json is written all the same.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RESULTS, {**about, **summary.plain()})
    plots = draw(summary, folder)
    page = folder / PAGE
    page.write_text(_page(summary, about, plots), encoding="utf-8")
    return page


def _page(summary: Summary, about: Mapping[str, Any], plots: Sequence[Plot]) -> str:
    data = about["dataset"]
    title = f"{data['name']}: {about['protocol']}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        _about(about),
        *(_table(summary, question) for question in summary.leading),
        *(
            f'<h2>{escape(plot.title)}</h2><img src="{escape(plot.file)}"'
            f' alt="{escape(plot.title)}">'
            for plot in plots
        ),
        _comparisons(summary.versus),
        _costs(summary),
        _chosen(summary),
        _absent(summary),
        *(
            _table(summary, question)
            for question in summary.questions
            if question not in summary.leading
        ),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        + "\n".join(part for part in parts if part)
        + "</body></html>\n"
    )


def _about(about: Mapping[str, Any]) -> str:
    data = about["dataset"]
    rows = [
        ("data", f"{data['users']} users, {data['items']} items, {data['interactions']} pairs"),
        ("protocol", about["protocol"]),
        ("seeds", ", ".join(map(str, about["seeds"]))),
        ("features", "; ".join(f"{k}: {v}" for k, v in about["features"].items()) or "none"),
        ("share that has each", ", ".join(f"{k} {v:.1%}" for k, v in about["coverage"].items())),
        ("command", about["command"]),
        ("made", f"{about['made']} by firstlight {about['firstlight']}"),
    ]
    body = "".join(
        f"<tr><td>{escape(name)}</td><td style='text-align:left;white-space:normal'>"
        f"{escape(str(value))}</td></tr>"
        for name, value in rows
        if value
    )
    noted = [*about.get("notes", []), *data.get("notes", []), *_not_encoded(about)]
    notes = "".join(f"<li>{escape(str(note))}</li>" for note in noted)
    return (
        f"<table>{body}</table>"
        "<p class=note>Full ranking of all candidates; a figure is the mean over users, then over"
        " seeds, with Student's 95 % interval over seeds. All methods were given the same"
        " vectors and splits.</p>" + (f"<ul class=note>{notes}</ul>" if notes else "")
    )


def _not_encoded(about: Mapping[str, Any]) -> list[str]:
    failures = list(about.get("not_encoded", []))
    if not failures:
        return []
    named = "; ".join(map(str, failures[:EXAMPLES]))
    more = f"; the others in {RESULTS}" if len(failures) > EXAMPLES else ""
    return [f"{len(failures)} pictures, clips or texts could not be encoded: {named}{more}"]


def _table(summary: Summary, question: str) -> str:
    lines = [line for line in summary.lines if line.question == question]
    if not lines:
        return ""
    metrics = list(dict.fromkeys(metric for line in lines for metric in line.metrics))
    best = {
        m: _best(m, [line.metrics[m].mean for line in lines if m in line.metrics]) for m in metrics
    }
    lines.sort(key=lambda line: -_mean(line.metrics.get(METRIC)))
    head = "".join(f"<th>{escape(metric)}</th>" for metric in metrics)
    body = "".join(
        f"<tr{_ours(line.system)}><td>{escape(line.system.label)}{_note(line)}</td>"
        + "".join(_cell(line.metrics.get(metric), best[metric]) for metric in metrics)
        + "</tr>"
        for line in lines
    )
    return f"<h2>{escape(question)}</h2><table><tr><th>method</th>{head}</tr>{body}</table>"


def _note(line: Line) -> str:
    return f" <small>({escape(line.note)})</small>" if line.note else ""


def _best(metric: str, values: Sequence[float]) -> float:
    """The value to print bold; of figures that describe lists, none is better than another."""
    judged = metric.partition("@")[0] in ("recall", "ndcg", "precision", "mrr")
    return max(values) if judged and values else math.nan


def _mean(value: Interval | None) -> float:
    return -math.inf if value is None else value.mean


def _ours(system: System) -> str:
    return " class=ours" if system.method in OUR_METHODS else ""


def _cell(value: Interval | None, best: float) -> str:
    if value is None:
        return "<td>–</td>"
    half = "" if math.isnan(value.low) else f" <small>± {value.high - value.mean:.4f}</small>"
    return f"<td{' class=best' if value.mean == best else ''}>{value.mean:.4f}{half}</td>"


def _rows(heads: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _comparisons(versus: Sequence[Versus]) -> str:
    """Those that concern our methods, or all where none of ours took part."""
    shown = [v for v in versus if {v.a.method, v.b.method} & set(OUR_METHODS)] or list(versus)
    if not shown:
        return ""
    rows = []
    for one in shown:
        difference = one.comparison.difference
        low = (
            "" if math.isnan(difference.low) else f"{difference.low:+.4f} to {difference.high:+.4f}"
        )
        rows.append(
            (
                f"{one.a.label} − {one.b.label}",
                one.question,
                f"{difference.mean:+.4f}",
                low,
                f"{one.comparison.relative:+.1%}",
                _p(one.adjusted[0]),
                _p(one.adjusted[1]),
                f"{one.comparison.wins} : {one.comparison.losses}",
            )
        )
    heads = (
        "difference",
        "question",
        METRIC,
        "interval",
        "relative",
        "p, seeds",
        "p, users",
        "users",
    )
    return (
        "<h2>Paired comparisons</h2><p class=note>p of paired t-tests over seeds and over users,"
        " adjusted by Holm's method over all comparisons of the question; results.json has all"
        " pairs and the signed-rank test.</p>" + _rows(heads, rows)
    )


def _p(value: float) -> str:
    if math.isnan(value):
        return "–"
    return "< .001" if value < 0.001 else f"{value:.3f}"


def _costs(summary: Summary) -> str:
    rows = [
        (one.label, f"{cost.fit_s:.2f}", f"{cost.tuning_s:.1f}", f"{cost.scoring_ms:.3f}")
        for one, cost in summary.costs.items()
    ]
    heads = ("method", "one fit, s", "with tuning, s", "ranking a user, ms")
    return f"<h2>Cost</h2>{_rows(heads, rows)}" if rows else ""


def _chosen(summary: Summary) -> str:
    rows = [
        (
            one.label,
            "; ".join(", ".join(f"{k} {v}" for k, v in point.items()) for point in by_seed),
        )
        for one, by_seed in summary.parameters.items()
    ]
    heads = ("method", "by seed")
    return f"<h2>Hyper-parameters chosen on validation</h2>{_rows(heads, rows)}" if rows else ""


def _absent(summary: Summary) -> str:
    rows = [(one.label, reason) for one, reason in summary.absent.items()]
    return f"<h2>Without a result</h2>{_rows(('method', 'why'), rows)}" if rows else ""
