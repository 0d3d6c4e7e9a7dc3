"""Where workers write, and what is remembered of each collection."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from domain.errors import RejectedError, RetryableError
from encoders import collection_fingerprint
from tests.fixtures.shop import open_shop
from workers.collection_registry import CollectionRecord, Registry

if TYPE_CHECKING:
    from tests.fixtures.shop import Shop, TopicEncoders


def record(name: str, **fields: Any) -> CollectionRecord:
    values = {
        "collection": name,
        "fingerprint": "f",
        "encoders": "e",
        "fusion": "passthrough-0",
        "generation": 1,
        "replaces": None,
        "copied": False,
        "made_at": 1.0,
        "factors": 128,
        "graph": 64,
    }
    return CollectionRecord(**{**values, **fields})


def test_the_first_worker_makes_the_collection_and_the_alias(shop: Shop) -> None:
    active = shop.held.collections.active()
    assert active.fusion.version.startswith("passthrough-")
    vectors = f"{active.fusion.version}+f128g64"
    assert active.fingerprint == collection_fingerprint("topics", vectors)
    assert active.collection == f"{shop.settings.index.alias}-{active.fingerprint}"
    assert shop.held.index.serving() == active.collection
    assert shop.held.index.info(active.collection).dims == {
        "rank": active.space.dim,
        "text": 12,
        "image": 8,
        "audio": 6,
    }


def test_every_process_arrives_at_the_same_collection(shop: Shop) -> None:
    other = shop.reopened()
    assert other.held.collections.active().collection == shop.held.collections.active().collection


def test_a_weight_that_no_block_has_ends_the_start_not_the_items(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match=r"FIRSTLIGHT_FUSION_WEIGHTS.*'txt'"):
        open_shop(tmp_path, "http://127.0.0.1:1", "items", fusion={"weights": {"txt": 1.0}})


def test_asking_again_costs_no_call_to_the_index(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.held.collections.active()
    for name in ("ensure", "serving", "swap", "ping"):
        monkeypatch.setattr(shop.held.index, name, None)
    assert shop.held.collections.active() is shop.held.collections.active()


def test_a_collection_that_was_lost_is_made_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    active = shop.held.collections.active()
    shop.held.index.drop(active.collection)
    monkeypatch.setattr("workers.collection.LOOK_AGAIN_S", 0.0)
    assert shop.held.collections.active() == active
    assert shop.held.index.serving() == active.collection


class Recorder:
    """A logger that keeps its warnings."""

    def __init__(self, said: list[dict[str, Any]]) -> None:
        self._said = said

    def warning(self, event: str, **fields: Any) -> None:
        self._said.append({"event": event, **fields})


def test_workers_with_other_encoders_write_elsewhere_and_do_not_move_the_alias(
    shop: Shop, make_encoders: type[TopicEncoders], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shop.held.collections.active()
    newer = shop.reopened(make_encoders("other", {"text": 5, "image": 4, "audio": 3}))
    said: list[dict[str, Any]] = []
    monkeypatch.setattr("workers.collection.log", Recorder(said))
    monkeypatch.setattr("workers.collection.LOOK_AGAIN_S", 0.0)
    writing = newer.held.collections.active()
    newer.held.collections.active()
    assert [line["remedy"] for line in said] == ["run `firstlight reindex`"]
    assert writing.collection != before.collection
    dims = {block.name: block.dim for block in writing.fusion.blocks}
    assert dims == {"attributes": dims["attributes"], "text": 5, "image": 4, "audio": 3}
    assert shop.held.index.serving() == before.collection
    assert shop.held.collections.active() == before


def test_a_fusion_that_is_gone_from_disk_is_told_with_its_remedy(shop: Shop) -> None:
    version = shop.held.collections.active().fusion.version
    for file in (shop.settings.data_dir / "artifacts" / "fusion" / version).iterdir():
        file.unlink()
    with pytest.raises(RetryableError, match=r"cannot be read.*firstlight reindex"):
        shop.reopened().held.collections.active()


def test_pointers_are_followed_by_every_process(tmp_path: Path) -> None:
    writer, reader = Registry(tmp_path), Registry(tmp_path)
    assert reader.writing("e") is None
    for name in ("items-a", "items-b"):
        writer.put(record(name))
        writer.write_to(record(name))
        found = reader.writing("e")
        assert found is not None
        assert found.collection == name
    assert reader.writing("another") is None
    assert reader.goal() is None
    writer.aim(record("items-b"))
    assert reader.goal() == record("items-b")
    writer.aim(None)
    assert reader.goal() is None


def test_a_removed_collection_leaves_no_pointer(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    for name, encoders in (("items-a", "e"), ("items-b", "f")):
        registry.put(record(name, encoders=encoders))
        registry.write_to(record(name, encoders=encoders))
    registry.remove("items-a")
    assert registry.records().keys() == {"items-b"}
    assert registry.targets() == {"items-b"}
    assert registry.writing("e") is None


def test_a_damaged_record_is_told_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "items-a.json").write_text('{"collection": "items-a"}')
    with pytest.raises(RetryableError, match=r"record of collection items-a is damaged"):
        Registry(tmp_path).get("items-a")


def test_only_one_may_hold_the_lock(tmp_path: Path) -> None:
    with (
        Registry(tmp_path).exclusive(),
        pytest.raises(RejectedError, match="a fit or reindex is under way"),
        Registry(tmp_path).exclusive(),
    ):
        pytest.fail("two hold the lock")
    with Registry(tmp_path).exclusive():
        assert (tmp_path / "lock").exists()


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from workers.collection_registry import *\n"
        "with Registry(Path(sys.argv[1])).exclusive():\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(RejectedError), Registry(tmp_path).exclusive():
        pytest.fail("two hold the lock")
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    with Registry(tmp_path).exclusive():
        assert holder.returncode == -signal.SIGKILL
