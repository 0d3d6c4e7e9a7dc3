"""A training with a knowledge graph: weighed with its control, kept by updates, or silent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from api.cli import app
from domain.events import InteractionRecorded
from domain.vectors import RANK
from ranking import Hybrid
from workers import runtime
from workers.due import is_due
from workers.forget import forget_user
from workers.graph import import_graph
from workers.learning import Learning
from workers.training import train

if TYPE_CHECKING:
    from tests.fixtures.shop import Shop

ITEMS = [f"i{number:03}" for number in range(120)]
USERS, KINDS, EACH = 150, 6, 7


def took(shop: Shop, *pairs: tuple[str, str]) -> None:
    events = [
        {
            "id": f"{user}-{item}",
            "time": "2026-01-01T00:00:00Z",
            "data": {"user": user, "item": item},
        }
        for user, item in pairs
    ]
    shop.held.catalog.accept([InteractionRecorded.model_validate(event) for event in events])


def write_graph(path: Path, order: Sequence[int]) -> Path:
    """Makers and subjects by kind, of which the items' titles and attributes know nothing.

    Args:
        order: which item has the place of each.
    """
    rows = []
    for place, number in enumerate(order):
        rows.append(f"{ITEMS[number]}\tmade_by\tmaker{place % KINDS}-{place // KINDS % 2}")
        rows.append(f"{ITEMS[number]}\tabout\tsubject{place % KINDS}")
    path.write_text("\n".join(rows))
    return path


@pytest.fixture
def filled(shop: Shop) -> Shop:
    """Every user takes items of one kind."""
    shop.publish(*ITEMS)
    random = np.random.default_rng(4)
    for user in range(USERS):
        own = ITEMS[user % KINDS :: KINDS]
        took(
            shop, *((f"u{user:03}", str(item)) for item in random.choice(own, EACH, replace=False))
        )
    return shop


@pytest.fixture
def knowing(tmp_path: Path) -> Path:
    """A graph that knows the kinds."""
    return write_graph(tmp_path / "knowing.tsv", range(len(ITEMS)))


@pytest.fixture
def random_graph(tmp_path: Path) -> Path:
    """The same edges, of other items."""
    order = np.random.default_rng(9).permutation(len(ITEMS)).tolist()
    return write_graph(tmp_path / "random.tsv", order)


def hybrid_of(shop: Shop) -> Hybrid:
    learning = Learning(shop.settings, shop.held.index)
    active = learning.served()
    assert active is not None
    return learning.hybrids.current(active.fusion, active.space)


def places_of(shop: Shop) -> dict[str, Any]:
    """pi as it is stored with each item."""
    active = Learning(shop.settings, shop.held.index).served()
    assert active is not None
    return {
        item.id: active.space.graph_of(item.vectors[RANK][None])[0]
        for batch in shop.held.index.scroll(active.collection, with_vectors=[RANK])
        for item in batch
    }


def test_a_graph_that_knows_more_than_content_serves_and_its_control_is_told(
    filled: Shop, knowing: Path
) -> None:
    artifact = import_graph(filled.settings, knowing, threshold=1.0)
    report = train(filled.held).report["graph"]
    made = hybrid_of(filled)
    assert made.graph is not None
    assert made.graph.beta == report["beta"] > 0
    assert made.graph_version == report["version"] == artifact.version
    assert made.facts["report"]["graph"] == report
    for control in report["permuted"].values():
        assert report["ndcg_with"] > control["mean"] + 2 * control["deviation"]
    assert report["ndcg_with"] > report["ndcg_without"]
    assert f"beta = {report['beta']:g}" in report["told"]
    places = places_of(filled)
    np.testing.assert_allclose([places[one] for one in ITEMS], artifact.vectors(ITEMS), atol=1e-6)
    train(filled.held, whole=True)
    assert hybrid_of(filled).graph is not None


def test_a_graph_of_random_edges_changes_no_score_and_says_why(
    filled: Shop, random_graph: Path
) -> None:
    import_graph(filled.settings, random_graph, threshold=1.0)
    report = train(filled.held).report["graph"]
    made = hybrid_of(filled)
    assert made.graph is not None
    assert made.graph.beta == report["beta"] == 0.0
    assert "it does not beat them: beta = 0, it changes no score" in report["told"]
    assert set(report["permuted"]) == {"like_degree", "any_degree"}
    assert not train(filled.held).whole  # it was asked once


def test_without_a_graph_nothing_is_weighed(filled: Shop) -> None:
    found = train(filled.held)
    assert "graph" not in found.report
    assert "graph" not in found.seconds
    assert hybrid_of(filled).graph is None
    assert "graph" not in train(filled.held).report


def test_updates_and_forgetting_keep_the_term_and_go_on_telling_of_it(
    filled: Shop, knowing: Path
) -> None:
    import_graph(filled.settings, knowing, threshold=1.0)
    report = train(filled.held).report["graph"]
    before = hybrid_of(filled)
    took(filled, ("new", ITEMS[0]), ("new", ITEMS[6]))
    found = train(filled.held)
    assert (found.whole, found.report["graph"]) == (False, report)
    forget_user(filled.settings, filled.held.index, "new")
    after = hybrid_of(filled)
    assert after.version != before.version
    assert before.graph is not None
    assert after.graph is not None
    assert (after.graph.beta, after.graph_version) == (before.graph.beta, before.graph_version)
    np.testing.assert_array_equal(after.graph.matrix, before.graph.matrix)


def test_another_graph_is_weighed_by_the_next_training_and_makes_one_due(
    filled: Shop, knowing: Path, random_graph: Path
) -> None:
    import_graph(filled.settings, random_graph, threshold=1.0)
    train(filled.held)
    assert not is_due(filled.held)
    second = import_graph(filled.settings, knowing, threshold=1.0)
    assert hybrid_of(filled).graph_version != second.version
    assert is_due(filled.held)
    found = train(filled.held)
    assert found.whole
    assert found.report["graph"]["version"] == second.version
    assert found.report["graph"]["beta"] > 0
    assert not is_due(filled.held)


def test_an_item_that_arrived_after_the_import_has_its_place_in_the_weighing(
    shop: Shop, tmp_path: Path
) -> None:
    shop.publish(*ITEMS[:100])
    import_graph(shop.settings, write_graph(tmp_path / "g.tsv", range(len(ITEMS))), threshold=1.0)
    shop.publish(*ITEMS[100:], "i999")
    took(shop, *((f"u{n:02}", ITEMS[n * k % 120]) for n in range(1, 30) for k in (1, 2, 5)))
    assert train(shop.held).report["graph"]["linked"] == pytest.approx(120 / 121)
    assert not places_of(shop)["i999"].any()
    assert places_of(shop)["i119"].any()


def test_with_too_little_left_to_ask_about_nothing_is_weighed_and_training_goes_on(
    shop: Shop, tmp_path: Path
) -> None:
    shop.publish(*ITEMS)
    import_graph(shop.settings, write_graph(tmp_path / "g.tsv", range(len(ITEMS))), threshold=1.0)
    took(shop, *((f"u{n:02}", ITEMS[n * k % 120]) for n in range(1, 18) for k in (1, 2, 5)))
    report = train(shop.held).report
    assert report["projection"]["interactions"] == 51
    assert report["graph"]["beta"] == 0.0
    assert "too little to weigh it on" in report["graph"]["told"]


def test_a_graph_with_longer_places_than_the_collection_holds_is_said_and_left_alone(
    filled: Shop, knowing: Path
) -> None:
    ranking = filled.settings.ranking.model_copy(update={"graph_dim": 65})
    longer = filled.settings.model_copy(update={"ranking": ranking})
    import_graph(longer, knowing, threshold=1.0)
    report = train(filled.held).report["graph"]
    assert report["beta"] == 0.0
    assert report["told"].startswith("its places are 65 numbers, the collection holds 64")
    assert not train(filled.held).whole


def test_the_command_tells_what_the_graph_is_worth_in_one_line(
    filled: Shop, random_graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.cli.graph.settings", lambda: filled.settings)
    monkeypatch.setattr(runtime, "runtime", lambda: filled.held)
    monkeypatch.setattr(runtime, "close", lambda: None)

    def run(*arguments: str) -> str:
        found = CliRunner().invoke(app, arguments)
        assert found.exit_code == 0, found.output
        return " ".join(found.output.split())

    weighs = "the next `firstlight train` weighs it, until then it changes no score"
    assert weighs in run("graph", "import", str(random_graph), "--threshold", "1")
    assert weighs not in run("graph", "link", "--threshold", "1")
    assert "not weighed yet: the next `firstlight train` weighs it" in run("graph", "status")
    told = run("train")
    (line,) = re.findall("graph: (NDCG@20 .* it changes no score)", told)
    assert line in run("graph", "status")
    assert "with graphs permuted among items of like degree 0." in told
    assert "it does not beat them: beta = 0, it changes no score" in told
    lines = ["user,item", *(f"u{n},{ITEMS[n * k % 120]}" for n in range(1, 40) for k in (1, 2, 5))]
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    run("train", "--from-files", str(tmp_path / "pairs.csv"))
    import_graph(filled.settings, write_graph(random_graph, range(len(ITEMS))), threshold=1.0)
    assert "not weighed yet: the next `firstlight train` weighs it" in run("graph", "status")
    assert not is_due(filled.held)
    told = run("train", "--from-files", str(tmp_path / "pairs.csv"))
    assert "with graphs permuted among items of like degree 0." in told
