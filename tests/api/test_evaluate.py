"""`firstlight evaluate` from the command line, on a made-up folder with vectors of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.cli import app
from domain import settings as settings_module
from domain.errors import RejectedError

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
    assert (Path(answer["report"]).parent / "revealed.png").exists()


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
    ],
)
def test_a_wrong_option_is_refused_with_what_would_do(
    evaluate: Command, options: list[str], reason: str
) -> None:
    done = evaluate(*options)
    assert isinstance(done.exception, RejectedError)
    assert reason in str(done.exception)


def test_without_the_extra_it_names_the_extra(
    evaluate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = evaluate("--methods", "random")
    assert isinstance(done.exception, RejectedError)
    assert "pip install 'firstlight[evaluate]'" in str(done.exception)
