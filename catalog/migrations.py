"""The ledger's schema, step by step. A step that was released is never edited; add another.

Why not alembic: docs/decisions/0001-ledger-migrations.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from sqlalchemy import Connection, inspect, text

from domain.errors import RejectedError

Step: TypeAlias = Sequence[str]
"""The statements of one version, in SQL that both engines read; {id} is the type of ids."""

STEPS: tuple[Step, ...] = (
    (
        """CREATE TABLE items (
            id {id} NOT NULL PRIMARY KEY,
            version BIGINT NOT NULL,
            item TEXT,
            lane TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('pending', 'indexed', 'dead', 'deleted')),
            attempts INTEGER NOT NULL,
            sends INTEGER NOT NULL,
            next_attempt_at DOUBLE PRECISION,
            reason TEXT NOT NULL,
            failures TEXT,
            fingerprint TEXT,
            models TEXT,
            accepted_at DOUBLE PRECISION NOT NULL,
            indexed_at DOUBLE PRECISION,
            updated_at DOUBLE PRECISION NOT NULL,
            CHECK ((item IS NULL) = (state = 'deleted')),
            CHECK (state <> 'pending' OR next_attempt_at IS NOT NULL),
            CHECK (state NOT IN ('indexed', 'dead') OR next_attempt_at IS NULL)
        )""",
        "CREATE INDEX items_due ON items (next_attempt_at) WHERE next_attempt_at IS NOT NULL",
        "CREATE INDEX items_by_state ON items (state, id)",
        "CREATE INDEX items_by_fingerprint ON items (state, fingerprint)",
        "CREATE INDEX items_newest ON items (state, indexed_at)",
        """CREATE TABLE users (
            id {id} NOT NULL PRIMARY KEY,
            version BIGINT NOT NULL,
            profile TEXT,
            erased_until DOUBLE PRECISION,
            updated_at DOUBLE PRECISION NOT NULL
        )""",
        """CREATE TABLE interactions (
            event_id {id} NOT NULL PRIMARY KEY,
            user_id {id} NOT NULL,
            item_id {id} NOT NULL,
            kind TEXT NOT NULL,
            weight DOUBLE PRECISION NOT NULL,
            time DOUBLE PRECISION NOT NULL
        )""",
        "CREATE INDEX interactions_by_user ON interactions (user_id, time)",
        "CREATE INDEX interactions_by_item ON interactions (item_id)",
    ),
    (
        "ALTER TABLE interactions ADD COLUMN arrival BIGINT NOT NULL DEFAULT 0",
        "CREATE INDEX interactions_by_arrival ON interactions (arrival, event_id)",
        "DROP INDEX interactions_by_item",
        "CREATE INDEX interactions_by_item ON interactions (item_id, user_id)",
        "CREATE INDEX users_erased ON users (updated_at, id) WHERE erased_until IS NOT NULL",
        "CREATE TABLE arrivals (last BIGINT NOT NULL)",
        "INSERT INTO arrivals (last) VALUES (0)",
    ),
    (
        "ALTER TABLE items ADD COLUMN first_indexed_at DOUBLE PRECISION",
        "UPDATE items SET first_indexed_at = indexed_at WHERE indexed_at IS NOT NULL",
        "CREATE INDEX items_by_age ON items (state, first_indexed_at)",
    ),
)

ID_TYPES = {"sqlite": "TEXT", "postgresql": 'TEXT COLLATE "C"'}

ONE_AT_A_TIME = 0x46_49_52_53_54
"""Key of the PostgreSQL advisory lock under which processes migrate one after another."""


def migrate(connection: Connection, steps: Sequence[Step] = STEPS) -> None:
    """Bring the schema forward inside the connection's transaction, one process at a time.

    On SQLite the caller holds the write lock already (BEGIN IMMEDIATE).

    Raises:
        RejectedError: the ledger was written by a newer Firstlight.
    """
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ONE_AT_A_TIME})
    found = schema_version(connection)
    if found > len(steps):
        raise RejectedError(
            f"the ledger has schema version {found}, this Firstlight knows up to {len(steps)}",
            remedy="start the newer Firstlight that wrote it, or point FIRSTLIGHT_CATALOG_URL"
            " or FIRSTLIGHT_DATA_DIR at another ledger",
        )
    if found == len(steps):
        return
    if found == 0:
        connection.exec_driver_sql("CREATE TABLE ledger_schema (version INTEGER NOT NULL)")
        connection.exec_driver_sql("INSERT INTO ledger_schema (version) VALUES (0)")
    for step in steps[found:]:
        for statement in step:
            connection.exec_driver_sql(statement.replace("{id}", ID_TYPES[dialect]))
    connection.execute(text("UPDATE ledger_schema SET version = :now"), {"now": len(steps)})


def schema_version(connection: Connection) -> int:
    """The version the ledger was last migrated to; 0 for an empty database."""
    if not inspect(connection).has_table("ledger_schema"):
        return 0
    found = connection.execute(text("SELECT version FROM ledger_schema")).scalar_one()
    return int(found)
