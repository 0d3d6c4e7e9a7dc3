"""Exact or by the graph: by the size of the collection, unless the caller says."""

from __future__ import annotations

import pytest
from qdrant_client import QdrantClient, models

from domain.settings import load_settings
from index import Search
from index.searches import Sizes, search_body
from tests.fixtures.stores import DIMS, vector

SETTINGS = load_settings(index={"exact_up_to": 100, "hnsw_ef": 77}).index
GRAPH = {"hnsw_ef": 77}
EXACT = {"exact": True}


@pytest.mark.parametrize(
    ("exact", "size", "params"),
    [
        (None, 100, EXACT),
        (None, 101, GRAPH),
        (True, 10**6, EXACT),
        (False, 3, GRAPH),
    ],
)
def test_small_collections_are_scanned_and_large_ones_walked(
    exact: bool | None, size: int, params: dict[str, object]
) -> None:
    search = Search(vector(1, 12), 5, exact=exact)
    assert search_body(search, DIMS, SETTINGS, size)["params"] == params


def test_a_collection_is_not_counted_for_every_query(monkeypatch: pytest.MonkeyPatch) -> None:
    client = QdrantClient(":memory:")
    client.create_collection(
        "c", vectors_config=models.VectorParams(size=1, distance=models.Distance.DOT)
    )
    sizes = Sizes(client)
    assert sizes.of("c") == 0
    client.upsert("c", [models.PointStruct(id=1, vector=[1.0])])
    assert sizes.of("c") == 0
    monkeypatch.setattr("index.searches.COUNT_FOR_S", 0.0)
    assert sizes.of("c") == 1
    client.close()
