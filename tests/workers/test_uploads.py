"""Uploads are stored once, whole or not at all, under the hash of what they contain."""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from domain.errors import NotFoundError, RejectedError
from domain.events import ItemCreated, ItemDeleted
from domain.settings import Settings
from tests.fixtures.shop import Shop
from workers.celery import configuration
from workers.sweep import sweep_uploads
from workers.uploads import Uploads

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "content",
    [PNG, io.BytesIO(PNG), [PNG[:3], PNG[3:2000], b"", PNG[2000:]]],
    ids=["bytes", "file", "chunks"],
)
def test_an_upload_lies_under_the_sha256_of_its_bytes(tmp_path: Path, content: bytes) -> None:
    store = Uploads(tmp_path / "uploads")
    sha256 = store.put(content, 2**20)
    assert sha256 == hashlib.sha256(PNG).hexdigest()
    assert store.exists(sha256)
    assert store.path(sha256).read_bytes() == PNG
    assert files(tmp_path / "uploads") == [f"{sha256[:2]}/{sha256[2:]}"]


def test_the_same_content_sent_at_once_by_many_is_stored_once(tmp_path: Path) -> None:
    store = Uploads(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(lambda _: store.put(PNG, 2**20), range(32)))
    assert len(names) == 1
    assert len(files(tmp_path)) == 1


def test_more_than_the_limit_is_refused_while_it_streams_and_leaves_nothing(tmp_path: Path) -> None:
    produced = 0

    def endless() -> Iterator[bytes]:
        nonlocal produced
        while True:
            produced += 1
            yield PNG

    with pytest.raises(RejectedError, match=r"limit of 50,000 bytes.*FIRSTLIGHT_API_UPLOAD_BYTES"):
        Uploads(tmp_path).put(endless(), 50_000)
    assert produced < 10
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "is empty"), (b"<html></html>", "is an HTML page"), (b"MZ\x90", "is a program")],
)
def test_what_no_encoder_reads_is_rejected_at_once(
    tmp_path: Path, content: bytes, says: str
) -> None:
    with pytest.raises(RejectedError, match=says) as refused:
        Uploads(tmp_path).put(content, 1000)
    assert refused.value.field == "file"
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    "name",
    ["0" * 64, "", "abc", "../" * 21 + "x", "A" * 64, "0" * 63 + "\n", "/etc/passwd"],
)
def test_a_name_that_is_no_upload_is_not_found(tmp_path: Path, name: str) -> None:
    store = Uploads(tmp_path)
    assert not store.exists(name)
    with pytest.raises(NotFoundError, match="POST /v1/uploads"):
        store.path(name)


def test_what_a_killed_process_left_half_written_is_removed_later(tmp_path: Path) -> None:
    old, fresh = tmp_path / "a.partial", tmp_path / "b.partial"
    for left in (old, fresh):
        left.write_bytes(b"half")
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    Uploads(tmp_path).put(PNG, 2**20)
    assert not old.exists()
    assert fresh.exists()


def old(store: Uploads, content: bytes, days: float) -> str:
    sha256 = store.put(content, 2**20)
    sent_at = time.time() - days * 86_400
    os.utime(store.path(sha256), (sent_at, sent_at))
    return sha256


def naming(item: str, *uploads: str, version: int = 1) -> ItemCreated:
    images = [f"upload:{one}" for one in uploads]
    data = {"id": item, "version": version, "title": "x", "media": {"images": images}}
    return ItemCreated.model_validate({"data": data})


def test_old_uploads_that_no_item_names_are_removed_and_all_others_stay(shop: Shop) -> None:
    store, catalog = Uploads(shop.settings.folder("uploads")), shop.held.catalog
    named, young, orphan, dropped, of_deleted = (
        old(store, PNG + bytes([number]), days) for number, days in enumerate((400, 29, 31, 31, 31))
    )
    catalog.accept([naming("a", named, dropped), naming("b", of_deleted)])
    assert sweep_uploads(catalog, store, 30) == 1
    assert not store.exists(orphan)
    catalog.accept([naming("a", named, version=2)])
    catalog.accept([ItemDeleted.model_validate({"data": {"id": "b", "version": 2}})])
    assert sweep_uploads(catalog, store, 30) == 2
    assert [store.exists(one) for one in (named, young, dropped, of_deleted)] == [
        True,
        True,
        False,
        False,
    ]
    assert sweep_uploads(catalog, store, 0) == 0


def test_an_upload_that_is_sent_again_is_young_again(shop: Shop) -> None:
    store = Uploads(shop.settings.folder("uploads"))
    sha256 = old(store, PNG, 100)
    (found,) = store.older_than(86_400.0)
    store.put(PNG, 2**20)
    assert not store.remove(found, 86_400.0)
    assert sweep_uploads(shop.held.catalog, store, 30) == 0
    assert store.exists(sha256)


def test_beat_looks_for_old_uploads_unless_they_are_kept_for_ever() -> None:
    kept = Settings.model_validate({"worker": {"upload_days": 0}})
    assert "sweep_uploads" in configuration(Settings())["beat_schedule"]
    assert "sweep_uploads" not in configuration(kept)["beat_schedule"]
