"""The imported graph on disk: whole or refused, swapped atomically, found by others."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from domain.errors import RejectedError
from domain.items import Item
from ranking.graph import GraphArtifact, GraphStore, graph_artifact, link_items
from ranking.graph.artifact import ARRAYS_FILE, FACTS_FILE
from tests.ranking.graph.conftest import graph_of

NAMES = ("by|directed by", "m0|Alien (1979)", "m0|Alien: le 8e passager", "p0|Ridley Scott")


def made(dim: int = 4, films: int = 8) -> GraphArtifact:
    rows = [f"m{n}|by|p{n % 2}" for n in range(films)] + [f"m{n}|in|g{n % 3}" for n in range(films)]
    graph = graph_of(*rows, names=NAMES)
    given = {f"i{n}": f"m{n}" for n in range(films - 2)}
    items = [Item(id=f"i{n}", title=f"Film {n}") for n in range(films)]
    return graph_artifact(graph, link_items(graph, items, given).found, given, dim)


def test_what_was_saved_is_what_is_loaded(tmp_path):
    artifact = made()
    artifact.save(tmp_path)
    loaded = GraphArtifact.load(tmp_path)
    assert loaded.version == artifact.version
    assert loaded.graph.entities == artifact.graph.entities
    assert loaded.graph.relations == artifact.graph.relations
    assert dict(loaded.graph.names) == dict(artifact.graph.names)
    assert dict(loaded.graph.relation_names) == {0: "directed by"}
    assert dict(loaded.graph.aliases) == dict(artifact.graph.aliases)
    assert dict(loaded.links) == dict(artifact.links)
    assert np.array_equal(loaded.vectors(["i0", "i3"]), artifact.vectors(["i0", "i3"]))
    liked = [Item(id="i0", title="Film 0")]
    paths = artifact.reasons(liked).paths(artifact.node("i2"))
    assert paths
    assert loaded.reasons(liked).paths(loaded.node("i2")) == paths


def test_the_version_names_the_content():
    assert made().version == made().version
    assert made(dim=5).version != made().version
    assert made(films=9).version != made().version


def test_an_item_that_arrives_later_is_linked_and_folded_in():
    artifact = made()
    late = Item(id="new", title="Whatever", attributes={"entity": "m7"})
    stranger = Item(id="stranger", title="Nothing of the kind")
    found = artifact.vectors_of([late, stranger])
    assert found[0].any()
    assert not found[1].any()
    assert not artifact.vectors(["new"]).any()


def test_an_item_that_arrives_later_has_paths_and_is_one():
    artifact = made()
    late = Item(id="new", title="Whatever", attributes={"entity": "m6"})
    old = Item(id="i4", title="Film 4")
    assert [one.entity for one in artifact.reasons([old]).paths(artifact.node_of(late), 9)] == [
        "p0"
    ]
    assert artifact.reasons([late]).paths(artifact.node("i4"), 9)[0].entity == "p0"


def test_a_new_item_never_takes_the_entity_of_another():
    artifact = made()
    assert artifact.node_of(Item(id="copy", title="Alien")) == -1
    assert artifact.node_of(Item(id="i0", title="Alien")) == artifact.graph.number["m0"]


def test_the_store_serves_what_was_published_last_in_every_process(tmp_path):
    ours, theirs = GraphStore(tmp_path), GraphStore(tmp_path)
    assert theirs.current() is None
    ours.publish(made())
    assert theirs.current().version == made().version
    assert theirs.current() is theirs.current()
    ours.publish(made(dim=6))
    assert theirs.current().dim == 6
    assert ours.versions() == [made().version, made(dim=6).version]


def test_only_a_few_old_versions_stay(tmp_path):
    store = GraphStore(tmp_path)
    for dim in range(2, 8):
        store.publish(made(dim=dim))
    assert len(store.versions()) == 3
    assert store.current().dim == 7


def test_publishers_take_turns_and_the_graph_of_the_last_one_serves(tmp_path):
    artifacts = [made(dim=dim) for dim in range(2, 8)]
    publishers = [
        threading.Thread(target=GraphStore(tmp_path).publish, args=(artifact,))
        for artifact in [*artifacts, *artifacts]
    ]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    store = GraphStore(tmp_path)
    pointed = json.loads((tmp_path / "current.json").read_text())["version"]
    assert store.current().version == pointed
    assert pointed in store.versions()
    assert len(store.versions()) == 3


@pytest.mark.parametrize("damage", ["nan", "shape", "edge", "format", "cut", "missing"])
def test_a_damaged_graph_is_refused_and_the_old_one_stays(tmp_path, damage):
    store = GraphStore(tmp_path)
    store.publish(made())
    good = store.current()
    other = made(dim=6)
    GraphStore(tmp_path).publish(other)
    folder = tmp_path / other.version
    arrays = load_file(folder / ARRAYS_FILE)
    facts = json.loads((folder / FACTS_FILE).read_text())
    if damage == "nan":
        arrays["directions"][0, 0] = np.nan
    elif damage == "shape":
        arrays["weights"] = arrays["weights"][:-1]
    elif damage == "edge":
        arrays["edges"][0, 2] = 10_000
    elif damage == "format":
        facts["format"] = 99
    save_file(arrays, folder / ARRAYS_FILE)
    (folder / FACTS_FILE).write_text(json.dumps(facts))
    if damage == "cut":
        (folder / ARRAYS_FILE).write_bytes((folder / ARRAYS_FILE).read_bytes()[:100])
    elif damage == "missing":
        (folder / FACTS_FILE).unlink()
    with pytest.raises(RejectedError, match="import it again"):
        GraphArtifact.load(folder)
    assert store.current() is good


@pytest.mark.parametrize("name", [ARRAYS_FILE, FACTS_FILE])
def test_a_damaged_graph_serves_again_once_it_was_imported_again(tmp_path, name):
    GraphStore(tmp_path).publish(made())
    path = tmp_path / made().version / name
    path.write_bytes(path.read_bytes()[:100])
    serving = GraphStore(tmp_path)
    assert serving.current() is None
    GraphStore(tmp_path).publish(made())
    assert serving.current().version == made().version
    assert serving.current().node("i2") == made().node("i2")
    assert serving.versions() == [made().version]


def test_the_report_told_is_that_of_the_last_import(tmp_path):
    store = GraphStore(tmp_path)
    store.publish(replace(made(), report={"items": 8, "notes": ()}))
    assert store.current().report == {"items": 8, "notes": []}
    GraphStore(tmp_path).publish(replace(made(), report={"items": 1000, "notes": ()}))
    assert store.current().report["items"] == 1000
