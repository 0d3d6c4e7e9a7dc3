"""The embedding cache: vectors by hash of encoder and content, in one SQLite file.

Several processes share it. Values are raw float32 bytes with a checksum; nothing is unpickled.
The cache is never a reason for an item to fail: a cache that cannot be read or written is a miss.
docs/decisions/0003-embedding-cache.md has the reasons.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from domain.log import logger
from domain.vectors import Vector

log = logger(__name__)

_TOUCH_S = 3600
"""An entry's time of use is written at most this often: reading stays reading."""

_EVICT_SHARE = 10
"""One entry in so many, the longest unused, goes when the file is full."""

_PAGE_SHARE = 1.5
"""Bytes that a vector's byte takes in the file, key and half-filled pages included."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS embedding (
    key BLOB PRIMARY KEY, vector BLOB NOT NULL, checksum INTEGER NOT NULL, used_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS embedding_used_at ON embedding (used_at);
"""


def cache_key(fingerprint: str, content: bytes) -> bytes:
    """sha256 over both parts, each preceded by its length, so that no two inputs share a key."""
    digest = hashlib.sha256()
    for part in (fingerprint.encode(), content):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


class EmbeddingCache:
    """Vectors by key, bounded in bytes, the longest unused leave first."""

    def __init__(self, folder: Path, max_bytes: int, busy_timeout_s: float = 2.0) -> None:
        """
        Args:
            folder: directory of the SQLite file, made if absent. Open after a fork, not before.
            max_bytes: bound on the entries' pages in the file.
            busy_timeout_s: how long a write waits for another process; then it is left out.
        """
        self.path = folder / "embeddings.sqlite3"
        self._max_bytes = max_bytes
        self._busy_timeout_s = busy_timeout_s
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self._open()

    def get_many(self, keys: Sequence[bytes], dim: int) -> dict[bytes, Vector]:
        """Those found, [dim] float32 each; an entry that is damaged counts as absent."""
        found: dict[bytes, Vector] = {}
        stale: list[bytes] = []
        now = int(time.time())
        with self._lock:
            if self._connection is None or not keys:
                return found
            try:
                for start in range(0, len(keys), 500):
                    part = keys[start : start + 500]
                    marks = ",".join("?" * len(part))
                    rows = self._connection.execute(
                        f"SELECT key, vector, checksum, used_at FROM embedding"  # noqa: S608
                        f" WHERE key IN ({marks})",
                        part,
                    )
                    for key, raw, checksum, used_at in rows:
                        vector = _vector(raw, checksum, dim)
                        if vector is None:
                            log.warning("damaged entry in the embedding cache", key=key.hex())
                            continue
                        found[key] = vector
                        if now - used_at > _TOUCH_S:
                            stale.append(key)
                if stale:
                    self._connection.executemany(
                        "UPDATE embedding SET used_at = ? WHERE key = ?",
                        [(now, key) for key in stale],
                    )
            except sqlite3.Error as error:
                self._troubled(error)
        return found

    def put_many(self, vectors: Mapping[bytes, Vector]) -> None:
        """Keep vectors, each [dim] float32, in one transaction."""
        now = int(time.time())
        rows = []
        for key, vector in vectors.items():
            raw = vector.astype("<f4").tobytes()
            rows.append((key, raw, zlib.crc32(raw), now))
        with self._lock:
            if self._connection is None or not rows:
                return
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._evict(self._connection, sum(_PAGE_SHARE * len(row[1]) for row in rows))
                self._connection.executemany(
                    "INSERT OR REPLACE INTO embedding VALUES (?, ?, ?, ?)", rows
                )
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                self._troubled(error)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> None:
        for attempt in (1, 2):
            try:
                connection = sqlite3.connect(
                    self.path,
                    timeout=self._busy_timeout_s,
                    isolation_level=None,
                    check_same_thread=False,
                )
                connection.execute("PRAGMA journal_mode = WAL")
                # Derived data: after a power cut a lost or damaged entry is encoded again.
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute("PRAGMA journal_size_limit = 16777216")
                connection.executescript(_SCHEMA)
            except sqlite3.DatabaseError as error:
                log.warning("embedding cache unreadable", path=str(self.path), reason=str(error))
                locked = isinstance(error, sqlite3.OperationalError)
                if attempt == 2 or locked:
                    return
                for suffix in ("", "-wal", "-shm"):
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            else:
                self._connection = connection
                return

    def _evict(self, connection: sqlite3.Connection, coming: float) -> None:
        page = _pragma(connection, "page_size")
        while True:
            used = page * (
                _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
            )
            if used + coming <= self._max_bytes:
                return
            (entries,) = connection.execute("SELECT COUNT(*) FROM embedding").fetchone()
            if not entries:
                return
            connection.execute(
                "DELETE FROM embedding WHERE key IN"
                " (SELECT key FROM embedding ORDER BY used_at LIMIT ?)",
                (max(1, entries // _EVICT_SHARE),),
            )

    def _troubled(self, error: sqlite3.Error) -> None:
        log.warning("embedding cache passed over", path=str(self.path), reason=str(error))
        connection = self._connection
        assert connection is not None
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error, sqlite3.OperationalError
        ):
            connection.close()
            self._connection = None
            self._open()


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _vector(raw: object, checksum: object, dim: int) -> Vector | None:
    if not isinstance(raw, bytes) or len(raw) != 4 * dim or zlib.crc32(raw) != checksum:
        return None
    vector = np.frombuffer(raw, dtype="<f4").astype(np.float32)
    return vector if np.isfinite(vector).all() else None
