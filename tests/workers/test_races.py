"""Changes and messages in any order, from many threads: the index ends as the ledger says."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from catalog import ItemState, Pair
from domain.events import parse_event
from domain.settings import load_settings
from encoders import ItemInputs
from tests.fixtures.index_server import IndexServer
from tests.fixtures.worker import HashEncoders
from workers.ghosts import Ghosts
from workers.runtime import Runtime, assemble

ITEMS = 40
THREADS = 6


@pytest.fixture
def held(tmp_path: Path, index_server: IndexServer) -> Iterator[Runtime]:
    settings = load_settings(
        data_dir=tmp_path / "data",
        index={"url": index_server.url, "alias": "races"},
        worker={"retry_base_s": 0.01, "lease_s": 30.0},
    )
    settings.data_dir.mkdir()
    encoders: Any = HashEncoders()
    made = assemble(settings, encoders)
    yield made
    made.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_races_the_index_ends_as_the_ledger_says(
    held: Runtime, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Messages that come again clear what a killed worker left. Without them only the check after
    # the write stands between a race and a ghost.
    monkeypatch.setattr(Ghosts, "clear", lambda *_: None)
    chance = random.Random(seed)
    encoders: Any = held.encoders
    jitter = random.Random(seed + 100)

    def slow(_: Sequence[ItemInputs]) -> None:
        time.sleep(jitter.random() * 0.02)

    encoders.before_encode = slow
    sent: list[Pair] = []
    lock = threading.Lock()

    def change(name: str, *, deleted: bool) -> None:
        raw: dict[str, Any] = {"type": "item.deleted", "data": {"id": name}}
        if not deleted:
            title = f"{name} {chance.random()}"
            raw = {"type": "item.updated", "data": {"id": name, "title": title}}
        event: Any = parse_event(raw)
        (accepted,) = held.catalog.accept([event])
        if accepted.lane is not None and accepted.version is not None:
            with lock:
                sent.append(Pair(name, accepted.version))

    def work(own: random.Random) -> None:
        while not done.is_set():
            with lock:
                recent = sent if own.random() < 0.1 else sent[-3:]
                pairs = own.sample(recent, min(len(recent), own.randint(1, 2)))
            if own.random() < 0.1 and pairs:
                held.pipeline.run_alone(pairs[0])
            else:
                held.pipeline.run(pairs)

    done = threading.Event()
    workers = [
        threading.Thread(target=work, args=(random.Random(seed * 1000 + n),))
        for n in range(THREADS)
    ]
    for worker in workers:
        worker.start()
    for number in range(ITEMS):
        for _ in range(chance.randint(1, 4)):
            change(f"item-{seed}-{number}", deleted=chance.random() < 0.5)
            time.sleep(chance.random() * 0.02)
    done.set()
    for worker in workers:
        worker.join(30)
    assert not any(worker.is_alive() for worker in workers)
    encoders.before_encode = None
    for due in held.catalog.due(1000, now=time.time() + 3600):
        held.pipeline.run_alone(due.pair)

    expected = {}
    for record in held.catalog.items(limit=1000):
        assert record.state in (ItemState.INDEXED, ItemState.DELETED), record
        if record.state is ItemState.INDEXED:
            expected[record.id] = record.version
    collection = held.index.serving()
    assert collection is not None
    stored = dict(held.index.versions(collection))
    assert {key: stored[key] for key in stored if key.startswith(f"item-{seed}-")} == expected
