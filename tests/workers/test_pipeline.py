"""The line of one batch: each outcome stands alone, and no race leaves a ghost."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient

from catalog import Catalog, Dead, Indexed, ItemState, Pair, Postponed, Removed, Retry, RetryPolicy
from domain.errors import FirstlightError, PermanentError, RetryableError
from domain.events import parse_event
from domain.settings import load_settings
from domain.vectors import RANK
from encoders import Fusion, ItemInputs
from index import ItemIndex
from ranking import RankSpace, rank_space
from tests.fixtures.worker import DIM, HashEncoders
from workers.composing import Composer
from workers.isolation import Isolation
from workers.pipeline import Pipeline

COLLECTION = "items-0123456789ab"

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")


@dataclass
class Active:
    """As workers.collection.Active."""

    collection: str
    fusion: Fusion
    fingerprint: str
    space: RankSpace


class FixedCollections:
    """One collection until the test says otherwise."""

    def __init__(self, index: ItemIndex) -> None:
        self.index = index
        self.current = self.make(COLLECTION)

    def make(self, collection: str) -> Active:
        fusion = Fusion.passthrough(HashEncoders.dims, {})
        space = rank_space(fusion.blocks, 4, 2)
        self.index.ensure(collection, {RANK: space.dim, **HashEncoders.dims})
        return Active(collection, fusion, collection.removeprefix("items-"), space)

    def active(self) -> Active:
        return self.current


class Shelf:
    """Stands in for MediaFetcher: what is behind each reference."""

    def __init__(self) -> None:
        self.content: dict[str, bytes | FirstlightError] = {}

    def fetch_all(self, references: Sequence[tuple[str, str]]) -> list[bytes | FirstlightError]:
        return [self.content[reference] for _, reference in references]


@dataclass
class Bench:
    """A pipeline and everything around it."""

    catalog: Catalog
    index: ItemIndex
    encoders: HashEncoders
    shelf: Shelf
    collections: FixedCollections
    pipeline: Pipeline

    def create(self, item_id: str, version: int = 1, title: str = "t", **more: Any) -> Pair:
        event = {
            "type": "item.created",
            "data": {"id": item_id, "version": version, "title": title, **more},
        }
        return self._accept(event)

    def delete(self, item_id: str, version: int) -> Pair:
        event = {"type": "item.deleted", "data": {"id": item_id, "version": version}}
        return self._accept(event)

    def _accept(self, raw: dict[str, Any]) -> Pair:
        event: Any = parse_event(raw)
        (accepted,) = self.catalog.accept([event])
        assert accepted.status == "accepted"
        assert accepted.version is not None
        return Pair(accepted.subject, accepted.version)

    def stored(self, collection: str = COLLECTION) -> dict[str, int]:
        return dict(self.index.versions(collection))

    def state(self, item_id: str) -> ItemState:
        record = self.catalog.item(item_id)
        assert record is not None
        return record.state

    def reason(self, item_id: str) -> str:
        record = self.catalog.item(item_id)
        assert record is not None
        return record.reason


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    settings = load_settings(data_dir=tmp_path)
    catalog = Catalog.open(settings.catalog_url, retry=RetryPolicy(max_attempts=3))
    index = ItemIndex(QdrantClient(":memory:"), settings.index, url=":memory:")
    encoders: Any = HashEncoders()
    shelf: Any = Shelf()
    collections: Any = FixedCollections(index)
    pipeline = Pipeline(
        catalog=catalog,
        index=index,
        encoders=encoders,
        fetcher=shelf,
        collections=collections,
        composer=Composer(settings, catalog, index),
        isolation=Isolation(),
        alias="items",
        max_attempts=3,
    )
    yield Bench(catalog, index, encoders, shelf, collections, pipeline)
    index.close()
    catalog.close()


def test_an_item_is_searchable_and_its_record_says_how(bench: Bench) -> None:
    bench.shelf.content["https://a/1.png"] = b"picture"
    pair = bench.create(
        "a", title="A film", attributes={"year": 1999}, media={"images": ["https://a/1.png"]}
    )
    assert bench.pipeline.run([pair]).outcomes == [
        Indexed(pair, "0123456789ab", {"text": "hash-text", "image": "hash-image"})
    ]
    found = bench.index.fetch(COLLECTION, ["a"], with_vectors=[RANK, "text", "image"])["a"]
    assert found.version == 1
    assert found.title == "A film"
    assert found.attributes == {"year": 1999}
    assert {name: len(vector) for name, vector in found.vectors.items()} == {
        RANK: 3 * DIM + 1 + 4 + 1 + 2,
        "text": DIM,
        "image": DIM,
    }
    record = bench.catalog.item("a")
    assert record is not None
    assert record.state is ItemState.INDEXED
    assert record.models == {"text": "hash-text", "image": "hash-image"}
    assert record.latency_s is not None
    assert 0 <= record.latency_s < 60


def test_a_batch_is_encoded_and_written_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[int] = []
    upsert = ItemIndex.upsert

    def counted(self: ItemIndex, collection: str, points: Any) -> None:
        writes.append(len(points))
        upsert(self, collection, points)

    monkeypatch.setattr(ItemIndex, "upsert", counted)
    pairs = [bench.create(f"item-{n}", title=f"title {n}") for n in range(64)]
    report = bench.pipeline.run(pairs)
    assert len(report.outcomes) == 64
    assert bench.encoders.batches == [64]
    assert writes == [64]
    assert len(bench.stored()) == 64


def test_stale_done_and_unknown_pairs_are_skipped(bench: Bench) -> None:
    old = bench.create("a", 1)
    new = bench.create("a", 2)
    bench.pipeline.run([new])
    bench.encoders.batches.clear()
    assert bench.pipeline.run([old, new, Pair("nobody", 1)]).outcomes == []
    assert bench.encoders.batches == []
    assert bench.stored() == {"a": 2}


def test_versions_in_any_order_end_with_the_newest(bench: Bench) -> None:
    pairs = [bench.create("a", version, title=f"v{version}") for version in (1, 2, 3)]
    for pair in (pairs[1], pairs[2], pairs[0], pairs[2]):
        bench.pipeline.run([pair])
    assert bench.stored() == {"a": 3}
    assert bench.state("a") is ItemState.INDEXED


def test_a_newer_version_is_as_old_as_the_item(bench: Bench) -> None:
    bench.pipeline.run([bench.create("a")])
    moment = time.time()
    bench.pipeline.run([bench.create("a", 2, title="again")])
    bench.pipeline.run([bench.create("b")])
    found = bench.index.fetch(COLLECTION, ["a", "b"])
    assert (found["a"].version, found["a"].title) == (2, "again")
    assert found["a"].indexed_at <= moment <= found["b"].indexed_at


def test_each_outcome_stands_alone(bench: Bench) -> None:
    bench.shelf.content["https://a/gone.png"] = PermanentError("404 Not Found")
    good = bench.create("good", title="fine")
    bad = bench.create("bad", title="permanent")
    flaky = bench.create("flaky", title="flaky:1")
    outcomes = bench.pipeline.run([good, bad, flaky]).outcomes
    assert {type(one) for one in outcomes} == {Indexed, Dead, Retry}
    assert bench.state("good") is ItemState.INDEXED
    assert bench.state("bad") is ItemState.DEAD
    assert bench.reason("bad") == "told to"
    assert bench.state("flaky") is ItemState.PENDING
    bench.pipeline.run_alone(flaky)
    assert bench.state("flaky") is ItemState.INDEXED
    assert set(bench.stored()) == {"good", "flaky"}


def test_media_that_cannot_be_used_are_listed_and_the_rest_is_indexed(bench: Bench) -> None:
    bench.shelf.content |= {
        "https://a/1.png": b"one",
        "https://a/2.png": PermanentError("answers 404", remedy="correct the address"),
        "https://a/3.png": b"three",
    }
    pair = bench.create("a", media={"images": [f"https://a/{n}.png" for n in (1, 2, 3)]})
    (outcome,) = bench.pipeline.run([pair]).outcomes
    assert isinstance(outcome, Indexed)
    record = bench.catalog.item("a")
    assert record is not None
    assert [tuple(one) for one in record.failures] == [
        ("media.images[1]", "answers 404; correct the address")
    ]
    assert set(record.models or {}) == {"text", "image"}


def test_media_that_cannot_be_decoded_are_listed_beside_those_that_could_not_be_fetched(
    bench: Bench,
) -> None:
    bench.shelf.content |= {
        "https://a/1.png": PermanentError("answers 404"),
        "https://a/2.png": b"broken",
        "https://a/3.png": b"fine",
    }
    urls = [f"https://a/{n}.png" for n in (1, 2, 3)]
    rest = bench.create("rest", media={"images": urls})
    nothing = bench.create("nothing", title="", media={"images": urls[:2]})
    bench.pipeline.run([rest, nothing])
    told = [("media.images[0]", "answers 404"), ("media.images[1]", "not a picture")]
    for item_id, state in (("rest", ItemState.INDEXED), ("nothing", ItemState.DEAD)):
        record = bench.catalog.item(item_id)
        assert record is not None
        assert record.state is state
        assert [tuple(one) for one in record.failures] == told
    assert bench.reason("nothing") == (
        "no modality left; media.images[0]: answers 404; media.images[1]: not a picture"
    )


def test_an_item_with_nothing_left_is_dead_and_says_why(bench: Bench) -> None:
    bench.shelf.content["https://a/1.wav"] = PermanentError("resolves to 10.0.0.1")
    pair = bench.create("a", title="", media={"audio": ["https://a/1.wav"]})
    bench.pipeline.run([pair])
    assert bench.state("a") is ItemState.DEAD
    assert "media.audio[0]: resolves to 10.0.0.1" in bench.reason("a")


def test_a_host_that_does_not_answer_gets_all_attempts_then_the_rest_is_indexed(
    bench: Bench,
) -> None:
    bench.shelf.content["https://slow/1.png"] = RetryableError("no answer in 20 s")
    pair = bench.create("a", media={"images": ["https://slow/1.png"]})
    for _ in range(2):
        assert isinstance(bench.pipeline.run_alone(pair).outcomes[0], Retry)
        assert bench.state("a") is ItemState.PENDING
    assert isinstance(bench.pipeline.run_alone(pair).outcomes[0], Indexed)
    record = bench.catalog.item("a")
    assert record is not None
    assert [tuple(one) for one in record.failures] == [("media.images[0]", "no answer in 20 s")]


def test_an_index_that_is_away_postpones_all_and_costs_no_attempt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [bench.create("a"), bench.create("b"), bench.create("gone", title="permanent")]

    def away(*_: object) -> None:
        raise RetryableError("the index does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(ItemIndex, "upsert", away)
        outcomes = bench.pipeline.run(pairs).outcomes
    assert [type(one) for one in outcomes] == [Postponed, Postponed, Dead]
    record = bench.catalog.item("a")
    assert record is not None
    assert (record.state, record.attempts) == (ItemState.PENDING, 0)
    bench.pipeline.run(pairs)
    assert set(bench.stored()) == {"a", "b"}


def test_dead_encoders_postpone_but_an_input_they_choke_on_costs_an_attempt(bench: Bench) -> None:
    pair = bench.create("a", title="flaky:2")
    bench.encoders.sick = "the device thread is dead"
    assert bench.pipeline.run([pair]).outcomes == [Postponed(pair, "the device thread is dead")]
    bench.encoders.sick = ""
    assert bench.pipeline.run([pair]).outcomes == [Retry(pair, "told to")]


def test_an_unexpected_failure_costs_every_item_one_attempt_and_is_told(bench: Bench) -> None:
    good = bench.create("good")
    bad = bench.create("bad", title="explode")
    outcomes = bench.pipeline.run([good, bad]).outcomes
    assert {type(one) for one in outcomes} == {Retry}
    assert bench.reason("bad") == "unexpected ZeroDivisionError: told to"
    assert isinstance(bench.pipeline.run_alone(good).outcomes[0], Indexed)
    for _ in range(2):
        bench.pipeline.run_alone(bad)
    assert bench.state("bad") is ItemState.DEAD


def test_a_vector_the_index_refuses_harms_no_neighbour(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = bench.create("good", title="good"), bench.create("bad", title="bad")
    fuse_many = Fusion.fuse_many

    def spoiled(self: Fusion, items: Any) -> Any:
        fused = fuse_many(self, items)
        fused[1] = float("nan")
        return fused

    monkeypatch.setattr(Fusion, "fuse_many", spoiled)
    outcomes = bench.pipeline.run([good, bad]).outcomes
    assert [type(one) for one in outcomes] == [Indexed, Dead]
    assert bench.stored() == {"good": 1}


def test_a_deletion_takes_the_item_out(bench: Bench) -> None:
    bench.pipeline.run([bench.create("a", 1), bench.create("b", 1)])
    pair = bench.delete("a", 2)
    assert bench.pipeline.run([pair]).outcomes == [Removed(pair)]
    assert bench.stored() == {"b": 1}
    assert bench.state("a") is ItemState.DELETED
    assert bench.pipeline.run([pair]).outcomes == []


def test_a_deletion_reaches_every_collection(bench: Bench) -> None:
    bench.pipeline.run([bench.create("a", 1)])
    bench.collections.current = bench.collections.make("items-ffffffffffff")
    bench.pipeline.run([bench.delete("a", 2)])
    assert bench.stored(COLLECTION) == {}


def test_a_deletion_waits_for_an_index_that_is_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.pipeline.run([bench.create("a", 1)])
    pair = bench.delete("a", 2)

    def away(*_: object) -> None:
        raise RetryableError("the index does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(ItemIndex, "delete", away)
        assert [type(one) for one in bench.pipeline.run([pair]).outcomes] == [Postponed]
    assert bench.stored() == {"a": 1}
    assert bench.pipeline.run([pair]).outcomes == [Removed(pair)]
    assert bench.stored() == {}


def test_a_deletion_that_overtakes_the_encoding_leaves_no_ghost(bench: Bench) -> None:
    pair = bench.create("a", 1)

    def meanwhile(_: Sequence[ItemInputs]) -> None:
        bench.encoders.before_encode = None
        assert bench.pipeline.run([bench.delete("a", 2)]).outcomes == [Removed(Pair("a", 2))]

    bench.encoders.before_encode = meanwhile
    assert bench.pipeline.run([pair]).outcomes == []
    assert bench.stored() == {}
    assert bench.state("a") is ItemState.DELETED


def test_a_newer_version_that_overtakes_the_encoding_stands(bench: Bench) -> None:
    old = bench.create("a", 1, title="old")

    def meanwhile(_: Sequence[ItemInputs]) -> None:
        bench.encoders.before_encode = None
        bench.pipeline.run([bench.create("a", 2, title="new")])

    bench.encoders.before_encode = meanwhile
    assert bench.pipeline.run([old]).outcomes == []
    assert bench.stored() == {"a": 2}
    assert bench.index.fetch(COLLECTION, ["a"])["a"].title == "new"


def test_while_a_newer_version_is_pending_the_older_one_serves(bench: Bench) -> None:
    old = bench.create("a", 1)
    bench.encoders.before_encode = lambda _: bench.create("a", 2) and None
    bench.pipeline.run([old])
    bench.encoders.before_encode = None
    assert bench.stored() == {"a": 1}
    assert bench.state("a") is ItemState.PENDING
    bench.pipeline.run([Pair("a", 2)])
    assert bench.stored() == {"a": 2}


def test_a_newer_version_that_died_meanwhile_takes_the_older_point_with_it(bench: Bench) -> None:
    old = bench.create("a", 1)

    def meanwhile(_: Sequence[ItemInputs]) -> None:
        bench.encoders.before_encode = None
        bench.pipeline.run([bench.create("a", 2, title="permanent")])

    bench.encoders.before_encode = meanwhile
    bench.pipeline.run([old])
    assert bench.stored() == {}
    assert bench.state("a") is ItemState.DEAD


def test_a_second_message_of_what_is_under_way_does_not_encode_it_again(bench: Bench) -> None:
    pair = bench.create("a", 1)

    def meanwhile(_: Sequence[ItemInputs]) -> None:
        assert bench.pipeline.run([pair]).outcomes == []

    bench.encoders.before_encode = meanwhile
    assert [type(one) for one in bench.pipeline.run([pair]).outcomes] == [Indexed]
    assert bench.encoders.batches == [1]
    assert bench.stored() == {"a": 1}
    assert bench.state("a") is ItemState.INDEXED


def test_what_was_taken_without_an_outcome_waits_to_be_tried_alone(bench: Bench) -> None:
    pair, other = bench.create("a"), bench.create("b")
    bench.catalog.claim([pair])
    assert [one.pair for one in bench.pipeline.run([pair, other]).outcomes] == [other]
    assert "tried alone" in bench.reason("a")
    (due,) = bench.catalog.due(10, now=time.time() + 3600)
    assert (due.pair, due.alone) == (pair, True)
    assert isinstance(bench.pipeline.run_alone(pair).outcomes[0], Indexed)


def test_alone_media_are_fetched_before_the_item_is_taken(bench: Bench) -> None:
    pair = bench.create("a", media={"images": ["https://a/1.png"]})
    fetch_all = bench.shelf.fetch_all

    def fetch(references: Sequence[tuple[str, str]]) -> list[bytes | FirstlightError]:
        record = bench.catalog.item("a")
        assert record is not None
        assert record.attempts == 0
        bench.shelf.content["https://a/1.png"] = b"picture"
        return fetch_all(references)

    bench.shelf.fetch_all = fetch  # type: ignore[method-assign]
    (outcome,) = bench.pipeline.run_alone(pair).outcomes
    assert isinstance(outcome, Indexed)
    assert set(outcome.models) == {"text", "image"}


def test_an_item_given_up_while_its_worker_was_merely_slow_is_indexed(bench: Bench) -> None:
    pair = bench.create("a", 1)

    def meanwhile(_: Sequence[ItemInputs]) -> None:
        bench.catalog.finish([Dead(pair, "held for dead")])

    bench.encoders.before_encode = meanwhile
    bench.pipeline.run([pair])
    assert bench.stored() == {"a": 1}
    assert bench.state("a") is ItemState.INDEXED


def test_a_deletion_at_the_same_version_wins(bench: Bench) -> None:
    pair = bench.create("a", 1)

    def meanwhile(_: Sequence[ItemInputs]) -> None:
        bench.encoders.before_encode = None
        bench.delete("a", 1)

    bench.encoders.before_encode = meanwhile
    assert bench.pipeline.run([pair]).outcomes == []
    assert bench.stored() == {}


def test_a_ghost_left_by_a_killed_worker_goes_when_its_message_comes_back(bench: Bench) -> None:
    pair = bench.create("a", 1)

    def killed(_: Sequence[ItemInputs]) -> None:
        bench.pipeline.run([bench.delete("a", 2)])

    states = Catalog.states
    bench.encoders.before_encode = killed
    with pytest.MonkeyPatch.context() as patch:

        def dies(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(Catalog, "states", dies)
        with pytest.raises(KeyboardInterrupt):
            bench.pipeline.run([pair])
    assert Catalog.states is states
    assert bench.stored() == {"a": 1}
    assert bench.pipeline.run([pair]).outcomes == []
    assert bench.stored() == {}


def test_what_was_written_into_a_replaced_collection_is_due_again(bench: Bench) -> None:
    pair = bench.create("a", 1)

    def refit(_: Sequence[ItemInputs]) -> None:
        bench.collections.current = bench.collections.make("items-ffffffffffff")

    bench.encoders.before_encode = refit
    report = bench.pipeline.run([pair])
    assert [type(one) for one in report.outcomes] == [Indexed]
    assert [one.pair for one in report.again] == [pair]
    bench.encoders.before_encode = None
    bench.pipeline.run([pair])
    assert bench.stored("items-ffffffffffff") == {"a": 1}
    assert bench.state("a") is ItemState.INDEXED


def test_one_log_line_per_item_tells_its_way(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    import structlog

    with structlog.testing.capture_logs() as lines:
        bench.pipeline.run([bench.create("a", 7), bench.create("b", 1, title="permanent")])
    told = {line["item"]: line for line in lines if line["event"] == "item"}
    assert (told["a"]["version"], told["a"]["outcome"]) == (7, "indexed")
    assert {"latency_s", "fetch_s", "encode_s", "fuse_s", "upsert_s", "check_s"} <= set(told["a"])
    assert (told["b"]["outcome"], told["b"]["reason"]) == ("dead", "told to")


def test_a_line_about_trouble_names_the_items_it_befell(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    import structlog

    def away(*_: object) -> None:
        raise RetryableError("the index does not answer")

    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        bench.pipeline.run([bench.create("a", 7, title="explode")])
        bench.pipeline.run([bench.create("b", 1), bench.create("c", 2, title="explode")])
        gone = bench.create("gone", 1)
        bench.delete("gone", 2)
        monkeypatch.setattr(ItemIndex, "undo", away)
        bench.pipeline.run([gone])
    alone, together = (line for line in lines if line["event"] == "pipeline_failed")
    assert (alone["item"], alone["version"]) == ("a", 7)
    assert together["pairs"] == [["b", 1], ["c", 2]]
    (left,) = (line for line in lines if line["event"] == "ghosts_not_cleared")
    assert (left["item"], left["version"]) == ("gone", 1)
    for line in lines:
        if line["event"] == "item":
            assert "pairs" not in line
