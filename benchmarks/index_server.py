"""The embedded index server beside the bare engine: queries, durable writes, both together.

    python benchmarks/index_server.py --points 20000 --graph

Prints a table; every figure is a median over one run on this machine, in milliseconds, and the
last column is the server's time over the bare engine's in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import qdrant_edge as edge

DIM = 512
BATCH = 64
WARM = 3
JSON = {"Content-Type": "application/json"}


def draw(n: int, seed: int) -> np.ndarray:
    """[n, DIM] float32, unit norm, in a few hundred clusters as embeddings are."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((300, DIM), dtype=np.float32)
    drawn = centres[rng.integers(0, 300, n)] + 0.7 * rng.standard_normal((n, DIM), dtype=np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def medians_ms(*runs: Callable[[int], object], repeats: int) -> list[float]:
    """Median time of each call; they take turns, so that a busy machine slows all alike."""
    times: list[list[float]] = [[] for _ in runs]
    for n in range(WARM + repeats):
        for run, taken in zip(runs, times, strict=True):
            started = time.perf_counter()
            run(n)
            taken.append((time.perf_counter() - started) * 1e3)
    return [statistics.median(taken[WARM:]) for taken in times]


class Server:
    """The server's process and a client that sends JSON as the store does."""

    def __init__(self, data_dir: Path, environ: dict[str, str]) -> None:
        command = [sys.executable, "-m", "index.server", "--data-dir", str(data_dir), "--port", "0"]
        self.process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            env={**os.environ, "FIRSTLIGHT_LOG_FORMAT": "json"} | environ,
        )
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if b'"index server ready"' in line:
                self.url = json.loads(line)["address"]
                break
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        self.http = httpx.Client(base_url=self.url, timeout=120)

    def send(self, method: str, path: str, body: Any) -> Any:
        """One call; the result."""
        content = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
        answer = self.http.request(method, f"/collections/{path}", content=content, headers=JSON)
        answer.raise_for_status()
        return orjson.loads(answer.content)["result"]

    def stop(self) -> None:
        """End it."""
        self.http.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


class Traffic(threading.Thread):
    """Calls something again and again until told to stop, pausing in between."""

    def __init__(self, run: Callable[[int], object], pause_s: float) -> None:
        super().__init__()
        self._run, self._pause_s = run, pause_s
        self._stop_now = threading.Event()
        self.calls = 0

    def run(self) -> None:
        while not self._stop_now.wait(self._pause_s):
            self._run(self.calls)
            self.calls += 1

    def stop(self) -> None:
        """End the thread."""
        self._stop_now.set()
        self.join()


@contextmanager
def beside(run: Callable[[int], object], pause_s: float) -> Iterator[None]:
    """Something that goes on meanwhile."""
    traffic = Traffic(run, pause_s)
    traffic.start()
    try:
        yield
    finally:
        traffic.stop()


def older(version: int) -> Any:
    """The condition of a conditional upsert."""
    return {"must": [{"key": "version", "range": {"lt": version}}]}


def measure(points: int, graph: bool, repeats: int, folder: Path) -> list[tuple[str, float, float]]:
    """Rows of (what, server ms, bare engine ms or 0)."""
    vectors, queries = draw(points, 1), draw(200, 2)
    environ = {"FIRSTLIGHT_INDEX_EXACT_UP_TO": "0" if graph else str(10**9)}
    server = Server(folder / "server", {"FIRSTLIGHT_INDEX_EXACT_UP_TO": str(10**9)})
    spec: Any = {"vectors": {"rank": {"size": DIM, "distance": "Dot"}}}
    server.send("PUT", "c", spec)
    server.send("PUT", "c/index", {"field_name": "version", "field_schema": "integer"})

    def body(rows: range, version: int) -> Any:
        return {
            "points": [
                {"id": i, "vector": {"rank": vectors[i % points]}, "payload": {"version": version}}
                for i in rows
            ],
            "update_filter": older(version),
        }

    bare = fill_bare(folder / "bare", vectors)
    started = time.perf_counter()
    for start in range(0, points, 256):
        server.send("PUT", "c/points", body(range(start, min(points, start + 256)), 1))
    rate = points / (time.perf_counter() - started)
    print(f"filled through HTTP: {rate:,.0f} points/s, each batch of 256 durable", flush=True)
    if graph:
        server.stop()
        server = Server(folder / "server", environ)
        started = time.perf_counter()
        while server.send("GET", "c", {})["indexed_vectors_count"] < points:
            time.sleep(0.5)
        print(f"graph built beside it in {time.perf_counter() - started:.0f} s", flush=True)
        bare = built_copy(folder, bare)

    def query(n: int, limit: int) -> Any:
        vector = queries[n % len(queries)]
        return server.send(
            "POST", "c/points/query", {"query": vector, "using": "rank", "limit": limit}
        )

    def bare_query(n: int, limit: int) -> Any:
        vector = queries[n % len(queries)]
        request = edge.QueryRequest(
            limit,
            query=edge.Query.Nearest(vector, using="rank"),
            params=edge.SearchParams(hnsw_ef=512),
        )
        return bare.query(request)

    version = iter(range(2, 10**9))
    rows: list[tuple[str, float, float]] = []
    for limit in (10, 100):
        ours, theirs = medians_ms(
            lambda n, k=limit: query(n, k), lambda n, k=limit: bare_query(n, k), repeats=repeats
        )
        rows.append((f"query, top {limit}", ours, theirs))
    for size in (1, BATCH):

        def write(n: int, size: int = size) -> Any:
            start = (n * size) % (points - size)
            return server.send(
                "PUT", "c/points?wait=true", body(range(start, start + size), next(version))
            )

        def bare_write(n: int, size: int = size) -> Any:
            start = (n * size) % (points - size)
            now = next(version)
            bare.update(
                edge.UpdateOperation.upsert_points(
                    [
                        edge.Point(i, {"rank": vectors[i]}, {"version": now})
                        for i in range(start, start + size)
                    ],
                    condition=edge.Filter(
                        must=[edge.FieldCondition("version", range=edge.RangeFloat(lt=now))]
                    ),
                )
            )
            bare.flush()

        ours, theirs = medians_ms(write, bare_write, repeats=max(20, repeats // 4))
        rows.append((f"conditional upsert of {size}, durable", ours, theirs))
    single = httpx.Client(base_url=server.url, timeout=120)

    def write_one(n: int) -> None:
        content = orjson.dumps(
            body(range(n, n + 1), next(version)), option=orjson.OPT_SERIALIZE_NUMPY
        )
        single.put("/collections/c/points", content=content, headers=JSON).raise_for_status()

    def write_many(n: int) -> None:
        start = (n * BATCH) % (points - BATCH)
        content = orjson.dumps(
            body(range(start, start + BATCH), next(version)), option=orjson.OPT_SERIALIZE_NUMPY
        )
        single.put("/collections/c/points", content=content, headers=JSON).raise_for_status()

    for what, run, pause_s in (("1-point", write_one, 0.01), (f"{BATCH}-point", write_many, 0.02)):
        with beside(run, pause_s):
            (ours,) = medians_ms(lambda n: query(n, 10), repeats=repeats)
        rows.append((f"query, top 10, beside {what} writes", ours, 0.0))
    single.close()
    server.stop()
    bare.close()
    return rows


def bare_config() -> edge.EdgeConfig:
    """The engine as the server sets it."""
    return edge.EdgeConfig(
        vectors={"rank": edge.EdgeVectorParams(DIM, edge.Distance.Dot)}, wal_enabled=False
    )


def fill_bare(folder: Path, vectors: np.ndarray) -> edge.EdgeShard:
    """The bare engine with the same points."""
    folder.mkdir()
    shard = edge.EdgeShard.create(str(folder), bare_config())
    shard.update(edge.UpdateOperation.create_field_index("version", edge.PayloadSchemaType.Integer))
    for start in range(0, len(vectors), 256):
        rows = range(start, min(len(vectors), start + 256))
        made = [edge.Point(i, {"rank": vectors[i]}, {"version": 1}) for i in rows]
        shard.update(edge.UpdateOperation.upsert_points(made))
    shard.flush()
    return shard


def built_copy(folder: Path, bare: edge.EdgeShard) -> edge.EdgeShard:
    """The bare engine over a copy of what the server's child process built."""
    bare.close()
    time.sleep(1)
    (source,) = (folder / "server" / "collections" / "c").glob("shard-*")
    shutil.copytree(source, folder / "built")
    return edge.EdgeShard.load(str(folder / "built"))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--graph", action="store_true", help="build the HNSW graph first")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="firstlight-bench-") as folder:
        rows = measure(given.points, given.graph, given.repeats, Path(folder))
    kind = "HNSW, ef 512" if given.graph else "exact"
    print(f"\n{given.points:,} points x {DIM}, {kind}; medians of {given.repeats}, ms")
    print(f"{'':44}{'server':>9}{'engine':>9}{'ratio':>8}")
    for name, ours, theirs in rows:
        ratio = f"{ours / theirs:8.2f}" if theirs else ""
        print(f"{name:44}{ours:9.2f}{theirs or float('nan'):9.2f}{ratio}")
    if given.json:
        given.json.write_text(
            json.dumps({"points": given.points, "graph": given.graph, "rows": rows})
        )


if __name__ == "__main__":
    main()
