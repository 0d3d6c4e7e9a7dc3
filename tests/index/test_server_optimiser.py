"""A graph is built beside the traffic and swapped in; nothing is lost and nothing fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.fixtures.index_server import IndexServer, ServerFactory

DIM = 32
EXACT_UP_TO = 2000
N = 3000
SPEC = {
    "vectors": {
        "rank": {"size": DIM, "distance": "Dot", "hnsw_config": {"m": 16, "ef_construct": 64}},
        "text": {"size": 8, "distance": "Cosine", "on_disk": True, "hnsw_config": {"m": 0}},
    },
    "optimizers_config": {"flush_interval_sec": 1},
}


def vectors(seed: int, n: int = N, dim: int = DIM) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def put(client: httpx.Client, ids: range, version: int, rank: np.ndarray, text: np.ndarray) -> None:
    points = [
        {
            "id": i,
            "vector": {"rank": rank[i].tolist(), "text": text[i].tolist()},
            "payload": {"version": version, "kind": i % 3},
        }
        for i in ids
    ]
    older = {"must": [{"key": "version", "range": {"lt": version}}]}
    body = {"points": points, "update_filter": older}
    client.put("/c/points", json=body).raise_for_status()


def info(client: httpx.Client) -> dict[str, object]:
    answer: dict[str, object] = client.get("/c").raise_for_status().json()["result"]
    return answer


def wait_for_graph(client: httpx.Client, at_least: int, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = info(client)
        assert found["optimizer_status"] == "ok"
        if found["status"] == "green" and found["indexed_vectors_count"] >= at_least:
            return
        time.sleep(0.1)
    raise AssertionError(f"no graph over {at_least} points after {timeout_s} s: {info(client)}")


def top(client: httpx.Client, vector: np.ndarray, using: str, **params: object) -> list[int]:
    body = {"query": vector.tolist(), "using": using, "limit": 10, "params": params}
    answer = client.post("/c/points/query", json=body).raise_for_status()
    return [point["id"] for point in answer.json()["result"]["points"]]


@pytest.fixture(scope="module")
def server(index_server_factory: ServerFactory) -> IndexServer:
    return index_server_factory(environ={"FIRSTLIGHT_INDEX_EXACT_UP_TO": str(EXACT_UP_TO)})


@pytest.fixture
def client(server: IndexServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/collections", timeout=30) as client:
        client.put("/c", json=SPEC).raise_for_status()
        index = {"field_name": "kind", "field_schema": "integer"}
        client.put("/c/index", json=index).raise_for_status()
        yield client
        client.delete("/c").raise_for_status()


def test_below_the_threshold_nothing_is_built(client: httpx.Client) -> None:
    rank, text = vectors(1), vectors(2, dim=8)
    put(client, range(EXACT_UP_TO // 2), 1, rank, text)
    time.sleep(1.5)
    assert info(client)["indexed_vectors_count"] == 0


def test_traffic_goes_on_while_the_graph_is_built_and_swapped_in(client: httpx.Client) -> None:
    rank, text = vectors(1), vectors(2, dim=8)
    stop = threading.Event()
    problems: list[str] = []
    answered_while_building: list[int] = []

    def building(mine: httpx.Client) -> bool:
        return info(mine)["status"] == "yellow"

    def read() -> None:
        with httpx.Client(base_url=client.base_url, timeout=30) as mine:
            n = 0
            while not stop.is_set():
                n += 1
                begun = building(mine)
                body = {"query": rank[n % N].tolist(), "using": "rank", "limit": 5}
                answer = mine.post("/c/points/query", json=body)
                if answer.status_code != 200 or not answer.json()["result"]["points"]:
                    problems.append(answer.text)
                if begun and building(mine):
                    answered_while_building.append(n)

    put(client, range(100), 1, rank, text)
    reader = threading.Thread(target=read)
    reader.start()
    # Fill past the threshold, then go on: overwrite, insert and delete while the child builds.
    for start in range(100, N, 100):
        put(client, range(start, start + 100), 1, rank, text)
    version = 1
    deleted = set(range(0, N, 50))
    while info(client)["indexed_vectors_count"] == 0:
        version += 1
        for start in range(0, 1000, 100):
            put(client, range(start, start + 100), version, rank, text)
        client.post("/c/points/delete", json={"points": sorted(deleted)}).raise_for_status()
        assert version < 500
    stop.set()
    reader.join()
    assert not problems
    assert answered_while_building, "a build freezes nobody"
    assert version > 1

    page = client.post("/c/points/scroll", json={"limit": N}).json()["result"]["points"]
    held = {point["id"]: point["payload"]["version"] for point in page}
    expected = {i: version if i < 1000 else 1 for i in range(N) if i not in deleted}
    assert held == expected


def test_the_graph_finds_what_a_scan_finds_and_is_built_anew_once_a_tenth_has_changed(
    client: httpx.Client,
) -> None:
    rank, text = vectors(1), vectors(2, dim=8)
    for start in range(0, N, 250):
        put(client, range(start, start + 250), 1, rank, text)
    wait_for_graph(client, N)
    queries = vectors(9, 50)
    found = [set(top(client, q, "rank")) & set(top(client, q, "rank", exact=True)) for q in queries]
    assert np.mean([len(hits) for hits in found]) > 9.8
    for query in vectors(8, 10, 8):  # "text" has no graph
        assert top(client, query, "text") == top(client, query, "text", exact=True)

    put(client, range(200), 2, rank, text)
    assert info(client)["indexed_vectors_count"] == N - 200
    put(client, range(200, 400), 2, rank, text)
    wait_for_graph(client, N)


def shard_folders(server: IndexServer) -> list[Path]:
    return list((server.data_dir / "collections" / "c").glob("shard-*"))


def test_killed_during_a_build_it_reopens_whole_and_builds_again(
    server: IndexServer, client: httpx.Client
) -> None:
    rank, text = vectors(1), vectors(2, dim=8)
    for start in range(0, N, 250):
        put(client, range(start, start + 250), 1, rank, text)
    deadline = time.monotonic() + 60
    while len(shard_folders(server)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    put(client, range(100), 2, rank, text)
    server.kill()
    assert len(shard_folders(server)) == 2
    server.start()
    client.base_url = f"{server.url}/collections"
    assert info(client)["points_count"] == N
    wait_for_graph(client, N)
    page = client.post("/c/points/scroll", json={"limit": 100}).json()["result"]["points"]
    assert {point["payload"]["version"] for point in page} == {2}
    assert len(shard_folders(server)) == 1
    assert server.stop() == 0
    server.start()
    client.base_url = f"{server.url}/collections"
    assert info(client)["indexed_vectors_count"] == N
    assert info(client)["points_count"] == N
