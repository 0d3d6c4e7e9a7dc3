"""`firstlight evaluate` from the command line, on a made-up folder with vectors of its own."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from api.cli import app
from api.cli.evaluate import _show
from domain import settings as settings_module
from domain.errors import RejectedError
from evaluation.methods import chosen
from evaluation.plan import Outcome, Plan, protocols
from evaluation.results import Run
from evaluation.summary import summarise

QUICK = "random,popularity,raw-cosine,whitened-cosine,als-ridge,ease"

Command = Callable[..., Result]


@pytest.fixture
def evaluate(planted_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs the command with a report folder and a data directory of the test's own."""
    monkeypatch.setenv("FIRSTLIGHT_DATA_DIR", str(tmp_path / "data"))
    settings_module.settings.cache_clear()

    def run(*options: str, folder: Path = planted_folder) -> Result:
        words = ["evaluate", str(folder), "--out", str(tmp_path / "report"), *options]
        return CliRunner().invoke(app, words)

    return run


def test_it_compares_methods_and_writes_a_report(evaluate: Command, tmp_path: Path) -> None:
    done = evaluate("--methods", QUICK, "--features", "text,attributes,image", "--seeds", "2")
    assert done.exit_code == 0, done.output
    assert "whitened-cosine" in done.stdout
    assert str(tmp_path / "report" / "report.html") in done.stdout.replace("\n", "")
    results = json.loads((tmp_path / "report" / "results.json").read_text())
    found = {
        (one["method"], "+".join(one["features"])): one["metrics"]["ndcg@20"]["mean"]
        for one in results["results"]
        if one["question"] == "cold"
    }
    assert found["whitened-cosine", "text"] > found["whitened-cosine", "image"]
    assert found["whitened-cosine", "text+attributes+image"] > found["random", ""] + 0.05
    assert found["als-ridge", "text+attributes+image"] > found["random", ""] + 0.05
    assert ("popularity", "") not in found
    again = evaluate(
        "--methods", QUICK, "--features", "text,attributes,image", "--seeds", "2", "--json"
    )
    assert again.exit_code == 0, again.output
    repeated = json.loads(again.stdout)
    assert repeated["results"] == results["results"]
    assert repeated["costs"] == results["costs"]
    assert repeated["report"].endswith("report.html")


def test_new_users_are_asked_about_at_every_number_of_known_items(evaluate: Command) -> None:
    done = evaluate(
        "--protocol", "user-cold", "--methods", "random,popularity,ease", "--seeds", "1", "--json"
    )
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["leading"] == ["k=0", "k=1", "k=3", "k=5"]
    for name in ("revealed.png", *(f"quality-{at}.png" for at in range(4))):
        assert (Path(answer["report"]).parent / name).exists()


def test_a_protocol_that_draws_nothing_is_one_split_without_an_interval(
    evaluate: Command, tmp_path: Path
) -> None:
    options = ("--protocol", "temporal", "--methods", "popularity,ease", "--seeds", "3")
    done = evaluate(*options)
    assert done.exit_code == 0, done.output
    assert "temporal has one split: no interval over seeds" in done.stdout
    assert "temporal has one split" in (tmp_path / "report" / "report.html").read_text()
    answer = json.loads(evaluate(*options, "--json").stdout)
    assert answer["seeds"] == [0]
    assert answer["notes"] == ["temporal has one split: no interval over seeds"]
    assert {one["metrics"]["ndcg@20"]["low"] for one in answer["results"]} == {None}
    (versus,) = answer["comparisons"]
    assert versus["p_seeds"] is None
    assert versus["p_seeds_holm"] is None
    assert 0 < versus["p_users"] < 1
    assert 0 < versus["p_wilcoxon"] < 1
    assert versus["wins"] + versus["losses"] <= versus["users"] <= 150


def test_figures_stay_whole_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = protocols()["item-cold"]
    features = ("text", "attributes", "graph")
    methods = chosen(["whitened-cosine", "bilinear-graph"])
    plan = Plan("item-cold", asked.splits, asked.questions, methods, features, (0, 1))
    qualities = {0: 0.9718, 1: 0.9618}
    runs = [
        Run(
            "key", entry.name, part, seed, fit_s=1234.5,
            metrics={"cold": dict.fromkeys(("recall@20", "ndcg@20"), quality)},
        )
        for entry, part in plan.steps()
        for seed, quality in qualities.items()
    ]  # fmt: skip
    written = io.StringIO()
    monkeypatch.setattr(
        "api.cli.evaluate.console", Console(file=written, width=80, highlight=False)
    )
    _show(summarise(Outcome(tuple(runs)), plan))
    text = written.getvalue()
    assert text.count(".9668 ±.0635  .9668 ±.0635  1234.50") == len(plan.steps())
    assert "…" not in text
    assert "permuted-graph" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_method_that_fails_is_told_and_the_exit_code_is_1(
    evaluate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "class Mine:\n    'My own.'\n    name = 'mine'\n    content = False\n"
        "    def fit(self, task): raise MemoryError('too large')\n"
        "    def scores(self, users, history): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    done = evaluate("--methods", "random,mine:Mine", "--seeds", "1")
    assert done.exit_code == 1
    assert "failed: mine (seed 0): MemoryError: too large" in done.stderr
    results = json.loads((tmp_path / "report" / "results.json").read_text())
    assert {one["method"] for one in results["results"]} == {"random"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--protocol", "leave-one-out"], "choose from item-cold"),
        (["--methods", "svd"], "choose from random"),
        (["--methods", ","], "no method is named"),
        (["--features", "smell"], "has no 'smell' vectors"),
        (["--methods", "all,svd"], "there is no method 'svd'"),
        (
            ["--features", "", "--methods", "bilinear"],
            "nothing would be run: bilinear reads features of items, and this run has none",
        ),
        (["--methods", "bilinear-graph"], "bilinear-graph needs --features graph"),
        (["--features", "graph", "--methods", "whitened-cosine"], "give --features that these"),
    ],
)
def test_a_wrong_option_is_refused_with_what_would_do(
    evaluate: Command, options: list[str], reason: str
) -> None:
    done = evaluate(*options)
    assert isinstance(done.exception, RejectedError)
    assert reason in str(done.exception)


def test_a_report_folder_that_cannot_be_made_is_refused_before_anything_is_embedded(
    evaluate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.cli.evaluate._embedded", lambda *_: pytest.fail("it was embedded"))
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        done = evaluate("--methods", "random", "--out", str(out))
        assert isinstance(done.exception, RejectedError)
        assert done.exception.field == "--out"
        assert "name a folder" in done.exception.remedy


def test_a_skipped_method_and_what_was_left_out_are_told(
    evaluate: Command, planted_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(planted_folder, folder)
    with (folder / "interactions.csv").open("a") as file:
        file.write("u0,nothing,1,1000\nu0,i1,-1,1000\n")
    options = ("--methods", "random,bilinear-graph", "--features", "text", "--seeds", "1")
    done = evaluate(*options, folder=folder)
    assert done.exit_code == 0, done.output
    told = " ".join(done.stdout.split())
    assert "no result: bilinear-graph: needs --features graph" in told
    assert (
        "data: interactions.csv: 1 rows dropped: the item is not among the items; 1 more in the"
        " report"
    ) in told


def test_where_every_method_failed_the_reason_is_told(
    evaluate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing.py").write_text(
        "class Failing:\n    name = 'failing'\n"
        "    def fit(self, task): raise MemoryError('too large')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    done = evaluate("--methods", "failing:Failing", "--features", "text,image", "--seeds", "1")
    assert done.exit_code == 1
    assert "failed: failing (seed 0): MemoryError: too large" in done.stderr
    assert "MemoryError: too large" in (tmp_path / "report" / "report.html").read_text()


def test_without_the_extra_it_names_the_extra(
    evaluate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = evaluate("--methods", "random")
    assert isinstance(done.exception, RejectedError)
    assert "pip install 'firstlight[evaluate]'" in str(done.exception)
