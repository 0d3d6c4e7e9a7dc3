"""Lines, comparisons, the results on disk, and the page."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from domain.errors import RejectedError
from evaluation.methods import Entry, chosen
from evaluation.plan import Outcome, Plan, protocols
from evaluation.report import require_matplotlib, write_report
from evaluation.report.plots import by_method, draw, revealed
from evaluation.results import Run
from evaluation.summary import Summary, System, summarise

METRICS = ("recall@20", "ndcg@20")


def _run(method: str, seed: int, quality: float, question: str = "cold", **more: object) -> Run:
    rng = np.random.default_rng([seed, round(1000 * quality)])
    users = np.arange(30, dtype=np.int32)
    values = {name: np.clip(quality + 0.1 * rng.normal(size=30), 0, 1) for name in METRICS}
    about = {
        "key": f"{method}-{seed}-{more.get('split', '')}-{'+'.join(more.get('features', ()))}",  # type: ignore[arg-type]
        "method": method,
        "features": (),
        "seed": seed,
        "metrics": {question: {name: float(v.mean()) for name, v in values.items()}},
        "users": {question: users},
        "per_user": {question: values},
        "fit_s": 0.5,
        "tuning_s": 2.0,
        "scoring_ms": 0.1,
    }
    return Run(**{**about, **more})  # type: ignore[arg-type]


def _failed(method: str, seed: int, features: tuple[str, ...] = ()) -> Run:
    return _run(
        method, seed, 0.2, features=features, state="failed", reason="out of luck", metrics={},
        users={}, per_user={},
    )  # fmt: skip


@pytest.fixture
def plan() -> Plan:
    asked = protocols()["item-cold"]
    methods: list[Entry] = chosen(["random", "whitened-cosine"])
    return Plan("item-cold", asked.splits, asked.questions, methods, ("text", "image"), (0, 1, 2))


@pytest.fixture
def outcome() -> Outcome:
    runs = [_run("random", seed, 0.2) for seed in (0, 1, 2)]
    for features, quality in ((("text",), 0.4), (("image",), 0.3), (("text", "image"), 0.5)):
        runs += [
            _run("whitened-cosine", seed, quality, features=features, parameters={"l": 3})
            for seed in (0, 1, 2)
        ]
    return Outcome(tuple(runs), ({"seed": 0, "warm_items": 80},))


@pytest.fixture
def summary(outcome: Outcome, plan: Plan) -> Summary:
    return summarise(outcome, plan)


def test_a_line_is_the_mean_over_seeds_with_its_interval(summary: Summary) -> None:
    value = summary.value(System("random", ()), "cold", "ndcg@20")
    means = [_run("random", seed, 0.2).metrics["cold"]["ndcg@20"] for seed in (0, 1, 2)]
    assert value is not None
    assert value.mean == pytest.approx(np.mean(means))
    assert value.low < value.mean < value.high
    assert value.n == 3


def test_whole_systems_are_compared_with_each_other_and_with_their_own_parts(
    summary: Summary,
) -> None:
    pairs = {(one.a.label, one.b.label) for one in summary.versus}
    whole = "whitened-cosine [text+image]"
    assert pairs == {
        ("random", whole),
        (whole, "whitened-cosine [text]"),
        (whole, "whitened-cosine [image]"),
    }
    better = next(one for one in summary.versus if one.a.label == "random")
    assert better.comparison.difference.mean < 0
    assert better.adjusted[0] >= better.comparison.p_seeds


def test_what_failed_or_does_not_apply_is_told_and_not_counted(
    outcome: Outcome, plan: Plan
) -> None:
    failed = _failed("random", 1)
    runs = tuple(failed if r.method == "random" and r.seed == 1 else r for r in outcome.runs)
    summary = summarise(Outcome(runs), plan)
    assert summary.absent == {System("random", ()): "failed (seed 1): out of luck"}
    line = summary.value(System("random", ()), "cold", "ndcg@20")
    assert line is not None
    assert line.n == 2
    assert not [one for one in summary.versus if "random" in (one.a.method, one.b.method)]


def test_a_mean_over_fewer_seeds_says_so(outcome: Outcome, plan: Plan, tmp_path: Path) -> None:
    failed = _failed("random", 1)
    runs = tuple(failed if r.method == "random" and r.seed == 1 else r for r in outcome.runs)
    summary = summarise(Outcome(runs), plan)
    assert {line.system.method: line.note for line in summary.lines} == {
        "random": "2 of 3 seeds", "whitened-cosine": "",
    }  # fmt: skip
    page = write_report(summary, _about(), tmp_path).read_text()
    assert "<td>random <small>(2 of 3 seeds)</small></td>" in page
    results = json.loads((tmp_path / "results.json").read_text())["results"]
    assert {one["method"]: one["failed_seeds"] for one in results} == {
        "random": 1, "whitened-cosine": 0,
    }  # fmt: skip


def test_where_every_method_failed_the_page_says_why(
    outcome: Outcome, plan: Plan, tmp_path: Path
) -> None:
    runs = tuple(_failed(run.method, run.seed, run.features) for run in outcome.runs)
    page = write_report(summarise(Outcome(runs), plan), _about(), tmp_path).read_text()
    assert "failed (seed 0): out of luck" in page
    assert "<img" not in page
    some = tuple(run for run in runs if run.features) + outcome.runs[:3]
    page = write_report(summarise(Outcome(some), plan), _about(), tmp_path).read_text()
    assert "quality-0.png" in page


def test_methods_that_are_skipped_are_named_with_what_they_need(plan: Plan) -> None:
    plan = replace(plan, methods=chosen(["random", "whitened-cosine", "bilinear-graph"]))
    runs = (_run("random", 0, 0.2),)
    summary = summarise(Outcome(runs), plan)
    assert summary.absent == {System("bilinear-graph", ()): "needs --features graph"}
    summary = summarise(Outcome(runs), replace(plan, features=()))
    assert set(summary.absent) == {
        System("whitened-cosine", ()), System("bilinear-graph", ()),
    }  # fmt: skip


def test_what_was_not_encoded_is_counted_and_the_first_are_named(
    summary: Summary, tmp_path: Path
) -> None:
    failures = [f"item {n}: media.images[0]: <no picture>" for n in range(7)]
    page = write_report(summary, _about(not_encoded=failures), tmp_path).read_text()
    assert (
        "7 pictures, clips or texts could not be encoded: item 0: media.images[0]: &lt;no" in page
    )
    assert "item 4:" in page
    assert "item 5:" not in page
    assert "the others in results.json" in page


def _about(**more: object) -> dict[str, object]:
    data = {"name": "a <b> & c", "users": 3, "items": 4, "interactions": 5, "notes": ["1 < 2"]}
    return {
        "dataset": data, "protocol": "item-cold", "seeds": [0, 1, 2], "features": {"text": "mini"},
        "coverage": {"text": 1.0}, "command": "firstlight evaluate x", "made": "today",
        "firstlight": "0.1", **more,
    }  # fmt: skip


def test_the_report_is_one_page_with_every_plot_beside_it(summary: Summary, tmp_path: Path) -> None:
    page = write_report(summary, _about(), tmp_path / "out").read_text()
    pictures = re.findall(r'<img src="([^"]+)"', page)
    assert {"quality-0.png", "subsets.png", "fit-time.png"} == set(pictures)
    for name in pictures:
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")
    assert "a &lt;b&gt; &amp; c" in page
    assert "1 &lt; 2" in page
    assert not re.search(r"(src|href)=\"(https?:)?//", page)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {one["method"] for one in results["results"]} == {"random", "whitened-cosine"}
    assert results["dataset"]["users"] == 3


def test_one_seed_gives_figures_without_intervals(
    outcome: Outcome, plan: Plan, tmp_path: Path
) -> None:
    one = Outcome(tuple(run for run in outcome.runs if run.seed == 0))
    summary = summarise(one, replace(plan, seeds=(0,)))
    page = write_report(summary, _about(), tmp_path).read_text()
    assert "nan" not in page
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["results"][0]["metrics"]["ndcg@20"]["low"] is None


def test_questions_that_reveal_interactions_are_drawn_as_a_curve(
    plan: Plan, tmp_path: Path
) -> None:
    runs = [_run("random", seed, 0.1 * n, split=f"N={n}") for n in (0, 1, 5) for seed in (0, 1)]
    plan = replace(plan, methods=chosen(["random"]), seeds=(0, 1), protocol="warm-up")
    summary = summarise(Outcome(tuple(runs)), plan)
    assert summary.leading == ("N=0: cold", "N=1: cold", "N=5: cold")
    page = write_report(summary, _about(), tmp_path).read_text()
    pictures = ["revealed.png", "quality-0.png", "quality-1.png", "quality-2.png"]
    assert re.findall(r'<img src="([^"]+)"', page)[:4] == pictures
    for name in pictures:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_questions_stand_in_the_order_of_the_splits_whoever_answers_them(plan: Plan) -> None:
    answers = [("ease", 1), ("random", 0), ("random", 1)]
    runs = sorted(
        (_run(name, 0, 0.2, split=f"N={n}") for name, n in answers), key=lambda run: run.split
    )
    plan = replace(plan, methods=[*chosen(["ease"]), *chosen(["random"])], protocol="warm-up")
    assert summarise(Outcome(tuple(runs)), plan).leading == ("N=0: cold", "N=1: cold")


@pytest.fixture
def with_graph(plan: Plan) -> Summary:
    """hybrid, and bilinear-graph with its permuted control, which is better than hybrid."""
    qualities = {
        ("ease", ()): 0.2,
        ("hybrid", ("text",)): 0.3,
        ("bilinear-graph", ("text", "permuted-graph")): 0.4,
        ("bilinear-graph", ("text", "graph")): 0.5,
    }
    runs = [
        _run(method, seed, quality, features=features)
        for (method, features), quality in qualities.items()
        for seed in (0, 1)
    ]
    methods = chosen(["ease", "hybrid", "bilinear-graph"])
    plan = replace(plan, methods=methods, features=("text", "graph"), seeds=(0, 1))
    return summarise(Outcome(tuple(runs)), plan)


def test_the_permuted_control_is_drawn_right_behind_its_graph(
    with_graph: Summary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, list[str]] = {}

    def save(figure: Figure, path: Path, **_options: object) -> None:
        drawn[path.name] = [label.get_text() for label in figure.axes[0].get_yticklabels()]

    monkeypatch.setattr(Figure, "savefig", save)
    draw(with_graph, tmp_path)
    assert drawn["quality-0.png"] == [
        "bilinear-graph", "bilinear-graph (permuted-graph)", "hybrid", "ease",
    ]  # fmt: skip


def test_a_control_stays_with_its_method_where_another_comes_between(with_graph: Summary) -> None:
    worse = {"bilinear-graph": 0.25, "hybrid": 0.3, "ease": 0.2}
    lines = tuple(
        replace(
            line,
            metrics={
                name: replace(
                    value,
                    mean=0.35 if "permuted-graph" in line.system.features
                    else worse[line.system.method],
                )
                for name, value in line.metrics.items()
            },
        )
        for line in with_graph.lines
    )  # fmt: skip
    found = by_method(replace(with_graph, lines=lines), "cold")
    assert [value.mean for _, value in found] == [0.3, 0.25, 0.35, 0.2]


def test_hybrid_is_ours_in_comparisons_and_tables(with_graph: Summary, tmp_path: Path) -> None:
    page = write_report(with_graph, _about(), tmp_path).read_text()
    assert "<td>ease − hybrid [text]</td>" in page
    assert "<tr class=ours><td>hybrid [text]</td>" in page


def test_what_a_question_reveals_is_read_from_its_name() -> None:
    assert [revealed(name) for name in ("k=3", "N=10: cold", "cold", "overall")] == [
        3, 10, None, None,
    ]  # fmt: skip


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(RejectedError, match=r"firstlight\[evaluate\]"):
        require_matplotlib()
