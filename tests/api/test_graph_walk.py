"""A knowledge graph from files to an explained recommendation, as an operator does it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli import app
from tests.fixtures.service import Service
from workers import runtime

FILMS, USERS, DIRECTORS, EACH = 96, 140, 6, 7
NAMES = (
    "Ridley Scott",
    "Agnes Varda",
    "Akira Kurosawa",
    "Jane Campion",
    "Spike Lee",
    "Bong Joon-ho",
)


@pytest.fixture
def installed(make_service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch) -> Service:
    """A service, and the command line beside it with the same settings."""
    service = make_service(ranking={"explore": 0.0})
    monkeypatch.setattr("api.cli.graph.settings", lambda: service.settings)
    monkeypatch.setattr(runtime, "runtime", lambda: service.worker)
    monkeypatch.setattr(runtime, "close", lambda: None)
    return service


def run(*arguments: str) -> str:
    """What `firstlight ...` prints, in one line."""
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    return " ".join(found.output.split())


def write_graph(folder: Path) -> Path:
    """Who directed what and for which studio; films are linked by a file, and have names."""
    folder.mkdir()
    triples = [f"m{n}\tdirected_by\tp{n % DIRECTORS}" for n in range(FILMS)]
    triples += [f"m{n}\tmade_at\ts{n % DIRECTORS}-{n // DIRECTORS % 2}" for n in range(FILMS)]
    names = [f"p{number}\t{name}" for number, name in enumerate(NAMES)]
    names += [f"s{n}-{half}\tStudio {n} {half}" for n in range(DIRECTORS) for half in (0, 1)]
    (folder / "graph.tsv").write_text("\n".join(triples))
    (folder / "names.tsv").write_text("\n".join(names))
    (folder / "links.tsv").write_text("\n".join(f"film-{n}\tm{n}" for n in range(FILMS)))
    return folder


def test_an_imported_graph_is_weighed_by_training_and_tells_its_paths(
    installed: Service, tmp_path: Path
) -> None:
    titles = {f"film-{n}": f"The film of night {n * 37 % FILMS}" for n in range(FILMS)}
    installed.publish(*({"id": one, "title": title} for one, title in titles.items()))
    imported = run("graph", "import", str(write_graph(tmp_path / "graph")))
    assert "the next `firstlight train` weighs it" in imported

    chance = random.Random(2)
    take(
        installed,
        *(
            (f"u{user}", f"film-{n}")
            for user in range(USERS)
            for n in chance.sample(range(user % DIRECTORS, FILMS, DIRECTORS), EACH)
        ),
    )
    told = run("train")
    assert "graph: NDCG@20 0." in told
    assert "permuted among items of like degree 0." in told
    assert re.search(r"beta = (0\.[1-9]|1\.2)", told)

    take(installed, ("ada", "film-0"), ("ada", "film-6"))
    found = installed.recommend(user="ada", explain=True, limit=10)["results"]
    assert all(int(one["id"].removeprefix("film-")) % DIRECTORS == 0 for one in found)
    for one in found:
        assert one["parts"]["graph"] > 0
        assert sum(one["parts"].values()) == one["score"]
        sources = one["explanation"]["sources"]
        assert sum(row["score"] for row in sources) == one["score"]
        (row,) = [row for row in sources if row["source"] == "graph"]
        assert row["score"] == one["parts"]["graph"]
        assert one["title"] == titles[one["id"]]
        assert set(one["explanation"]["paths"]) & {
            f"because you liked {titles[liked]}: directed by Ridley Scott"
            for liked in ("film-0", "film-6")
        }


def take(service: Service, *pairs: tuple[str, str]) -> None:
    """Record who took what through the API."""
    body = [{"user": user, "item": item} for user, item in pairs]
    answer = service.client.post("/v1/interactions", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["accepted"] == len(pairs)
