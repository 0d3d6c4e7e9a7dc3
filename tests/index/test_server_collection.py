"""One collection in this process: replay, group commit, flushes beside a build."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as edge
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import FirstlightError
from index.server.bodies import Body
from index.server.collection import Collection
from index.server.effects import (
    ClearPayload,
    DropPayload,
    DropPoints,
    Effect,
    OverwritePayload,
    PutIndex,
    PutPoints,
    PutVectors,
    SetPayload,
    apply,
    decode,
    encode,
)
from index.server.engine import new_shard
from index.server.engine_config import edge_config
from index.server.optimiser import build_graph
from index.server.points import PointRecord
from index.server.spec import CollectionSpec, Defaults, parse_spec
from index.server.writes import OnCollection, Upsert

DIM = 4
DEFAULTS = Defaults(exact_up_to=100, hnsw_m=8, hnsw_ef_construct=32)


def spec() -> CollectionSpec:
    return parse_spec(Body({"vectors": {"rank": {"size": DIM, "distance": "Dot"}}}, "test"))


def record(id_: int, value: float, payload: dict[str, Any] | None = None) -> PointRecord:
    vector = np.full(DIM, value, dtype=np.float32)
    return PointRecord(id_, {"rank": vector}, {"v": value} if payload is None else payload)


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    made = Collection.create(tmp_path / "c", "c", spec(), DEFAULTS)
    yield made
    made.close()


def state(shard: edge.EdgeShard) -> dict[Any, Any]:
    records, _ = shard.scroll(edge.ScrollRequest(limit=1000, with_payload=True, with_vector=True))
    return {one.id: (one.payload, one.vector) for one in records}


IDS = st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True)
VALUES = st.integers(1, 9)
PAYLOADS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=2)
EFFECTS = st.one_of(
    st.builds(lambda ids, v, p: PutPoints([record(i, v, p) for i in ids]), IDS, VALUES, PAYLOADS),
    st.builds(lambda ids, v: PutVectors([record(i, v, {}) for i in ids]), IDS, VALUES),
    st.builds(DropPoints, IDS),
    st.builds(SetPayload, IDS, PAYLOADS, st.none()),
    st.builds(OverwritePayload, IDS, PAYLOADS, st.none()),
    st.builds(DropPayload, IDS, st.lists(st.sampled_from("abc"), min_size=1, max_size=2)),
    st.builds(ClearPayload, IDS),
)


@settings(max_examples=40, deadline=None)
@given(effects=st.lists(EFFECTS, min_size=1, max_size=12), data=st.data())
def test_replaying_from_an_earlier_point_over_a_later_state_ends_in_the_same_state(
    effects: list[Effect], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shard = new_shard(tmp_path_factory.mktemp("s") / "shard", edge_config(spec(), DEFAULTS))
    for effect in effects:
        apply(effect, shard)
    ended = state(shard)
    start = data.draw(st.integers(0, len(effects) - 1))
    for effect in decode(encode(effects[start:])):
        apply(effect, shard)
    assert state(shard) == ended
    shard.close()


def test_writes_that_wait_together_share_one_record(collection: Collection) -> None:
    release = threading.Event()
    collection.between_writes(release.wait)
    done = [collection.write([Upsert([record(n, 1.0)])]) for n in range(20)]
    release.set()
    assert {future.result() for future in done} == {1}
    assert collection.points_count() == 20


def test_a_write_sees_what_an_earlier_one_in_the_queue_has_written(
    collection: Collection,
) -> None:
    older = edge.Filter(must=[edge.FieldCondition("v", range=edge.RangeFloat(lt=5))])
    release = threading.Event()
    collection.between_writes(release.wait)
    done = [collection.write([Upsert([record(1, value)], older)]) for value in (3.0, 7.0, 4.0)]
    release.set()
    for future in done:
        future.result()
    assert collection.shard.retrieve([1], True, False)[0].payload == {"v": 7.0}


def test_what_the_engine_cannot_take_is_refused_and_leaves_no_record(
    collection: Collection,
) -> None:
    bad = Upsert([record(1, 1.0, {"v": float("nan")})])
    good = Upsert([record(2, 1.0)])
    refused, accepted = collection.write([bad, good]), collection.write([good])
    with pytest.raises(FirstlightError, match="NaN"):
        refused.result()
    assert accepted.result() == 1
    assert list(state(collection.shard)) == [2]


def test_the_journal_a_build_will_replay_is_kept_through_flushes(collection: Collection) -> None:
    collection.write([Upsert([record(1, 1.0)])]).result()
    start = collection.between_writes(collection.begin_build).result()
    collection.write([Upsert([record(2, 1.0)])]).result()
    collection.flush()
    kept = [one.data for one in collection.journal.read(start)]
    assert [effect.points[0].id for data in kept for effect in decode(data)] == [2]
    collection.end_build()
    collection.write([Upsert([record(3, 1.0)])]).result()
    collection.flush()
    assert list(collection.journal.read()) == []


@pytest.mark.parametrize(
    ("step", "problem"),
    [("Journal._open", ""), ("sync", "the journal of collection c takes no writes")],
)
def test_a_flush_without_a_new_segment_either_leaves_writes_going_or_is_a_problem(
    collection: Collection, monkeypatch: pytest.MonkeyPatch, step: str, problem: str
) -> None:
    collection.write([Upsert([record(1, 1.0)])]).result()

    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(f"index.server.journal.{step}", no_space)
        with pytest.raises(FirstlightError, match="No space left"):
            collection.flush()
    assert collection.problem() == problem
    later = collection.write([Upsert([record(2, 1.0)])])
    assert (later.exception() is not None) == bool(problem)
    assert set(state(collection.shard)) == ({1} if problem else {1, 2})
    collection.flush()


def test_a_failed_build_leaves_the_collection_as_it_was(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.write([Upsert([record(n, 1.0 + n) for n in range(200)])]).result()
    assert collection.build_due()
    monkeypatch.setattr("index.server.optimiser.sys.executable", "/bin/false")
    with pytest.raises(FirstlightError, match="code 1"):
        build_graph(collection, lambda: False, lambda run: run())
    assert [path.name for path in collection.folder.glob("shard-*")] == ["shard-1"]
    collection.write([Upsert([record(200, 1.0)])]).result()
    assert collection.points_count() == 201


def test_payload_indexes_and_points_survive_reopening_and_a_build(tmp_path: Path) -> None:
    first = Collection.create(tmp_path / "c", "c", spec(), DEFAULTS)
    first.write([Upsert([record(n, 1.0 + n) for n in range(200)])]).result()
    first.write([OnCollection(PutIndex("v", "float"))]).result()
    build_graph(first, lambda: False, lambda run: run())
    assert first.coverage.indexed == 200
    assert list(first.shard.info().payload_schema) == ["v"]
    first.close()
    second = Collection(tmp_path / "c", DEFAULTS)
    assert second.coverage.indexed == 200
    assert second.indexes == {"v": "float"}
    assert len(state(second.shard)) == 200
    second.close()
