"""Collections: made once, described, swapped behind the alias in one step, dropped."""

from __future__ import annotations

import threading

import pytest
from qdrant_client import models

from domain.errors import RejectedError
from index import collection_name
from tests.fixtures.stores import DIMS, OpenStore, Shelf, as_filters, item_point, vector


def test_ensuring_again_keeps_what_is_stored(shelf: Shelf) -> None:
    shelf.store.upsert(shelf.collection, [item_point("a")])
    shelf.store.ensure(shelf.collection, DIMS)
    assert shelf.versions() == {"a": 1}


def test_a_collection_of_other_vectors_is_not_taken_over(shelf: Shelf) -> None:
    with pytest.raises(RejectedError, match=shelf.collection):
        shelf.store.ensure(shelf.collection, {**DIMS, "rank": 99})


@pytest.mark.parametrize("dims", [{"text": 3}, {"rank": 0}])
def test_a_collection_without_a_rank_vector_is_refused(shelf: Shelf, dims: dict[str, int]) -> None:
    with pytest.raises(RejectedError, match="rank"):
        shelf.store.ensure(f"{shelf.collection}-2", dims)


def test_a_collection_describes_itself(shelf: Shelf) -> None:
    attributes = {"genre": ["a"], "year": 1999, "score": 2.5, "free": False, "none": []}
    shelf.store.upsert(shelf.collection, [item_point("a", attributes=attributes), item_point("b")])
    report = shelf.store.info(shelf.collection)
    assert report.name == shelf.collection
    assert report.points == 2
    assert report.dims == DIMS
    types = {"genre": "text", "year": "number", "score": "number", "free": "boolean"}
    assert report.attributes == types
    assert shelf.store.attributes(shelf.collection) == types
    assert shelf.store.dims(shelf.collection) == DIMS


def test_rank_is_searched_by_dot_product_through_a_graph_and_raw_vectors_without_one(
    shelf: Shelf,
) -> None:
    info = shelf.store._client.get_collection(shelf.collection)
    vectors = info.config.params.vectors
    assert isinstance(vectors, dict)
    rank, text = vectors["rank"], vectors["text"]
    assert (rank.distance, rank.on_disk) == (models.Distance.DOT, False)
    assert (text.distance, text.on_disk) == (models.Distance.COSINE, True)
    assert rank.hnsw_config is not None
    assert text.hnsw_config is not None
    assert (rank.hnsw_config.m, rank.hnsw_config.ef_construct) == (32, 256)
    assert text.hnsw_config.m == 0


def test_the_alias_moves_from_one_collection_to_the_next(shelf: Shelf) -> None:
    store = shelf.store
    assert store.serving() is None
    following = f"{shelf.collection}-2"
    store.ensure(following, DIMS)
    store.upsert(following, [item_point("b")])
    store.swap(shelf.collection)
    assert store.serving() == shelf.collection
    assert store.count(shelf.alias) == 0
    store.swap(following)
    assert store.serving() == following
    assert store.count(shelf.alias) == 1
    store.swap(following)
    assert store.serving() == following
    assert {shelf.collection, following} <= set(store.collections())


def test_dropping_takes_the_collection_and_its_alias(shelf: Shelf) -> None:
    store = shelf.store
    store.swap(shelf.collection)
    store.drop(shelf.collection)
    store.drop(shelf.collection)
    assert shelf.collection not in store.collections()
    assert store.serving() is None


def test_a_collection_made_anew_starts_afresh(shelf: Shelf) -> None:
    store, collection = shelf.store, shelf.collection
    store.upsert(collection, [item_point("a", 9, attributes={"genre": "x"})])
    store.drop(collection)
    store.ensure(collection, {"rank": 5})
    assert store.dims(collection) == {"rank": 5}
    assert store.attributes(collection) == {}
    store.upsert(collection, [item_point("a", 1, vectors={"rank": vector(1, 5)})])
    assert shelf.versions() == {"a": 1}


def test_processes_that_make_a_collection_at_once_do_not_collide(served_shelf: Shelf) -> None:
    store, name = served_shelf.store, f"{served_shelf.collection}-2"
    failures: list[Exception] = []

    def make() -> None:
        try:
            store.ensure(name, DIMS)
            store.upsert(name, [item_point(threading.current_thread().name)])
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=make, name=f"t{n}") for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert store.count(name) == 6


def test_attributes_another_process_has_written_can_be_filtered_on(
    served_shelf: Shelf, open_store: OpenStore, request: pytest.FixtureRequest
) -> None:
    engine = request.node.callspec.params["served_shelf"]
    other = open_store(engine, served_shelf.alias)
    collection = served_shelf.collection
    served_shelf.store.upsert(collection, [item_point("a", attributes={"genre": "x"})])
    assert other.count(collection, as_filters({"genre": "x"})) == 1
    served_shelf.store.upsert(collection, [item_point("b", attributes={"shelf": 4})])
    assert other.count(collection, as_filters({"shelf": {"gte": 4}})) == 1


def test_a_collection_is_named_after_its_fingerprint() -> None:
    assert collection_name("items", "3f2a") == "items-3f2a"
