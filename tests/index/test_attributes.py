"""Which attributes can be filtered on: learned on write, bounded, mended after a new start."""

from __future__ import annotations

import pytest
from qdrant_client import QdrantClient

import index.attributes as module
from domain.errors import RejectedError
from index import ItemIndex
from index.attributes import type_of
from tests.fixtures.index_server import IndexServer
from tests.fixtures.stores import DIMS, Shelf, as_filters, item_point, settings_for


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("x", "text"),
        ("", "text"),
        (3, "number"),
        (0.5, "number"),
        (True, "boolean"),
        (["a", "b"], "text"),
        ([1], "number"),
        ([False], "boolean"),
        ([], None),
    ],
)
def test_the_type_of_an_attribute_is_its_first_values(value: object, kind: str | None) -> None:
    assert type_of(value) == kind


def test_attributes_beyond_the_bound_are_kept_but_not_filterable(
    served_shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_INDEXED", 3)
    store, collection = served_shelf.store, served_shelf.collection
    attributes = {f"name{n}": "x" for n in range(5)}
    store.upsert(collection, [item_point("a", attributes=attributes)])
    assert store.fetch(collection, ["a"])["a"].attributes == attributes
    assert set(store.attributes(collection)) == {"name0", "name1", "name2"}
    with pytest.raises(RejectedError, match="'name4' is not among the first 3 names") as refused:
        store.count(collection, as_filters({"name4": "x"}))
    assert "only stored" in refused.value.message
    assert "name0 (text), name1 (text), name2 (text)" in refused.value.remedy


def test_an_attribute_without_a_value_is_refused_as_such(served_shelf: Shelf) -> None:
    store, collection = served_shelf.store, served_shelf.collection
    store.upsert(collection, [item_point("a", attributes={"genres": [], "year": 1990})])
    for name in ("genres", "gnere"):
        with pytest.raises(RejectedError, match=f"no item has a value of an .*'{name}'") as refused:
            store.count(collection, as_filters({name: "x"}))
        assert refused.value.remedy == "there are: year (number)"


def test_a_collection_that_another_process_made_anew_is_indexed_again(
    index_server: IndexServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFRESH_S", 0.0)
    name = "test-made-anew"
    here, there = (ItemIndex.connect(settings_for(index_server.url)) for _ in range(2))
    here.ensure(name, DIMS)
    here.upsert(name, [item_point("a", attributes={"genre": "x"})])
    there.drop(name)
    there.ensure(name, DIMS)
    here.upsert(name, [item_point("a", attributes={"genre": "x"})])
    stock = QdrantClient(url=index_server.url, check_compatibility=False)
    assert "attributes.genre" in stock.get_collection(name).payload_schema
    stock.close()
    here.drop(name)
    here.close()
    there.close()
