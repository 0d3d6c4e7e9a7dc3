"""Reads: the right items in the right order, exactly or by the graph; all of them, once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from domain.errors import RejectedError
from index import Search
from tests.fixtures.stores import (
    ENGINES,
    OpenStore,
    Shelf,
    as_filters,
    item_point,
    make_shelf,
    vector,
)

N = 60


@pytest.fixture(scope="module", params=ENGINES)
def filled(request: pytest.FixtureRequest, open_store: OpenStore) -> Iterator[Shelf]:
    shelves = make_shelf(open_store, request.param)
    shelf = next(shelves)
    points = [
        item_point(
            f"i{n}",
            vectors={"rank": (1 + n % 3) * vector(n, 12), "text": vector(n + 500, 6)}
            | ({"image": vector(n + 900, 4)} if n % 4 == 0 else {}),
            attributes={"parity": ["even", "odd"][n % 2], "n": n},
        )
        for n in range(N)
    ]
    shelf.store.upsert(shelf.collection, points)
    yield shelf
    next(shelves, None)


def expected(query: np.ndarray) -> list[tuple[str, float]]:
    scores = {f"i{n}": float((1 + n % 3) * vector(n, 12) @ query) for n in range(N)}
    return sorted(scores.items(), key=lambda pair: -pair[1])


@pytest.mark.parametrize("exact", [True, False, None])
def test_rank_is_searched_by_dot_product_best_first(filled: Shelf, exact: bool | None) -> None:
    query = vector(7777, 12)
    hits = filled.store.query(filled.collection, query, limit=20, exact=exact)
    assert [hit.id for hit in hits] == [item_id for item_id, _ in expected(query)[:20]]
    assert [hit.score for hit in hits] == pytest.approx(
        [score for _, score in expected(query)[:20]], rel=1e-5
    )
    first = hits[0]
    assert first.title == f"{first.id} at 1"
    assert first.version == 1
    assert first.attributes["n"] == int(first.id[1:])
    assert first.vectors == {}


def test_a_limit_beyond_the_collection_returns_everything(filled: Shelf) -> None:
    hits = filled.store.query(filled.collection, vector(1, 12), limit=1000)
    assert len(hits) == N


def test_a_search_within_a_modality_finds_only_items_that_have_it(filled: Shelf) -> None:
    hits = filled.store.query(filled.collection, vector(904, 4), using="image", limit=1000)
    assert {hit.id for hit in hits} == {f"i{n}" for n in range(0, N, 4)}
    assert hits[0].id == "i4"
    assert hits[0].score == pytest.approx(1.0, abs=1e-5)
    assert hits[0].modalities == ("image", "text")


def test_excluded_items_are_never_returned_and_others_take_their_place(filled: Shelf) -> None:
    query = vector(3, 12)
    best = [item_id for item_id, _ in expected(query)]
    hits = filled.store.query(
        filled.collection, query, limit=5, exclude=[*best[:4], best[6], "absent"]
    )
    assert [hit.id for hit in hits] == [best[4], best[5], *best[7:10]]


def test_thousands_of_items_can_be_excluded(filled: Shelf) -> None:
    exclude = [f"other-{n}" for n in range(5000)] + [f"i{n}" for n in range(N - 1)]
    hits = filled.store.query(filled.collection, vector(3, 12), limit=5, exclude=exclude)
    assert [hit.id for hit in hits] == [f"i{N - 1}"]


def test_filters_and_exclusion_hold_together(filled: Shelf) -> None:
    filters = as_filters({"parity": "odd", "n": {"lt": 10}})
    hits = filled.store.query(
        filled.collection, vector(3, 12), limit=50, filters=filters, exclude=["i3", "i4"]
    )
    assert {hit.id for hit in hits} == {"i1", "i5", "i7", "i9"}


def test_vectors_come_with_hits_when_asked_for(filled: Shelf) -> None:
    hits = filled.store.query(
        filled.collection, vector(4, 12), limit=N, with_vectors=["rank", "image"]
    )
    for hit in hits:
        n = int(hit.id[1:])
        np.testing.assert_allclose(
            hit.vectors["rank"], (1 + n % 3) * vector(n, 12), rtol=2e-6, atol=1e-7
        )
        assert ("image" in hit.vectors) == (n % 4 == 0)
        assert "text" not in hit.vectors


def test_many_searches_at_once_answer_as_each_alone(filled: Shelf) -> None:
    searches = [
        Search(vector(11, 12), 5),
        Search(vector(12, 6), 7, using="text", filters=as_filters({"parity": "even"})),
        Search(vector(13, 12), 3, exclude=["i1"], exact=False, with_vectors=["text"]),
    ]
    together = filled.store.query_many(filled.collection, searches)
    for search, hits in zip(searches, together, strict=True):
        (alone,) = filled.store.query_many(filled.collection, [search])
        assert [hit.id for hit in hits] == [hit.id for hit in alone]
        assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in alone])
    assert filled.store.query_many(filled.collection, []) == []


@pytest.mark.parametrize(
    ("search", "field"),
    [
        (Search(vector(1, 11), 5), "vector"),
        (Search(np.full(12, np.nan, np.float32), 5), "vector"),
        (Search(vector(1, 12), 0), "limit"),
        (Search(vector(1, 12), 5, using="smell"), "using"),
        (Search(vector(1, 12), 5, filters=as_filters({"colour": "red"})), "filters.colour"),
    ],
    ids=["shape", "NaN", "limit", "using", "filter"],
)
def test_a_search_that_cannot_be_meant_is_rejected_with_its_field(
    filled: Shelf, search: Search, field: str
) -> None:
    with pytest.raises(RejectedError) as error:
        filled.store.query_many(filled.collection, [search])
    assert error.value.field == field


def test_an_unknown_filter_field_is_told_what_there_is(filled: Shelf) -> None:
    with pytest.raises(RejectedError, match=r"there are: n \(number\), parity \(text\)"):
        filled.store.count(filled.collection, as_filters({"colour": "red"}))


def test_scroll_visits_every_item_once(filled: Shelf) -> None:
    pages = list(filled.store.scroll(filled.collection, batch=7, with_vectors=["text"]))
    items = [item for page in pages for item in page]
    assert sorted(item.id for item in items) == sorted(f"i{n}" for n in range(N))
    assert max(len(page) for page in pages) == 7
    for item in items:
        n = int(item.id[1:])
        np.testing.assert_allclose(item.vectors["text"], vector(n + 500, 6), rtol=2e-6, atol=1e-7)


def test_scroll_count_and_query_agree_on_a_filter(filled: Shelf) -> None:
    raw = {"n": {"gte": 10, "lt": 33}, "parity": {"not": ["odd"]}}
    wanted = {f"i{n}" for n in range(10, 33, 2)}
    assert filled.matching(raw) == wanted
    assert filled.store.count(filled.collection, as_filters(raw)) == len(wanted)
    hits = filled.store.query(filled.collection, vector(5, 12), limit=100, filters=as_filters(raw))
    assert {hit.id for hit in hits} == wanted


def test_versions_lists_everything(filled: Shelf) -> None:
    assert filled.versions() == {f"i{n}": 1 for n in range(N)}
    pairs = list(filled.store.versions(filled.collection, batch=13))
    assert len(pairs) == N


def test_an_empty_collection_answers_with_nothing(shelf: Shelf) -> None:
    assert shelf.store.query(shelf.collection, vector(1, 12), limit=5) == []
    assert list(shelf.store.scroll(shelf.collection)) == []
    assert shelf.store.count(shelf.collection) == 0
    assert shelf.store.fetch(shelf.collection, []) == {}


def test_what_has_expired_is_never_found_and_what_has_not_takes_its_place(shelf: Shelf) -> None:
    expiries = {f"e{n}": [None, 100.0, 200.0][n % 3] for n in range(12)}
    shelf.store.upsert(
        shelf.collection, [item_point(key, expires_at=at) for key, at in expiries.items()]
    )

    def found(live_at: float | None, limit: int = 20) -> list[str]:
        hits = shelf.store.query(shelf.collection, vector(5, 12), limit=limit, live_at=live_at)
        return [hit.id for hit in hits]

    def live(now: float) -> set[str]:
        return {key for key, at in expiries.items() if at is None or at > now}

    for now in (99.0, 100.0, 199.5, 200.0, 99.0):
        assert set(found(now)) == live(now)
        assert len(found(now, limit=4)) == 4
    assert set(found(None)) == set(expiries)
    assert dict(shelf.store.expired(shelf.collection, 150.0, 50)) == {
        key: 1 for key, at in expiries.items() if at == 100.0
    }
    stored = shelf.store.fetch(shelf.collection, ["e0", "e1"])
    assert (stored["e0"].expires_at, stored["e1"].expires_at) == (None, 100.0)
