"""`firstlight train` on the command line."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from api.cli import app
from domain.errors import RejectedError
from tests.fixtures.shop import open_shop
from workers import runtime
from workers.training import train

if TYPE_CHECKING:
    from tests.fixtures.shop import Shop

ITEMS = [f"i{number:02}" for number in range(40)]


@pytest.fixture
def file(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shop that the command works on, and a file of interactions."""
    shop.publish(*ITEMS)
    pairs = itertools.islice(itertools.product(range(12), range(0, 40, 5)), 90)
    lines = ["user,item", *(f"u{user},i{(user + item) % 40:02}" for user, item in pairs)]
    path = tmp_path / "interactions.csv"
    path.write_text("\n".join([*lines, "u1,nowhere"]))
    monkeypatch.setattr(runtime, "runtime", lambda: shop.held)
    monkeypatch.setattr(runtime, "close", lambda: None)
    return path


def json_of(output: str) -> dict[str, Any]:
    """The JSON after the log lines, which in a process of its own go to stderr."""
    found: dict[str, Any] = json.loads(output[re.search(r"^\{$", output, re.M).start() :])  # type: ignore[union-attr]
    return found


def test_it_says_what_serves_and_what_was_left_out(file: Path) -> None:
    found = CliRunner().invoke(app, ["train", "--from-files", str(file), "--json"])
    assert found.exit_code == 0, found.output
    told = json_of(found.stdout)
    assert told["version"].startswith("h-")
    assert (told["whole"], told["users"], told["items"]) == (True, 12, 40)
    assert told["left_out"] == {"unknown_items": 1}
    shown = CliRunner().invoke(app, ["train", "--from-files", str(file)])
    assert "serves: learned anew; 90 interactions of 12 users" in " ".join(shown.output.split())
    assert "1 unknown items" in shown.output
    which = told["report"]["projection"]["options"]["told"]
    assert which.startswith("ridge serves; infonce not tried: 4 items held out and")
    assert f"A: {which}" in " ".join(shown.output.split())


def test_it_says_by_what_the_options_lost_or_won(file: Path, shop: Shop) -> None:
    ids = [f"j{number:03}" for number in range(220)]
    shop.publish(*ids)
    pairs = itertools.product(range(100), range(0, 220, 18))
    lines = [f"u{user},{ids[(7 * user + item) % 220]}" for user, item in pairs]
    file.write_text("\n".join(["user,item", *lines]))
    shown = CliRunner().invoke(app, ["train", "--from-files", str(file)])
    assert shown.exit_code == 0, shown.output
    assert re.search(
        r"A: \S+ serves; NDCG@20 on [25] times a tenth of the items: ridge \d\.\d{4};"
        r" infonce (\d\.\d{4} \([+-]|out after 2 splits \([+-]).+\);"
        r" ease-distillation (\d\.\d{4} \(|out after 2 splits \()",
        " ".join(shown.output.split()),
    )


def test_an_a_that_was_trained_before_may_be_the_prior(file: Path) -> None:
    first = CliRunner().invoke(app, ["train", "--from-files", str(file), "--json"])
    version = json_of(first.stdout)["version"]
    again = CliRunner().invoke(
        app, ["train", "--from-files", str(file), "--prior", version, "--json"]
    )
    assert again.exit_code == 0, again.output
    assert json_of(again.stdout)["version"] != version
    told = json_of(again.stdout)["report"]["prior"]
    assert told["own"]
    assert told["explained"] == pytest.approx(1.0, abs=0.01)
    with pytest.raises(RejectedError, match="no folder and no version 'h-none'"):
        CliRunner().invoke(
            app, ["train", "--prior", "h-none"], catch_exceptions=False, standalone_mode=False
        )


def test_what_another_shop_learned_is_begun_with_until_own_is_said(
    file: Path, shop: Shop, tmp_path: Path
) -> None:
    other = open_shop(tmp_path / "other", "http://local", "others")
    other.publish(*ITEMS)
    train(other.held, file=file)
    shown = CliRunner().invoke(app, ["train", "--prior", str(tmp_path / "other")])
    assert shown.exit_code == 0, shown.output
    output = " ".join(shown.output.split())
    assert "serves: as it was learned elsewhere; 0 interactions" in output
    assert "translated by 40 items" in output
    again = CliRunner().invoke(app, ["train", "--from-files", str(file), "--json"])
    assert not json_of(again.stdout)["report"]["prior"]["own"]
    own = CliRunner().invoke(app, ["train", "--from-files", str(file), "--prior", "own", "--json"])
    assert "prior" not in json_of(own.stdout)["report"]


def test_both_priors_and_what_they_are_worth_are_printed(
    file: Path, shop: Shop, tmp_path: Path
) -> None:
    other = open_shop(tmp_path / "other", "http://local", "others")
    other.publish(*ITEMS)
    train(other.held, file=file)
    pairs = [(user, ITEMS[(user * 7 + step * 3) % 40]) for user in range(30) for step in range(8)]
    shop.took(*((f"u{user}", item) for user, item in pairs))
    shown = CliRunner().invoke(app, ["train", "--prior", str(tmp_path / "other")])
    assert shown.exit_code == 0, shown.output
    found = re.search(
        r"NDCG@20 of new users from transferred (\S+), a0 (\S+): (transferred|a0) is begun with",
        " ".join(shown.output.split()),
    )
    assert found, shown.output
    transferred, own, chosen = found.groups()
    assert float(transferred) > 0
    assert float(own) > 0
    assert chosen == ("transferred" if float(transferred) >= float(own) else "a0")


def test_own_and_what_is_left_to_serve_then_is_said(file: Path, tmp_path: Path) -> None:
    other = open_shop(tmp_path / "other", "http://local", "others")
    other.publish(*ITEMS)
    train(other.held, file=file)
    run = CliRunner().invoke
    assert run(app, ["train", "--prior", str(tmp_path / "other")]).exit_code == 0
    shown = run(app, ["train", "--prior", "own"])
    assert shown.exit_code == 0, shown.output
    assert "serves: the fusion's own prior, as untrained; 0 inter" in " ".join(shown.output.split())


def test_lines_that_could_not_be_read_are_shown(file: Path) -> None:
    file.write_text(file.read_text() + "\nu1,\n")
    shown = CliRunner().invoke(app, ["train", "--from-files", str(file)])
    assert shown.exit_code == 0, shown.output
    assert "1 malformed line 93: user or item is empty" in " ".join(shown.output.split())
