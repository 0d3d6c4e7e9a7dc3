"""What a ledger that is absent, locked, broken or misnamed says."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from catalog import Catalog, Pair
from domain.errors import RejectedError, RetryableError
from domain.settings import load_settings
from tests.fixtures.events import created


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "not a database URL"),
        ("mysql://h/db", "mysql is not supported"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("sqlite:////proc/nothing/here/catalog.db", "cannot be made"),
    ],
)
def test_a_useless_url_is_refused_with_the_setting_and_a_remedy(url: str, words: str) -> None:
    with pytest.raises(RejectedError, match=words) as caught:
        Catalog.open(url)
    assert caught.value.field == "FIRSTLIGHT_CATALOG_URL"
    assert "sqlite:////absolute/path.db" in caught.value.remedy


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(RejectedError, match="is not a SQLite database"):
        Catalog.open(f"sqlite:///{tmp_path / 'catalog.db'}")


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").mkdir()
    with pytest.raises(RetryableError, match="unable to open database file"):
        Catalog.open(f"sqlite:///{tmp_path / 'catalog.db'}")


def test_sqlite_syncs_what_it_promises_and_keeps_a_write_ahead_log(tmp_path: Path) -> None:
    with Catalog.open(f"sqlite:///{tmp_path / 'catalog.db'}") as catalog:
        found = {}
        for durable in (True, False):
            found[durable] = catalog._database.write(
                lambda connection: (
                    connection.exec_driver_sql("PRAGMA journal_mode").scalar(),
                    connection.exec_driver_sql("PRAGMA synchronous").scalar(),
                ),
                durable=durable,
            )
    assert found == {True: ("wal", 2), False: ("wal", 1)}


def test_a_sqlite_ledger_locked_by_another_is_retryable_and_recovers(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    with Catalog.open(f"sqlite:///{path}", busy_timeout_s=0.2) as catalog:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RetryableError, match="database is locked") as caught:
            catalog.accept([created("x", 1)])
        assert "FIRSTLIGHT_CATALOG_BUSY_TIMEOUT_S" in caught.value.remedy
        assert catalog.item("x") is None, "reading goes on meanwhile"
        other.execute("COMMIT")
        other.close()
        assert catalog.accept([created("x", 1)])[0].status == "accepted"


def test_a_postgresql_ledger_locked_by_another_is_retryable(postgres_database: str) -> None:
    with Catalog.open(postgres_database, busy_timeout_s=0.3) as catalog:
        catalog.accept([created("x", 1)])
        with psycopg.connect(postgres_database) as other:
            other.execute("LOCK TABLE items IN EXCLUSIVE MODE")
            with pytest.raises(RetryableError, match="lock timeout") as caught:
                catalog.claim([Pair("x", 1)])
            assert "FIRSTLIGHT_CATALOG_BUSY_TIMEOUT_S" in caught.value.remedy
        assert len(catalog.claim([Pair("x", 1)])) == 1


def test_a_postgresql_that_stops_is_retryable_and_found_again(
    start_postgres: Callable[[], Any],
) -> None:
    server = start_postgres()
    try:
        catalog = Catalog.open(server.get_uri(), busy_timeout_s=5)
        catalog.accept([created("x", 1)])
        server.stop()
        for call in (catalog.ping, catalog.counts, lambda: catalog.accept([created("y", 1)])):
            with pytest.raises(RetryableError, match="did not answer") as caught:
                call()
            assert "check that the database" in caught.value.remedy
        server.ensure_postgres_running()
        catalog.ping()
        assert catalog.accept([created("x", 1)])[0].status == "duplicate"
        catalog.close()
    finally:
        server.cleanup()


@pytest.mark.parametrize("url", ["me:secret@127.0.0.1:1/db", "127.0.0.1:1/db?password=secret"])
def test_a_password_is_not_told(url: str) -> None:
    with pytest.raises(RetryableError) as caught:
        Catalog.open(f"postgresql://{url}", busy_timeout_s=1)
    assert "secret" not in str(caught.value)
    assert "127.0.0.1:1" in str(caught.value)


def test_the_settings_name_the_ledger(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "data", worker={"max_attempts": 1})
    with Catalog.connect(settings) as catalog:
        catalog.accept([created("x", 1)])
        assert len(catalog.claim([Pair("x", 1)])) == 1
        assert catalog.claim([Pair("x", 1)]) == []
    assert (tmp_path / "data" / "catalog.db").exists()
