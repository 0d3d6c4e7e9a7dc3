"""Importing a graph into a data directory with a catalogue."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from catalog import Catalog
from domain.errors import RejectedError
from domain.settings import Settings
from tests.fixtures.events import created, deleted
from workers.graph import LINE_BYTES, graph_store, import_graph, lines_of, relink, sources

FILMS = 30


@pytest.fixture
def shop(tmp_path: Path, tiny_models: Path) -> Settings:
    """A catalogue of films i0 ... i29, the last of them deleted."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "models").symlink_to(tiny_models / "models")
    chosen = Settings.model_validate(
        {
            "data_dir": tmp_path / "data",
            "encoder": {"pack": "tiny", "device": "cpu", "precision": "float32", "threads": 1},
        }
    )
    with Catalog.connect(chosen) as catalog:
        catalog.accept([created(f"i{n}", 1, title=f"Film {n}") for n in range(FILMS)])
        catalog.accept([deleted(f"i{FILMS - 1}", 2)])
    return chosen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "graph"
    found.mkdir()
    rows = [f"m{n}\tby\tp{n % 4}" for n in range(FILMS)]
    rows += ["m1\tby", "m1\tby\tm1", "m1\tby\tp1"]
    (found / "graph.tsv").write_text("\n".join(rows))
    (found / "names.tsv").write_text("\n".join(f"m{n}\tFilm {n}" for n in range(20)))
    (found / "links.tsv").write_text("i0\tm5\ni5\tm0\ni9\tgone\n")
    return found


def test_a_folder_is_imported_with_its_names_and_links(shop, folder):
    artifact = import_graph(shop, folder, threshold=1.0)
    report = artifact.report
    assert report["items"] == FILMS - 1
    assert report["by_way"] == {"given": 2, "id": 0, "attribute": 0, "title": 18, "similar": 0}
    assert report["dangling_links"] == 1
    assert report["triples"]["bad"] == [{"number": 31, "reason": "2 columns, expected 3"}]
    assert (report["triples"]["loops"], report["triples"]["duplicates"]) == (1, 1)
    assert report["embedded"] == report["linked"]
    assert artifact.graph.entities[artifact.node("i0")] == "m5"
    assert artifact.dim == shop.ranking.graph_dim
    assert graph_store(shop).current().version == artifact.version


def test_names_are_compared_by_the_text_encoder_of_the_items(shop, folder):
    (folder / "names.tsv").write_text("m7\tFilm 7")
    artifact = import_graph(shop, folder, threshold=0.0)
    assert artifact.report["by_way"]["title"] == 1
    assert artifact.report["by_way"]["similar"] == 0  # every other name has another number


def test_linking_again_finds_what_has_arrived_since(shop, folder):
    before = import_graph(shop, folder, threshold=1.0)
    with Catalog.connect(shop) as catalog:
        catalog.accept([created("late", 1, title="Film 19", attributes={"entity": "m29"})])
    after = relink(shop, threshold=1.0)
    assert after.report["linked"] == before.report["linked"] + 1
    assert after.report["triples"] == before.report["triples"]
    assert np.any(after.vectors(["late"]))
    assert graph_store(shop).current().version == after.version != before.version


def test_a_graph_that_is_refused_leaves_the_one_that_serves(shop, folder):
    good = import_graph(shop, folder, threshold=1.0)
    (folder / "graph.tsv").write_text("nothing\nof use\n")
    with pytest.raises(RejectedError, match="no usable triple"):
        import_graph(shop, folder)
    assert graph_store(shop).current().version == good.version


def test_linking_without_a_graph_says_what_to_do(shop):
    with pytest.raises(RejectedError, match="graph import"):
        relink(shop)


def test_a_file_of_other_columns_leaves_the_graph_that_serves(shop, folder):
    good = import_graph(shop, folder, threshold=1.0)
    (folder / "names.tsv").write_text("m0,Film 0\nm1\tFilm 1\nm2\tFilm 2\n")
    with pytest.raises(RejectedError, match="2 of 3 lines are malformed"):
        import_graph(shop, folder, threshold=1.0)
    assert graph_store(shop).current().version == good.version


@pytest.mark.parametrize("threshold", [1.5, -0.1, float("nan")])
def test_no_cosine_is_above_one(shop, folder, threshold):
    for call in (lambda: import_graph(shop, folder, threshold=threshold), lambda: relink(shop)):
        with pytest.raises(RejectedError, match=r"from 0 to 1|graph import"):
            call()
    assert graph_store(shop).current() is None


def test_a_graph_of_an_empty_catalogue_has_places_once_items_are_there_and_linked(shop, folder):
    with Catalog.connect(shop) as catalog:
        catalog.accept([deleted(f"i{n}", 3) for n in range(FILMS)])
    artifact = import_graph(shop, folder, threshold=1.0)
    assert (artifact.report["linked"], artifact.report["embedded"]) == (0, 0)
    assert not artifact.vectors(["i7"]).any()
    with Catalog.connect(shop) as catalog:
        catalog.accept([created(f"i{n}", 4, title=f"Film {n}") for n in range(FILMS)])
    linked = relink(shop, threshold=1.0)
    assert linked.report["embedded"] == linked.report["linked"] == 20
    assert linked.vectors(["i7"]).any()


def test_files_may_be_zipped_and_a_broken_one_is_named(tmp_path):
    path = tmp_path / "graph.tsv.gz"
    path.write_bytes(gzip.compress(b"a\tr\tb\n" * 1000))
    assert len(list(lines_of(path))) == 1000
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RejectedError, match=r"graph\.tsv\.gz"):
        list(lines_of(path))


def test_a_line_without_end_is_skipped_whole(tmp_path):
    path = tmp_path / "graph.tsv"
    path.write_bytes(
        b"a\tr\tb\n" + b"x" * (3 * LINE_BYTES) + b"\nc\tr\td\n" + b"y" * LINE_BYTES * 2
    )
    assert list(lines_of(path)) == [b"a\tr\tb\n", None, b"c\tr\td\n", None]


def test_a_path_that_is_not_there_or_holds_no_triples_is_named(tmp_path):
    with pytest.raises(RejectedError, match="no such file"):
        sources(tmp_path / "nowhere")
    with pytest.raises(RejectedError, match="no file of triples"):
        sources(tmp_path)
    (tmp_path / "ml.kg").write_text("a\tr\tb")
    (tmp_path / "ml.link").write_text("1\ta")
    assert sources(tmp_path).links == tmp_path / "ml.link"
    with pytest.raises(RejectedError, match=r"other\.tsv"):
        sources(tmp_path, tmp_path / "other.tsv")
