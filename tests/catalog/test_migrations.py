"""The schema's way forward, on both engines."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from catalog import Catalog, ItemState
from catalog.database import checked_url
from catalog.migrations import STEPS, migrate, schema_version
from catalog.schema import METADATA
from domain.errors import RejectedError
from tests.fixtures.events import created


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    opened = create_engine(checked_url(ledger_url))
    yield opened
    opened.dispose()


def test_the_steps_make_the_tables_that_the_statements_speak_of(engine: Engine) -> None:
    with engine.begin() as connection:
        migrate(connection)
    found = inspect(engine)
    assert set(found.get_table_names()) == {*METADATA.tables, "ledger_schema"}
    for table in METADATA.tables.values():
        columns = {column["name"]: column for column in found.get_columns(table.name)}
        assert list(columns) == [column.name for column in table.columns]
        for column in table.columns:
            found_type = columns[column.name]["type"]
            assert found_type._type_affinity is column.type._type_affinity
            assert columns[column.name]["nullable"] == column.nullable
        indexes = {index["name"]: index["column_names"] for index in found.get_indexes(table.name)}
        assert indexes == {
            index.name: [column.name for column in index.columns] for index in table.indexes
        }


def test_a_ledger_with_rows_moves_forward_without_losing_one(
    ledger_url: str, engine: Engine
) -> None:
    with Catalog.open(ledger_url) as catalog:
        catalog.accept([created("x", 3, "kept")])
    step = ("ALTER TABLE items ADD COLUMN note TEXT", "CREATE TABLE extra (id {id} PRIMARY KEY)")
    with engine.begin() as connection:
        migrate(connection, [*STEPS, step])
        assert schema_version(connection) == len(STEPS) + 1
    with engine.begin() as connection:
        migrate(connection, [*STEPS, step])
        row = connection.execute(text("SELECT id, version, note FROM items")).one()
    assert tuple(row) == ("x", 3, None)


def test_what_an_older_ledger_has_indexed_is_as_old_as_that(ledger_url: str) -> None:
    engine = create_engine(checked_url(ledger_url))
    with engine.begin() as connection:
        migrate(connection, STEPS[:2])
        for key, at in (("later", 20), ("sooner", 10)):
            connection.execute(
                text(
                    "INSERT INTO items (id, version, item, lane, state, attempts, sends, reason,"
                    " accepted_at, indexed_at, updated_at) VALUES"
                    " (:key, 1, '{}', 'text', 'indexed', 1, 0, '', 1, :at, 30)"
                ),
                {"key": key, "at": at},
            )
    engine.dispose()
    with Catalog.open(ledger_url) as catalog:
        assert catalog.newest(5) == ["later", "sooner"]


def test_a_step_that_fails_leaves_the_version_before_it(ledger_url: str) -> None:
    with Catalog.open(ledger_url) as catalog:
        catalog.accept([created("x", 1)])
        broken = ("CREATE TABLE half (id {id})", "CREATE TABLE half (id {id})")
        database = catalog._database
        with pytest.raises(Exception, match="half"):
            database.write(lambda connection: migrate(connection, [*STEPS, broken]), durable=True)
        with database.reading() as connection:
            assert schema_version(connection) == len(STEPS)
            assert not inspect(connection).has_table("half")
        assert catalog.counts()[ItemState.PENDING] == 1


def test_a_newer_ledger_is_refused_and_left_alone(ledger_url: str, engine: Engine) -> None:
    Catalog.open(ledger_url).close()
    with engine.begin() as connection:
        connection.execute(text("UPDATE ledger_schema SET version = 99"))
    known = f"schema version 99, this Firstlight knows up to {len(STEPS)}"
    with pytest.raises(RejectedError, match=known):
        Catalog.open(ledger_url)
    with engine.begin() as connection:
        assert schema_version(connection) == 99


def test_processes_that_open_a_fresh_ledger_at_once_all_succeed(ledger_url: str) -> None:
    script = "import sys; from catalog import Catalog; Catalog.open(sys.argv[1]).ping()"
    openers = [
        subprocess.Popen([sys.executable, "-c", script, ledger_url], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    errors = [opener.communicate(timeout=90)[1].decode() for opener in openers]
    assert [opener.returncode for opener in openers] == [0] * 4, errors


@pytest.mark.parametrize(
    "change",
    [
        "state = 'lost'",
        "next_attempt_at = NULL",
        "item = NULL",
        "state = 'indexed'",
    ],
)
def test_the_database_itself_refuses_a_row_that_breaks_an_invariant(
    ledger_url: str, engine: Engine, change: str
) -> None:
    with Catalog.open(ledger_url) as catalog:
        catalog.accept([created("x", 1)])
    with pytest.raises(DBAPIError, match=r"(?i)check constraint"), engine.begin() as connection:
        connection.execute(text(f"UPDATE items SET {change}"))
