"""Connections and transactions on SQLite and PostgreSQL, and what their failures mean."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from catalog.migrations import migrate
from domain.errors import RejectedError, RetryableError

T = TypeVar("T")
Insert: TypeAlias = sqlite.Insert | postgresql.Insert

POOL_CONNECTIONS = 64
"""Threads of one process that may be inside the ledger at once; further ones wait."""

REPEATS = 50
"""How often a transaction that met a concurrent one is done again before it is given up."""

REPEATABLE = {"40001", "40P01"}
"""PostgreSQL's codes for a serialization failure and a deadlock."""

WRITES = {"firstlight_writes": True}
"""Marks the engines whose transactions take SQLite's write lock at their beginning."""


class ConcurrentChange(Exception):  # noqa: N818 - never leaves the catalog
    """Another transaction came between reading and writing: do it again."""


class Database:
    """One ledger's connections, shared by all threads of a process.

    Two engines differ in what a commit means. `durable`: on disk when it returns (SQLite
    synchronous=FULL, PostgreSQL synchronous_commit=on), for what a publisher was promised.
    `quick`: survives the process, not a power failure, for what would only be done again.
    """

    def __init__(self, url: URL, *, busy_timeout_s: float) -> None:
        self.url = url
        self.dialect = url.get_backend_name()
        self._busy_timeout_s = busy_timeout_s
        durable, quick = self._engine(durable=True), self._engine(durable=False)
        self._durable = durable.execution_options(**WRITES)
        self._quick = quick.execution_options(**WRITES)
        if self.dialect == "sqlite":
            self._reads = quick
            self._one_writer: threading.Lock | None = threading.Lock()
        else:
            self._reads = quick.execution_options(isolation_level="AUTOCOMMIT")
            self._one_writer = None

    @classmethod
    def open(cls, url: str, *, busy_timeout_s: float) -> Database:
        """Connect, and create or migrate the tables.

        Raises:
            RejectedError: the URL is of no use, or the ledger is newer than this program.
            RetryableError: the database does not answer.
        """
        database = cls(checked_url(url), busy_timeout_s=busy_timeout_s)
        try:
            database.write(migrate, durable=True)
        except BaseException:
            database.close()
            raise
        return database

    def close(self) -> None:
        """Close every connection; the next use opens new ones."""
        self._durable.dispose()
        self._quick.dispose()

    def insert(self, table: Any) -> Insert:
        """An INSERT that has ON CONFLICT, in the dialect at hand."""
        return sqlite.insert(table) if self.dialect == "sqlite" else postgresql.insert(table)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection on which every statement sees what was committed before it."""
        with self._translated(), self._reads.connect() as connection:
            yield connection

    def write(self, work: Callable[[Connection], T], *, durable: bool) -> T:
        """Run `work` in one transaction, again if a concurrent one came between.

        Raises:
            RetryableError: the database did not answer, or stayed locked.
        """
        engine = self._durable if durable else self._quick
        with self._translated():
            for repeat in range(REPEATS):
                try:
                    with self._turn(), engine.begin() as connection:
                        return work(connection)
                except ConcurrentChange:
                    pass
                except DBAPIError as error:
                    if getattr(error.orig, "sqlstate", None) not in REPEATABLE:
                        raise
                time.sleep(min(0.001 * repeat, 0.02))
        raise RetryableError(
            f"{REPEATS} concurrent changes of the same items came between", remedy="try again"
        )

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Threads of one process queue for SQLite's write lock here, without its polling."""
        if self._one_writer is None:
            yield
            return
        if not self._one_writer.acquire(timeout=self._busy_timeout_s):
            raise RetryableError(
                f"the ledger was written by other threads for {self._busy_timeout_s:g} s",
                remedy="try again, or raise FIRSTLIGHT_CATALOG_BUSY_TIMEOUT_S",
            )
        try:
            yield
        finally:
            self._one_writer.release()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            raise self._unavailable(error) from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise self._unavailable(error) from error
            if isinstance(error.orig, sqlite3.DatabaseError) and "not a database" in str(error):
                raise RejectedError(
                    f"{self.url.database} is not a SQLite database",
                    field="FIRSTLIGHT_CATALOG_URL",
                    remedy="point it at another file",
                ) from error
            raise

    def _unavailable(self, error: Exception) -> RetryableError:
        cause = error.orig if isinstance(error, DBAPIError) else error
        where = self.url.set(query={}).render_as_string(hide_password=True)
        lines = str(cause).strip().splitlines()
        remedy = "try again; check that the database of FIRSTLIGHT_CATALOG_URL runs and has room"
        if "lock" in str(cause):
            remedy = (
                f"another process held its lock for {self._busy_timeout_s:g} s; try again,"
                " or raise FIRSTLIGHT_CATALOG_BUSY_TIMEOUT_S"
            )
        return RetryableError(
            f"the ledger {where} did not answer: {lines[0] if lines else type(cause).__name__}",
            remedy=remedy,
        )

    def _engine(self, *, durable: bool) -> Engine:
        pool = {
            "pool_size": POOL_CONNECTIONS,
            "max_overflow": 0,
            "pool_timeout": self._busy_timeout_s,
        }
        if self.dialect == "sqlite":
            engine = create_engine(
                self.url,
                connect_args={"timeout": self._busy_timeout_s, "check_same_thread": False},
                **pool,
            )
            _prepare_sqlite(engine, synchronous="FULL" if durable else "NORMAL")
            return engine
        lock_ms = int(self._busy_timeout_s * 1000)
        return create_engine(
            self.url,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": 10,
                "tcp_user_timeout": lock_ms,
                "options": f"-c lock_timeout={lock_ms}"
                f" -c synchronous_commit={'on' if durable else 'off'}",
            },
            **pool,
        )


def checked_url(url: str) -> URL:
    """The URL with its driver filled in; a SQLite file's folder is made.

    Raises:
        RejectedError: not a URL, or of a database that is not supported.
    """
    field = "FIRSTLIGHT_CATALOG_URL"
    remedy = "use sqlite:////absolute/path.db or postgresql://user:password@host/database"
    try:
        parsed = make_url(url.replace("postgres://", "postgresql://", 1))
    except ArgumentError:
        raise RejectedError("not a database URL", field=field, remedy=remedy) from None
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise RejectedError(f"{backend} is not supported", field=field, remedy=remedy)
    if parsed.database in (None, "", ":memory:") or parsed.query:
        raise RejectedError("the ledger needs a file", field=field, remedy=remedy)
    folder = Path(str(parsed.database)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RejectedError(
            f"{folder} cannot be made: {error.strerror}", field=field, remedy=remedy
        ) from None
    return parsed.set(drivername="sqlite")


def _prepare_sqlite(engine: Engine, *, synchronous: str) -> None:
    """WAL, and write transactions that take the lock at their beginning.

    A deferred transaction that turns from reading to writing fails at once when another process
    wrote meanwhile, whatever the busy timeout; BEGIN IMMEDIATE waits.
    """

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        _enter_wal(connection)
        connection.execute(f"PRAGMA synchronous={synchronous}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if WRITES.items() <= connection.get_execution_options().items():
            connection.exec_driver_sql("BEGIN IMMEDIATE")


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Turning WAL on needs the file alone for a moment and does not wait for it by itself."""
    for wait_s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            time.sleep(wait_s)
        else:
            return
    connection.execute("PRAGMA journal_mode=WAL")
