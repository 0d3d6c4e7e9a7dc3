"""Real workers, a real broker and a real index: what is left when processes die."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery
from PIL import Image

from catalog import Catalog, ItemState, RetryPolicy
from domain.events import parse_events
from domain.settings import Settings, load_settings
from index import ItemIndex
from tests.fixtures.index_server import IndexServer
from tests.fixtures.valkey import ValkeyServer, free_port
from tests.fixtures.worker import WorkerProcess, eventually, variables
from workers.celery import create_app
from workers.publish import Sender, accept
from workers.queues import queue_depths
from workers.reconciler import reconcile

pytestmark = pytest.mark.slow

_aliases = itertools.count()
"""The index server is shared; every test has an alias of its own."""


@dataclass
class System:
    """One ledger, one broker, one index, and the workers that a test starts."""

    settings: Settings
    catalog: Catalog
    app: Celery
    sender: Sender
    index: ItemIndex
    valkey: ValkeyServer
    make: Callable[..., WorkerProcess]

    def worker(self, *arguments: str, **extra: str) -> WorkerProcess:
        return self.make(variables(self.settings) | extra, *arguments)

    def publish(self, titles: dict[str, str], *, bulk: bool | None = None) -> None:
        raws = [
            {"type": "item.created", "data": {"id": item_id, "title": title}}
            for item_id, title in titles.items()
        ]
        events: list[Any] = parse_events(raws)
        accept(self.catalog, events, bulk=bulk, sender=self.sender)

    def count(self, state: ItemState) -> int:
        return self.catalog.counts().get(state, 0)

    def reconcile(self) -> None:
        reconcile(
            self.catalog,
            self.sender,
            ping_index=self.index.ping,
            depths=lambda: queue_depths(self.app),
        )

    def stored(self) -> dict[str, int]:
        collection = self.index.serving()
        assert collection is not None
        return dict(self.index.versions(collection))

    def indexed(self, count: int, timeout_s: float = 60.0) -> None:
        """Wait, reconciling as beat would, until so many are indexed."""

        def done() -> bool:
            self.reconcile()
            return self.count(ItemState.INDEXED) >= count

        eventually(done, timeout_s, f"{count} items indexed, {self.catalog.counts()}")


@pytest.fixture
def system(
    tmp_path: Path,
    valkey: ValkeyServer,
    index_server: IndexServer,
    worker_processes: Callable[..., WorkerProcess],
) -> Iterator[System]:
    settings = load_settings(
        data_dir=tmp_path / "data",
        broker={"url": valkey.url},
        index={"url": index_server.url, "alias": f"items{next(_aliases)}"},
        fusion={"min_items": 100_000},
        worker={
            "lease_s": 1.0,
            "retry_base_s": 0.1,
            "pending_resend_s": 1.0,
            "max_attempts": 3,
            "soft_shutdown_s": 5.0,
            "concurrency": 4,
        },
    )
    settings.data_dir.mkdir()
    catalog = Catalog.open(settings.catalog_url, retry=RetryPolicy.from_settings(settings.worker))
    app = create_app(settings)
    index = ItemIndex.connect(settings)
    yield System(settings, catalog, app, Sender(app, batch=64), index, valkey, worker_processes)
    index.close()
    catalog.close()
    app.close()


def test_what_is_published_gets_searchable_and_is_counted(system: System) -> None:
    port = free_port()
    system.worker(FIRSTLIGHT_WORKER_METRICS_PORT=str(port)).start()
    system.publish({"a": "a film"})
    eventually(lambda: system.count(ItemState.INDEXED) == 1)
    assert system.stored() == {"a": 1}
    assert system.count(ItemState.PENDING) == 0
    told = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    assert 'firstlight_items_total{lane="text",outcome="indexed"} 1.0' in told
    assert 'firstlight_event_to_searchable_seconds_count{lane="text"} 1.0' in told
    assert 'firstlight_stage_seconds_count{stage="upsert"} 1.0' in told


def test_celerys_own_command_starts_a_worker_for_some_lanes_with_real_models(
    system: System, tiny_models: Path
) -> None:
    (system.settings.data_dir / "models").symlink_to(tiny_models / "models")
    picture = system.settings.data_dir / "red.png"
    Image.new("RGB", (40, 30), "red").save(picture)
    settings = variables(system.settings) | {
        "FIRSTLIGHT_ENCODER_PACK": "tiny",
        "FIRSTLIGHT_ENCODER_PRECISION": "float32",
        "FIRSTLIGHT_ENCODER_THREADS": "1",
        "FIRSTLIGHT_FETCH_LOCAL_DIRS": f'["{system.settings.data_dir}"]',
    }
    command = ("-A", "workers", "worker", "-Q", "text,image")
    worker = system.make(settings, *command, module="celery").start()
    system.publish({"words": "a film about nothing", "backfill": "x"}, bulk=False)
    system.publish({"other": "lane"}, bulk=True)
    raw = {"id": "both", "title": "red", "media": {"images": [str(picture)]}}
    events: list[Any] = parse_events([{"type": "item.created", "data": raw}])
    accept(system.catalog, events, sender=system.sender)
    eventually(lambda: system.count(ItemState.INDEXED) == 3, 90, worker.text())
    record = system.catalog.item("both")
    assert record is not None
    assert set(record.models or {}) == {"text", "image"}
    assert queue_depths(system.app)["bulk"] == 1
    assert set(system.stored()) == {"words", "backfill", "both"}
    assert worker.stop() == 0


def test_a_worker_told_to_stop_finishes_what_it_began_and_leaves_the_rest(
    system: System,
) -> None:
    worker = system.worker().start()
    system.publish({"a": "hang:1.5"})
    eventually(lambda: _claimed(system, "a"))
    assert worker.stop() == 0
    system.publish({"b": "later"})
    record = system.catalog.item("a")
    assert record is not None
    assert record.state is ItemState.INDEXED
    assert queue_depths(system.app)["text"] == 1


def test_a_worker_that_will_not_end_is_ended_and_its_item_sent_again(system: System) -> None:
    worker = system.worker(FIRSTLIGHT_WORKER_SOFT_SHUTDOWN_S="0.5").start()
    system.publish({"a": "hang:20", "b": "fine"})
    eventually(lambda: _claimed(system, "a"))
    assert worker.stop() == 70
    assert system.count(ItemState.PENDING) >= 1
    eventually(lambda: system.catalog.due(10), 10, "sent again after the lease")


def test_a_killed_worker_loses_nothing(system: System) -> None:
    worker = system.worker().start()
    titles = {f"item-{n}": f"hang:0.02 number {n}" for n in range(60)}
    for item_id, title in titles.items():
        system.publish({item_id: title})
    eventually(lambda: system.count(ItemState.INDEXED) >= 5)
    worker.stop(signal.SIGKILL)
    assert system.count(ItemState.PENDING) > 0
    system.worker().start()
    system.indexed(len(titles))
    assert system.stored() == dict.fromkeys(titles, 1)


def test_a_flushed_broker_loses_nothing(system: System) -> None:
    titles = {f"item-{n}": f"number {n}" for n in range(100)}
    system.publish(titles)
    system.valkey.flush()
    system.worker().start()
    system.indexed(len(titles))
    assert system.stored() == dict.fromkeys(titles, 1)


def test_a_broker_that_is_killed_and_comes_back_is_used_again(system: System) -> None:
    system.worker().start()
    system.publish({"before": "x"})
    system.indexed(1)
    system.valkey.stop(signal.SIGKILL)
    system.publish({"during": "y"})
    system.valkey.start()
    system.indexed(2)


def test_a_worker_with_work_in_hand_outlives_its_broker(system: System) -> None:
    worker = system.worker().start()
    system.publish({"in hand": "hang:2"})
    eventually(lambda: system.catalog.item("in hand").attempts == 1)  # type: ignore[union-attr]
    system.valkey.stop(signal.SIGKILL)
    system.publish({"during": "y"})
    system.valkey.start()
    system.indexed(2)
    assert worker.process is not None
    assert worker.process.poll() is None
    assert worker.stop() == 0


def test_an_item_that_kills_its_worker_dies_alone(system: System) -> None:
    titles = {f"good-{n}": f"number {n}" for n in range(12)}
    titles["poison"] = "exit"
    system.publish(titles, bulk=True)
    worker = system.worker().keep_running()

    def settled() -> bool:
        system.reconcile()
        return system.count(ItemState.PENDING) == 0

    eventually(settled, 120, "everything settled")
    record = system.catalog.item("poison")
    assert record is not None
    assert record.state is ItemState.DEAD
    assert record.attempts == 3
    assert "worker" in record.reason
    assert system.count(ItemState.INDEXED) == 12
    assert "poison" not in system.stored()
    assert worker.starts >= 3
    worker.end()


def test_duplicated_and_reordered_messages_have_their_effect_once(system: System) -> None:
    for version in (1, 2, 3):
        raws = [{"type": "item.created", "data": {"id": "a", "version": version, "title": "t"}}]
        events: list[Any] = parse_events(raws)
        accept(system.catalog, events, sender=system.sender)
    for version in (3, 1, 2, 3, 1):
        system.app.send_task("firstlight.index_items", [[["a", version]]], queue="text")
    worker = system.worker().start()
    eventually(lambda: sum(queue_depths(system.app).values()) == 0)
    eventually(lambda: system.count(ItemState.INDEXED) == 1)
    assert worker.stop() == 0
    assert system.stored() == {"a": 3}
    assert worker.text().count('"outcome": "indexed"') == 1


def test_a_celery_publisher_needs_only_a_broker_url_and_the_tasks_name(system: System) -> None:
    worker = system.worker("bulk").start()
    foreign = Celery("shop", broker=system.valkey.url)
    foreign.send_task(
        "firstlight.publish",
        [
            [
                {"type": "item.created", "data": {"id": "a", "title": "t"}},
                {"type": "item.created", "data": {"id": "b", "title": "", "colour": "red"}},
                {"type": "user.updated", "data": {"id": "u", "profile": "reads"}},
                {"type": "interaction", "data": {"user": "u", "item": "a"}},
            ]
        ],
    )
    foreign.close()
    eventually(lambda: system.catalog.history("u", 10))
    assert system.catalog.item("b") is None
    assert system.catalog.user("u") is not None
    eventually(lambda: "event_rejected" in worker.text())
    assert "colour" in worker.text()
    record = system.catalog.item("a")
    assert record is not None
    assert record.state is ItemState.PENDING
    assert queue_depths(system.app)["text"] == 1


def test_a_worker_with_dead_encoders_takes_no_work_and_leaves(
    system: System, tmp_path: Path
) -> None:
    sick = tmp_path / "sick"
    worker = system.worker(FIRSTLIGHT_TEST_SICK_FILE=str(sick)).start()
    system.publish({"a": "fine"})
    eventually(lambda: system.count(ItemState.INDEXED) == 1)
    assert _answers(system, "readiness") == [{"ok": "ready"}]
    sick.touch()
    assert "dead" in str(_answers(system, "readiness"))
    assert worker.process is not None
    assert worker.process.wait(timeout=20) == 69
    assert "worker_gives_up" in worker.text()


def test_the_reconciler_process_sends_what_is_pending_too_long(system: System) -> None:
    system.publish({"a": "lost"})
    system.valkey.flush()
    system.worker().start()
    system.worker("--reconciler", FIRSTLIGHT_WORKER_RECONCILE_EVERY_S="0.5").start()
    eventually(lambda: system.count(ItemState.INDEXED) == 1)


def test_a_wrong_lane_ends_the_start_and_is_named(system: System) -> None:
    wrong = system.worker("text,vidoe").start()
    assert wrong.process is not None
    assert wrong.process.wait(timeout=60) != 0
    assert "no lane vidoe" in wrong.text()


def test_the_first_bulk_publish_fits_the_fusion_and_what_follows_uses_it(system: System) -> None:
    worker = system.worker(FIRSTLIGHT_FUSION_MIN_ITEMS="50").start()
    system.publish({f"item-{n}": f"topic {n % 7} number {n}" for n in range(80)})
    eventually(lambda: "collection_serves" in worker.text(), 60, worker.text())
    assert len(system.stored()) == 80
    system.publish({"late": "topic 3 late"})
    eventually(lambda: system.count(ItemState.INDEXED) == 81)
    assert "late" in system.stored()
    records = [system.catalog.item(item_id) for item_id in ("item-0", "late")]
    assert len({record.fingerprint for record in records if record is not None}) == 1
    assert worker.text().count("fusion_fitted") == 1


def _claimed(system: System, item_id: str) -> bool:
    record = system.catalog.item(item_id)
    return record is not None and record.attempts > 0


def _answers(system: System, command: str) -> list[dict[str, str]]:
    answers = eventually(lambda: system.app.control.broadcast(command, reply=True, timeout=5))
    return [answer for reply in answers for answer in reply.values()]
