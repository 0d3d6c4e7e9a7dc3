"""What the embedded server does not do it refuses by name; bad input never reaches the engine."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.fixtures.index_server import IndexServer

DIM = 4
GOOD = [1.0, 0.0, 0.0, 0.5]


@pytest.fixture(scope="module")
def client(index_server: IndexServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=index_server.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def url(client: httpx.Client) -> Iterator[str]:
    """A collection with points 1 and 2."""
    url = f"/collections/refusals-{uuid.uuid4().hex[:6]}"
    vectors = {
        "rank": {"size": DIM, "distance": "Dot"},
        "text": {"size": DIM, "distance": "Cosine"},
    }
    client.put(url, json={"vectors": vectors}).raise_for_status()
    points = [
        {"id": i, "vector": {"rank": GOOD}, "payload": {"n": i, "new": i == 1}} for i in (1, 2)
    ]
    client.put(f"{url}/points", json={"points": points}).raise_for_status()
    yield url
    client.delete(url).raise_for_status()


def refused(answer: httpx.Response, status: int, *words: str) -> None:
    assert answer.status_code == status, answer.text
    message = answer.json()["status"]["error"]
    for word in words:
        assert word in message


def points(client: httpx.Client, url: str) -> list[Any]:
    found: list[Any] = client.post(f"{url}/points/scroll", json={}).json()["result"]["points"]
    return found


@pytest.mark.parametrize(
    ("vector", "words"),
    [
        ('{"rank": [1, 2, 3]}', ["expected dim: 4, got 3", "point 7", "rank"]),
        ('{"rank": [0, 0, 0, 0]}', ["point 7", "all zeros"]),
        ('{"rank": [1, 2, 3, NaN]}', ["JSON"]),
        ('{"rank": [1, 2, 3, 1e39]}', ["point 7", "infinity"]),
        ('{"rank": [1, 2, 3, null]}', ["point 7", "list of numbers"]),
        ('{"rank": [1, 2, 3, "4"]}', ["point 7", "list of numbers"]),
        ('{"rank": "word"}', ["point 7", "list of numbers"]),
        ('{"image": [1, 2, 3, 4]}', ["vector name", "image"]),
        ("[1, 2, 3, 4]", ["vector name"]),
    ],
)
def test_a_bad_vector_is_refused_with_its_point_and_its_batch_is_not_written(
    client: httpx.Client, url: str, vector: str, words: list[str]
) -> None:
    good = '{"id": 6, "vector": {"rank": [1, 1, 1, 1]}}'
    body = f'{{"points": [{good}, {{"id": 7, "vector": {vector}}}]}}'
    refused(client.put(f"{url}/points", content=body), 400, *words)
    assert [point["id"] for point in points(client, url)] == [1, 2]


@pytest.mark.parametrize("bad", [-1, 2**64, 1.5, True, "seven", "", None, [1]])
def test_an_id_is_an_unsigned_integer_or_a_uuid(client: httpx.Client, url: str, bad: Any) -> None:
    body = {"points": [{"id": bad, "vector": {"rank": GOOD}}]}
    answer = client.put(f"{url}/points", json=body)
    assert answer.status_code == 400
    assert "id" in answer.json()["status"]["error"].lower()


def test_one_id_is_one_point_however_the_uuid_is_written(client: httpx.Client, url: str) -> None:
    made = uuid.uuid4()
    for written in (made.hex, str(made).upper(), f"urn:uuid:{made}"):
        body = {"points": [{"id": written, "vector": {"rank": GOOD}}]}
        client.put(f"{url}/points", json=body).raise_for_status()
    assert client.get(f"{url}/points/{made}").json()["result"]["id"] == str(made)
    assert len(points(client, url)) == 3
    client.post(f"{url}/points/delete", json={"points": [str(made)]}).raise_for_status()


def test_of_two_points_with_one_id_the_later_is_held_to_the_condition_too(
    client: httpx.Client, url: str
) -> None:
    older = {"must": [{"key": "n", "range": {"lt": 5}}]}
    twice = [
        {"id": 9, "vector": {"rank": GOOD}, "payload": {"n": n, "at": at}}
        for at, n in enumerate([5, 3])
    ]
    body = {"points": twice, "update_filter": older}
    client.put(f"{url}/points", json=body).raise_for_status()
    assert client.get(f"{url}/points/9").json()["result"]["payload"] == {"n": 5, "at": 0}
    client.post(f"{url}/points/delete", json={"points": [9]}).raise_for_status()


@pytest.mark.parametrize(
    ("mode", "kept"), [("insert_only", {1: 1, 5: 50}), ("update_only", {1: 10})]
)
def test_update_mode_decides_between_new_and_stored_points(
    client: httpx.Client, url: str, mode: str, kept: dict[int, int]
) -> None:
    body = {
        "points": [{"id": i, "vector": {"rank": GOOD}, "payload": {"n": 10 * i}} for i in (1, 5)],
        "update_mode": mode,
    }
    client.put(f"{url}/points", json=body).raise_for_status()
    found = {point["id"]: point["payload"]["n"] for point in points(client, url)}
    assert found == {**kept, 2: 2}
    client.post(f"{url}/points/delete", json={"points": [5]}).raise_for_status()
    restored = [{"id": 1, "vector": {"rank": GOOD}, "payload": {"n": 1, "new": True}}]
    client.put(f"{url}/points", json={"points": restored}).raise_for_status()


QUERY = {"query": GOOD, "using": "rank"}


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("points/query", QUERY | {"prefetch": []}, 501, ["prefetch"]),
        ("points/query", QUERY | {"lookup_from": {"collection": "x"}}, 501, ["lookup_from"]),
        ("points/query", {"query": {"fusion": "rrf"}, "using": "rank"}, 501, ["fusion", "nearest"]),
        ("points/query", {"query": {"recommend": {}}, "using": "rank"}, 501, ["recommend"]),
        ("points/query", QUERY | {"boost": 2}, 501, ["boost"]),
        ("points/query", QUERY | {"params": {"acorn": {}}}, 501, ["acorn"]),
        ("points/query", QUERY | {"limit": 0}, 400, ["limit", "1"]),
        ("points/query", QUERY | {"limit": 10**6}, 400, ["limit", "100000"]),
        ("points/query", QUERY | {"limit": "many"}, 400, ["limit", "whole number"]),
        ("points/query", {"query": [1.0], "using": "rank"}, 400, ["expected dim: 4, got 1"]),
        ("points/query", {"query": GOOD}, 400, ["unnamed vector", "rank"]),
        ("points/query", {"query": GOOD, "using": "sound"}, 400, ["sound", "rank"]),
        ("points/query", {"query": 77, "using": "rank"}, 404, ["77"]),
        ("points/query", {"query": {"text": "x", "model": "y"}, "using": "rank"}, 501, ["model"]),
        ("points/query", QUERY | {"with_vector": ["sound"]}, 400, ["sound"]),
        ("points/query/groups", QUERY, 501, ["query/groups", "Qdrant server"]),
        ("points/search", {"vector": GOOD}, 501, ["points/search"]),
        ("points/scroll", {"offset": "here"}, 400, ["here"]),
        ("points/scroll", {"order_by": "n"}, 400, ["order_by", "n"]),
        ("points/count", {"filter": {"musst": []}}, 501, ["musst"]),
        ("points/count", {"filter": {"must": [{"key": "n"}]}}, 400, ["`n`"]),
        ("points/count", {"filter": {"must": [{"key": "n", "like": 1}]}}, 501, ["like"]),
        (
            "points/count",
            {"filter": {"must": [{"key": "n", "match": {"value": 1.5}}]}},
            400,
            ["1.5"],
        ),
        (
            "points/count",
            {"filter": {"must": [{"key": "n", "match": {"any": ["a", 1]}}]}},
            400,
            ["any"],
        ),
        (
            "points/count",
            {"filter": {"must": [{"key": "n", "range": {"lt": "soon"}}]}},
            400,
            ["soon"],
        ),
        ("points/delete", {}, 400, ["points", "filter"]),
        ("points/delete", {"points": [1], "shard_key": "a"}, 501, ["shard_key"]),
        ("points/payload", {"payload": {}, "points": [77]}, 404, ["77"]),
        ("points/payload", {"payload": [], "points": [1]}, 400, ["payload"]),
        ("points/batch", {"operations": [{"explode": {}}]}, 501, ["explode", "upsert"]),
        ("index", {"field_name": "n", "field_schema": "number"}, 501, ["POST"]),
        ("snapshots", {}, 501, ["snapshots"]),
    ],
)
def test_a_request_that_cannot_be_served_is_refused_by_name(
    client: httpx.Client, url: str, path: str, body: Any, status: int, words: list[str]
) -> None:
    refused(client.post(f"{url}/{path}", json=body), status, *words)
    assert [point["id"] for point in points(client, url)] == [1, 2]


VECTORS = {"rank": {"size": DIM, "distance": "Dot"}}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, ["vectors"]),
        ({"vectors": {"rank": {"size": 0, "distance": "Dot"}}}, 400, ["size"]),
        ({"vectors": {"rank": {"size": 4, "distance": "Near"}}}, 400, ["distance", "Dot"]),
        ({"vectors": VECTORS, "sparse_vectors": {"s": {}}}, 501, ["sparse_vectors"]),
        ({"vectors": VECTORS, "shard_number": 2}, 501, ["shard_number"]),
        ({"vectors": VECTORS, "replication_factor": 2}, 501, ["replication_factor"]),
        ({"vectors": VECTORS, "wal_config": {}}, 501, ["wal_config", "durable"]),
        ({"vectors": VECTORS, "quantization_config": {"binary": {}}}, 501, ["binary", "int8"]),
        ({"vectors": VECTORS, "optimizers_config": {"memmap_threshold": 1}}, 501, ["memmap"]),
        ({"vectors": {"rank": VECTORS["rank"] | {"datatype": "uint8"}}}, 501, ["datatype"]),
        ({"vectors": {"rank": VECTORS["rank"] | {"multivector_config": {}}}}, 501, ["multivector"]),
        ({"vectors": VECTORS, "colour": "red"}, 501, ["colour"]),
    ],
)
def test_a_collection_that_cannot_be_made_is_refused_by_name(
    client: httpx.Client, body: Any, status: int, words: list[str]
) -> None:
    refused(client.put("/collections/never", json=body), status, *words)
    assert client.get("/collections/never").status_code == 404


@pytest.mark.parametrize("name", ["a%2Fb", "a%3Fb", "x" * 256, "%2E%2E", "a%00b"])
def test_a_name_that_could_leave_the_data_directory_is_refused(
    client: httpx.Client, name: str
) -> None:
    answer = client.put(f"/collections/{name}", json={"vectors": VECTORS})
    assert answer.status_code in (400, 501)


def test_a_taken_name_is_a_conflict_and_an_unknown_one_is_not_found(
    client: httpx.Client, url: str
) -> None:
    refused(client.put(url, json={"vectors": VECTORS}), 409, "already exists")
    refused(client.get("/collections/nowhere"), 404, "nowhere")
    refused(client.post("/collections/nowhere/points/count", json={}), 404, "nowhere")
    assert client.delete("/collections/nowhere").json()["result"] is False


def test_alias_actions_are_carried_out_together_or_not_at_all(
    client: httpx.Client, url: str
) -> None:
    name = url.rsplit("/", 1)[1]
    create = {"create_alias": {"collection_name": name, "alias_name": "both"}}
    absent = {"create_alias": {"collection_name": "nowhere", "alias_name": "other"}}
    answer = client.post("/collections/aliases", json={"actions": [create, absent]})
    refused(answer, 404, "nowhere")
    assert client.get(f"{url}/aliases").json()["result"]["aliases"] == []
    client.post("/collections/aliases", json={"actions": [create]}).raise_for_status()
    rename = {"rename_alias": {"old_alias_name": "both", "new_alias_name": "now"}}
    client.post("/collections/aliases", json={"actions": [rename]}).raise_for_status()
    refused(client.put("/collections/now", json={"vectors": VECTORS}), 409, "now")
    delete = {"delete_alias": {"alias_name": "now"}}
    client.post("/collections/aliases", json={"actions": [delete]}).raise_for_status()
    left = {alias["alias_name"] for alias in client.get("/aliases").json()["result"]["aliases"]}
    assert left.isdisjoint({"both", "other", "now"})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"must": [{"key": "new", "match": {"value": True}}]}, [1]),
        ({"must": [{"key": "new", "match": {"value": False}}]}, [2]),
        ({"must": [{"key": "n", "match": {"value": 1}}]}, [1]),
        ({"must": [{"key": "n", "match": {"except": [1]}}]}, [2]),
        ({"must": [{"is_empty": {"key": "gone"}}], "must_not": [{"has_id": [2]}]}, [1]),
        ({"must": {"has_vector": "text"}}, []),
        ({"should": [{"has_id": [1]}, {"must": [{"key": "n", "range": {"gte": 2}}]}]}, [1, 2]),
        (
            {
                "min_should": {
                    "conditions": [{"has_id": [1, 2]}, {"key": "n", "match": {"any": [2]}}],
                    "min_count": 2,
                }
            },
            [2],
        ),
    ],
)
def test_a_filter_means_what_it_means_in_qdrant(
    client: httpx.Client, url: str, condition: Any, expected: list[int]
) -> None:
    answer = client.post(f"{url}/points/scroll", json={"filter": condition}).json()
    assert [point["id"] for point in answer["result"]["points"]] == expected


@pytest.mark.parametrize("content", [b"{", b"[1", b"\xff", b'{"points": [' * 5000])
def test_a_body_that_is_not_json_is_refused(client: httpx.Client, url: str, content: bytes) -> None:
    refused(client.put(f"{url}/points", content=content), 400, "JSON")


def test_an_unknown_query_parameter_is_refused(client: httpx.Client, url: str) -> None:
    refused(client.post(f"{url}/points/count?fast=1", json={}), 400, "fast")
