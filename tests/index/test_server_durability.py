"""What was acknowledged survives kill -9; what is on disk is checked before it is believed."""

from __future__ import annotations

import random
import threading
import time

import httpx
import pytest

from tests.fixtures.index_server import ServerFactory

DIM = 16
WRITERS = 4
KILLS = 4
SPEC = {
    "vectors": {"rank": {"size": DIM, "distance": "Dot"}},
    "optimizers_config": {"flush_interval_sec": 1},
}


def vector(point_id: int, version: int) -> list[float]:
    return [float(point_id), float(version)] + [1.0] * (DIM - 2)


def point(point_id: int, version: int) -> dict[str, object]:
    return {
        "id": point_id,
        "vector": {"rank": vector(point_id, version)},
        "payload": {"version": version},
    }


def older_than(version: int) -> dict[str, object]:
    return {"must": [{"key": "version", "range": {"lt": version}}]}


class Writing(threading.Thread):
    """Upserts and deletes points of its own as fast as it can.

    Attributes:
        acknowledged: {id: version, or None where deleted}, as the server confirmed it.
        unsettled: the same of the write that was under way at the end: done, or not.
    """

    def __init__(self, url: str, number: int, acknowledged: dict[int, int | None]) -> None:
        super().__init__()
        self._client = httpx.Client(base_url=f"{url}/collections/c", timeout=10)
        self._first = number * 1000
        self._draw = random.Random(time.monotonic_ns() + number)
        self.acknowledged = acknowledged
        self.unsettled: dict[int, int | None] = {}

    def run(self) -> None:
        try:
            while True:
                self._step()
        except httpx.TransportError:
            self._client.close()

    def _step(self) -> None:
        ids = self._draw.sample(range(self._first, self._first + 300), self._draw.choice([1, 20]))
        if self._draw.random() < 0.1:
            self.unsettled = dict.fromkeys(ids)
            answer = self._client.post("/points/delete", json={"points": ids})
        else:
            version = time.monotonic_ns() // 1000
            self.unsettled = dict.fromkeys(ids, version)
            body = {"points": [point(i, version) for i in ids]}
            body["update_filter"] = older_than(version)
            answer = self._client.put("/points", json=body)
        answer.raise_for_status()
        self.acknowledged.update(self.unsettled)
        self.unsettled = {}


def stored(url: str) -> dict[int, tuple[int, list[float]]]:
    found = {}
    offset = None
    while True:
        body = {"limit": 1000, "with_vector": True, "offset": offset}
        page = httpx.post(f"{url}/collections/c/points/scroll", json=body).json()["result"]
        for record in page["points"]:
            found[record["id"]] = (record["payload"]["version"], record["vector"]["rank"])
        offset = page["next_page_offset"]
        if offset is None:
            return found


def test_killed_while_writing_it_reopens_with_every_acknowledged_write(
    index_server_factory: ServerFactory,
) -> None:
    server = index_server_factory()
    httpx.put(f"{server.url}/collections/c", json=SPEC).raise_for_status()
    acknowledged: dict[int, int | None] = {}
    for kill in range(KILLS):
        writers = [Writing(server.url, number, acknowledged) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        time.sleep(random.Random(kill).uniform(0.4, 2.0))
        server.kill()
        unsettled: dict[int, int | None] = {}
        for writer in writers:
            writer.join()
            unsettled |= writer.unsettled
        server.start()
        found = stored(server.url)
        assert len(acknowledged) > WRITERS * 50
        for point_id, version in acknowledged.items():
            held = found[point_id][0] if point_id in found else None
            assert held == version or held == unsettled.get(point_id, version)
        for point_id, (version, numbers) in found.items():
            assert numbers == pytest.approx(vector(point_id, version), rel=1e-6)
        for point_id in unsettled:
            acknowledged[point_id] = found[point_id][0] if point_id in found else None


def test_a_deleted_point_stays_deleted_and_an_alias_stays_set_after_a_kill(
    index_server_factory: ServerFactory,
) -> None:
    server = index_server_factory()
    url = f"{server.url}/collections"
    httpx.put(f"{url}/c", json=SPEC).raise_for_status()
    httpx.put(f"{url}/c/points", json={"points": [point(i, 1) for i in range(50)]})
    time.sleep(2.0)  # flushed: the deletion is in the journal alone
    httpx.post(f"{url}/c/points/delete", json={"filter": {"must": [{"has_id": [3, 4]}]}})
    httpx.post(f"{url}/c/points/payload", json={"payload": {"seen": True}, "points": [5]})
    alias = {"create_alias": {"collection_name": "c", "alias_name": "now"}}
    httpx.post(f"{url}/aliases", json={"actions": [alias]}).raise_for_status()
    httpx.put(f"{url}/c/index", json={"field_name": "version", "field_schema": "integer"})
    server.kill()
    server.start()
    url = f"{server.url}/collections"
    answer = httpx.post(f"{url}/now/points", json={"ids": [3, 4, 5]}).json()["result"]
    assert answer == [{"id": 5, "payload": {"version": 1, "seen": True}}]
    info = httpx.get(f"{url}/now").json()["result"]
    assert info["points_count"] == 48
    assert info["payload_schema"]["version"]["data_type"] == "integer"


def test_stopped_with_sigterm_it_exits_cleanly_and_has_nothing_to_replay(
    index_server_factory: ServerFactory,
) -> None:
    server = index_server_factory()
    httpx.put(f"{server.url}/collections/c", json=SPEC).raise_for_status()
    httpx.put(f"{server.url}/collections/c/points", json={"points": [point(1, 1)]})
    assert server.stop() == 0
    server.start()
    assert stored(server.url)[1][0] == 1
    assert "journal replayed" not in server.log.read_text()


def test_a_corrupt_journal_stops_the_start_and_says_where_and_what_to_do(
    index_server_factory: ServerFactory,
) -> None:
    server = index_server_factory()
    httpx.put(f"{server.url}/collections/c", json=SPEC | {"optimizers_config": None})
    for number in range(20):
        httpx.put(f"{server.url}/collections/c/points", json={"points": [point(number, 1)]})
    server.kill()
    journal = max((server.data_dir / "collections" / "c" / "journal").glob("*.log"))
    content = bytearray(journal.read_bytes())
    content[len(content) // 2] ^= 0xFF
    journal.write_bytes(content)
    with pytest.raises(RuntimeError, match=r"index server: .* corrupt at byte \d+.*reindex"):
        server.start()
