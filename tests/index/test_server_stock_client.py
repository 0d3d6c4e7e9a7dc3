"""A user's own stock qdrant-client, pointed at the embedded server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from tests.fixtures.index_server import IndexServer

DIM = 8
N = 60


def point_id(number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, str(number)))


@pytest.fixture(scope="module")
def client(index_server: IndexServer) -> Iterator[QdrantClient]:
    client = QdrantClient(url=index_server.url)
    yield client
    client.close()


@pytest.fixture(scope="module")
def films(client: QdrantClient) -> Iterator[str]:
    """A collection of N points with unit vectors, one in three of them French."""
    name = "films"
    client.create_collection(
        name,
        vectors_config={
            "rank": models.VectorParams(size=DIM, distance=models.Distance.DOT),
            "text": models.VectorParams(size=DIM, distance=models.Distance.COSINE, on_disk=True),
        },
    )
    client.create_payload_index(name, "year", models.PayloadSchemaType.INTEGER)
    client.upsert(
        name,
        [
            models.PointStruct(
                id=point_id(number),
                vector={"rank": vector.tolist(), "text": vector.tolist()},
                payload={
                    "n": number,
                    "year": 1990 + number % 10,
                    "lang": ["en", "fr", "en"][number % 3],
                },
            )
            for number, vector in enumerate(vectors())
        ],
    )
    yield name
    client.delete_collection(name)


def vectors() -> np.ndarray:
    drawn = np.random.default_rng(7).standard_normal((N, DIM)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def test_it_lists_and_describes_the_collection(client: QdrantClient, films: str) -> None:
    assert films in [collection.name for collection in client.get_collections().collections]
    assert client.collection_exists(films)
    info = client.get_collection(films)
    assert info.points_count == N
    assert info.status is models.CollectionStatus.GREEN
    assert info.config.params.vectors["text"].on_disk is True
    assert info.payload_schema["year"].data_type is models.PayloadSchemaType.INTEGER


def test_it_scrolls_every_point_once(client: QdrantClient, films: str) -> None:
    seen: list[int] = []
    offset = None
    while True:
        page, offset = client.scroll(films, limit=7, offset=offset, with_vectors=["rank"])
        seen.extend(point.payload["n"] for point in page)
        if offset is None:
            break
    assert sorted(seen) == list(range(N))
    assert len(page[0].vector["rank"]) == DIM


def test_it_queries_by_vector_in_the_order_of_the_dot_product(
    client: QdrantClient, films: str
) -> None:
    query = np.linspace(-1, 1, DIM).astype(np.float32)
    found = client.query_points(films, query.tolist(), using="rank", limit=5).points
    scores = vectors() @ query
    assert [point.id for point in found] == [point_id(n) for n in np.argsort(-scores)[:5]]
    assert [point.score for point in found] == pytest.approx(np.sort(scores)[::-1][:5], abs=1e-5)


def test_it_queries_by_a_stored_point_and_leaves_that_point_out(
    client: QdrantClient, films: str
) -> None:
    found = client.query_points(films, point_id(4), using="text", limit=N, with_payload=True).points
    assert len(found) == N - 1
    assert 4 not in [point.payload["n"] for point in found]


def test_it_filters_by_value_range_and_absence(client: QdrantClient, films: str) -> None:
    french_nineties = models.Filter(
        must=[models.FieldCondition(key="year", range=models.Range(gte=1992, lt=1995))],
        must_not=[models.FieldCondition(key="lang", match=models.MatchAny(any=["en"]))],
    )
    expected = [n for n in range(N) if 2 <= n % 10 < 5 and n % 3 == 1]
    assert client.count(films, french_nineties).count == len(expected)
    found = client.query_points(
        films, vectors()[0].tolist(), using="rank", query_filter=french_nineties, limit=N
    ).points
    assert {point.id for point in found} == {point_id(n) for n in expected}


def test_several_queries_in_one_call_are_answered_in_order(
    client: QdrantClient, films: str
) -> None:
    requests = [
        models.QueryRequest(query=vectors()[n].tolist(), using="rank", limit=1) for n in range(20)
    ]
    answers = client.query_batch_points(films, requests)
    assert [answer.points[0].id for answer in answers] == [point_id(n) for n in range(20)]


def test_an_alias_serves_wherever_the_name_does(client: QdrantClient, films: str) -> None:
    client.update_collection_aliases(
        [
            models.CreateAliasOperation(
                create_alias=models.CreateAlias(collection_name=films, alias_name="now")
            )
        ]
    )
    assert client.count("now").count == N
    assert client.get_collection("now").points_count == N
    assert len(client.retrieve("now", [point_id(1)])) == 1
    assert [alias.alias_name for alias in client.get_collection_aliases(films).aliases] == ["now"]


def test_it_orders_samples_diversifies_and_counts_by_value(
    client: QdrantClient, films: str
) -> None:
    by_year = client.query_points(
        films, models.OrderByQuery(order_by=models.OrderBy(key="year", direction="desc")), limit=6
    ).points
    newest = client.retrieve(films, [point.id for point in by_year])
    assert {record.payload["year"] for record in newest} == {1999}
    sample = client.query_points(films, models.SampleQuery(sample=models.Sample.RANDOM), limit=9)
    assert len({point.id for point in sample.points}) == 9
    nearest = models.NearestQuery(nearest=vectors()[3].tolist(), mmr=models.Mmr(diversity=0.5))
    diverse = client.query_points(films, nearest, using="rank", limit=5).points
    assert diverse[0].id == point_id(3)
    hits = client.facet(films, "year", limit=20, exact=True).hits
    assert {hit.value: hit.count for hit in hits} == {1990 + n: 6 for n in range(10)}


def test_writes_of_every_kind_do_what_they_do_in_qdrant(client: QdrantClient) -> None:
    name = "plain"
    client.create_collection(name, models.VectorParams(size=2, distance=models.Distance.EUCLID))
    client.upsert(
        name,
        models.Batch(
            ids=[1, 2, 3], vectors=[[0, 1], [1, 0], [1, 1]], payloads=[{"a": 1}, {"a": 2}, {"a": 3}]
        ),
    )
    client.set_payload(name, {"b": 7}, points=[1, 2])
    client.set_payload(name, {"c": 8}, points=[2], key="inner")
    client.overwrite_payload(
        name,
        {"only": True},
        points=models.Filter(
            must=[models.FieldCondition(key="a", match=models.MatchValue(value=3))]
        ),
    )
    client.delete_payload(name, ["a"], points=[1])
    client.batch_update_points(
        name,
        [
            models.UpsertOperation(
                upsert=models.PointsList(points=[models.PointStruct(id=4, vector=[5, 5])])
            ),
            models.ClearPayloadOperation(clear_payload=models.PointIdsList(points=[1])),
            models.UpdateVectorsOperation(
                update_vectors=models.UpdateVectors(
                    points=[models.PointVectors(id=1, vector=[9, 9])]
                )
            ),
        ],
    )
    client.update_collection(name, hnsw_config=models.HnswConfigDiff(m=8))
    records, _ = client.scroll(name, with_vectors=True)
    assert {record.id: (record.vector, record.payload) for record in records} == {
        1: ([9, 9], {}),
        2: ([1, 0], {"a": 2, "b": 7, "inner": {"c": 8}}),
        3: ([1, 1], {"only": True}),
        4: ([5, 5], {}),
    }
    assert client.query_points(name, [4.0, 5.0], limit=1).points[0].score == pytest.approx(1.0)
    assert client.get_collection(name).config.hnsw_config.m == 8
    assert client.delete_collection(name)
    assert not client.collection_exists(name)
