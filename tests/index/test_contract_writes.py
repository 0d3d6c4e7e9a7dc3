"""Writes: the newest version stands, whatever the order; nothing unsearchable gets in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from domain.errors import PermanentError, RetryableError
from domain.vectors import Vector
from index import ItemPoint, MissingCollectionError
from tests.fixtures.stores import DIMS, Shelf, item_point, vector


def test_a_point_comes_back_as_it_was_written(shelf: Shelf) -> None:
    attributes = {"genre": ["Drama", "War"], "year": 1999, "rating": 7.5, "in_print": True}
    written = item_point("a", 3, attributes=attributes)
    shelf.store.upsert(shelf.collection, [written])
    found = shelf.store.fetch(shelf.collection, ["a", "absent"], with_vectors=["rank", "text"])
    assert list(found) == ["a"]
    stored = found["a"]
    assert (stored.id, stored.version, stored.title) == ("a", 3, "a at 3")
    assert stored.attributes == attributes
    assert stored.modalities == ("text",)
    assert (stored.fingerprint, stored.indexed_at) == ("f00d", 1003.0)
    for name, raw in written.vectors.items():
        assert stored.vectors[name].dtype == np.float32
        np.testing.assert_allclose(stored.vectors[name], raw, rtol=2e-6, atol=1e-7)


def test_raw_vectors_keep_their_length_though_they_are_searched_by_cosine(shelf: Shelf) -> None:
    long = 40.0 * vector(1, DIMS["text"])
    point = item_point("a", vectors={"rank": vector(2, DIMS["rank"]), "text": long})
    shelf.store.upsert(shelf.collection, [point])
    stored = shelf.store.fetch(shelf.collection, ["a"], with_vectors=["text"])["a"]
    np.testing.assert_allclose(stored.vectors["text"], long, rtol=2e-6)
    (hit,) = shelf.store.query(shelf.collection, long / 7, using="text", limit=1)
    assert hit.score == pytest.approx(1.0, abs=1e-5)


def test_an_older_version_never_overwrites_a_newer_one(shelf: Shelf) -> None:
    for version in (5, 4, 1):
        shelf.store.upsert(shelf.collection, [item_point("a", version)])
    assert shelf.store.fetch(shelf.collection, ["a"])["a"].title == "a at 5"


def test_the_same_version_again_changes_nothing(shelf: Shelf) -> None:
    shelf.store.upsert(shelf.collection, [item_point("a", 2)])
    shelf.store.upsert(shelf.collection, [item_point("a", 2, title="another")])
    assert shelf.store.fetch(shelf.collection, ["a"])["a"].title == "a at 2"


def test_one_batch_judges_every_point_by_its_own_version(shelf: Shelf) -> None:
    store, collection = shelf.store, shelf.collection
    store.upsert(collection, [item_point("a", 10), item_point("b", 20), item_point("c", 30)])
    batch = [item_point("a", 11), item_point("b", 19), item_point("c", 31), item_point("d", 1)]
    store.upsert(collection, batch)
    assert shelf.versions() == {"a": 11, "b": 20, "c": 31, "d": 1}


def test_an_id_twice_in_one_batch_counts_once_at_its_newest(shelf: Shelf) -> None:
    batch = [item_point("a", 2), item_point("a", 7), item_point("b", 1), item_point("a", 3)]
    shelf.store.upsert(shelf.collection, batch)
    assert shelf.versions() == {"a": 7, "b": 1}
    assert shelf.store.fetch(shelf.collection, ["a"])["a"].title == "a at 7"


def test_versions_are_exact_up_to_the_largest(shelf: Shelf) -> None:
    largest = 2**53 - 1
    shelf.store.upsert(shelf.collection, [item_point("a", largest - 1)])
    shelf.store.upsert(shelf.collection, [item_point("a", largest)])
    shelf.store.upsert(shelf.collection, [item_point("a", largest - 1, title="stale")])
    assert shelf.versions() == {"a": largest}
    shelf.store.undo(shelf.collection, [("a", largest - 1)])
    assert shelf.versions() == {"a": largest}


def test_a_newer_version_replaces_the_whole_item(shelf: Shelf) -> None:
    both = {"rank": vector(1, 12), "text": vector(2, 6), "image": vector(3, 4)}
    first = item_point("a", 1, vectors=both, attributes={"genre": "Drama", "year": 1999})
    shelf.store.upsert(shelf.collection, [first])
    shelf.store.upsert(shelf.collection, [item_point("a", 2, attributes={"genre": "War"})])
    stored = shelf.store.fetch(shelf.collection, ["a"], with_vectors=["text", "image"])["a"]
    assert stored.attributes == {"genre": "War"}
    assert stored.modalities == ("text",)
    assert set(stored.vectors) == {"text"}


def test_more_points_than_one_request_carries_are_all_written(shelf: Shelf) -> None:
    shelf.store.upsert(shelf.collection, [item_point(f"i{n}") for n in range(300)])
    assert shelf.store.count(shelf.collection) == 300


def test_writing_nothing_is_allowed(shelf: Shelf) -> None:
    shelf.store.upsert(shelf.collection, [])
    shelf.store.delete(shelf.collection, [])
    shelf.store.undo(shelf.collection, [])
    assert shelf.versions() == {}


def test_delete_removes_that_version_and_older_ones_only(shelf: Shelf) -> None:
    points = [item_point("old", 3), item_point("same", 5), item_point("new", 8), item_point("x", 1)]
    shelf.store.upsert(shelf.collection, points)
    shelf.store.delete(shelf.collection, [("old", 5), ("same", 5), ("new", 5), ("absent", 5)])
    assert shelf.versions() == {"new": 8, "x": 1}


def test_undo_removes_exactly_that_version(shelf: Shelf) -> None:
    points = [item_point("old", 3), item_point("same", 5), item_point("new", 8)]
    shelf.store.upsert(shelf.collection, points)
    shelf.store.undo(shelf.collection, [("old", 5), ("same", 5), ("new", 5), ("absent", 5)])
    assert shelf.versions() == {"old": 3, "new": 8}


def test_deletions_of_many_versions_go_together(shelf: Shelf) -> None:
    shelf.store.upsert(shelf.collection, [item_point(f"i{n}", n + 1) for n in range(300)])
    shelf.store.delete(shelf.collection, [(f"i{n}", n + n % 2) for n in range(300)])
    assert shelf.versions() == {f"i{n}": n + 1 for n in range(0, 300, 2)}


def test_an_item_can_come_back_after_its_deletion(shelf: Shelf) -> None:
    shelf.store.upsert(shelf.collection, [item_point("a", 1)])
    shelf.store.delete(shelf.collection, [("a", 2)])
    shelf.store.upsert(shelf.collection, [item_point("a", 3)])
    assert shelf.versions() == {"a": 3}


def _spoilt(name: str, value: float) -> ItemPoint:
    point = item_point("bad", 4)
    vectors = {key: found.copy() for key, found in point.vectors.items()}
    vectors[name][1] = value
    return replace(point, vectors=vectors)


def _vectors(**vectors: Vector) -> ItemPoint:
    return item_point("bad", 4, vectors=vectors)


def test_a_vector_that_would_poison_the_store_is_refused_with_its_item(shelf: Shelf) -> None:
    rank = vector(1, 12)
    cases = [
        (_spoilt("rank", np.nan), "'rank' holds NaN or infinity"),
        (_spoilt("text", np.inf), "'text' holds NaN or infinity"),
        (_spoilt("text", -np.inf), "'text' holds NaN or infinity"),
        (_spoilt("rank", 3e38), "'rank' is too long"),
        (_vectors(rank=np.zeros(12, np.float32)), "'rank' is zero"),
        (_vectors(rank=vector(1, 11)), "shape [11]"),
        (_vectors(rank=rank.reshape(1, 12)), "shape [1, 12]"),
        (_vectors(text=vector(1, 6)), "no rank vector"),
        (_vectors(rank=rank, smell=vector(1, 6)), "'smell' is not one of the collection's"),
    ]
    good = item_point("good")
    for bad, reason in cases:
        with pytest.raises(PermanentError) as refused:
            shelf.store.upsert(shelf.collection, [good, bad])
        assert refused.value.field == "item 'bad' version 4"
        assert reason in refused.value.message
        assert set(shelf.store.faults(shelf.collection, [good, bad])) == {"bad"}
    assert shelf.versions() == {}, "nothing of a refused batch is written"


def test_a_missing_collection_is_told_from_a_bad_item(shelf: Shelf) -> None:
    missing = f"{shelf.collection}-missing"
    for call in (
        lambda: shelf.store.upsert(missing, [item_point("a")]),
        lambda: shelf.store.delete(missing, [("a", 1)]),
        lambda: shelf.store.fetch(missing, ["a"]),
        lambda: shelf.store.query(missing, vector(1, 12), limit=1),
        lambda: shelf.store.count(missing),
        lambda: list(shelf.store.scroll(missing)),
        lambda: shelf.store.swap(missing),
    ):
        with pytest.raises(MissingCollectionError) as error:
            call()
        assert isinstance(error.value, RetryableError)
        assert missing in error.value.message


def test_odd_ids_and_titles_survive(shelf: Shelf) -> None:
    ids = ["with space", "späße/…?#%", "日本語", '"quoted"', "🦜" * 50, "a" * 256]
    shelf.store.upsert(shelf.collection, [item_point(one, title=f"«{one}»\n") for one in ids])
    found = shelf.store.fetch(shelf.collection, ids)
    assert {item.title for item in found.values()} == {f"«{one}»\n" for one in ids}
    assert set(found) == set(ids)


def test_a_rewrite_replaces_exactly_the_version_it_was_made_from(shelf: Shelf) -> None:
    store, collection = shelf.store, shelf.collection
    store.upsert(
        collection, [item_point("same", 2), item_point("newer", 3), item_point("older", 1)]
    )
    new = vector(99, DIMS["rank"])
    rewritten = [
        item_point(key, 2, vectors={"rank": new}, gate=0.5, rewritten_at=7.0)
        for key in ("same", "newer", "older", "gone")
    ]
    store.rewrite(collection, rewritten)
    assert shelf.versions() == {"same": 2, "newer": 3, "older": 1}
    stored = store.fetch(collection, ["same", "newer", "older"], with_vectors=["rank"])
    np.testing.assert_allclose(stored["same"].vectors["rank"], new, rtol=2e-6)
    assert (stored["same"].gate, stored["same"].rewritten_at) == (0.5, 7.0)
    for key in ("newer", "older"):
        assert stored[key].gate == 0.0
        assert not np.allclose(stored[key].vectors["rank"], new)
    (hit,) = store.query(collection, new, limit=1)
    assert (hit.id, hit.gate, hit.rewritten_at) == ("same", 0.5, 7.0)


def test_a_rewrite_of_what_cannot_be_searched_changes_nothing(shelf: Shelf) -> None:
    shelf.store.upsert(shelf.collection, [item_point("a", 2)])
    broken = {"rank": np.full(DIMS["rank"], np.nan, dtype=np.float32)}
    with pytest.raises(PermanentError, match=r"'a' version 2.*NaN"):
        shelf.store.rewrite(shelf.collection, [item_point("a", 2, vectors=broken)])
