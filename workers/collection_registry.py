"""What is known of each collection, on disk, shared by every process that has the data directory.

    COLLECTION.json     which encoders and which fusion fill it, and what it replaces
    writing-ENCODERS    the collection that workers with these encoders write to
    goal                the collection that is being completed to take over the alias
    lock                held (flock) by whoever fits, reindexes or completes; it dies with them

The index itself says what is served (its alias). Nothing here is needed to rebuild anything:
without it `firstlight reindex` starts anew from the ledger.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from domain.durable import Stamp, stamp, write_durably
from domain.errors import RejectedError, RetryableError
from domain.locks import alone_at_once


class BusyError(RejectedError):
    """Somebody else holds the lock."""


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """One collection.

    Attributes:
        fingerprint: of encoders, fusion and generation; the end of the collection's name.
        encoders: fingerprint of the encoders whose vectors it holds.
        fusion: version of the fusion that made its rank vectors.
        generation: 1, or more when `firstlight reindex` rebuilt the same vector space.
        replaces: the collection that was served when this one was made; kept for rollback.
        copied: filled by re-fusing what `replaces` holds, not by encoding again.
        made_at: seconds since 1970; when it was made, or chosen to take over the alias.
        factors, graph: numbers of its rank vectors beyond the content, see ranking/space.py;
            0 where an older Firstlight made it, whose rank vectors were content alone.
    """

    collection: str
    fingerprint: str
    encoders: str
    fusion: str
    generation: int
    replaces: str | None
    copied: bool
    made_at: float
    factors: int = 0
    graph: int = 0


class Registry:
    """The folder of records and pointers. Safe to share between threads and processes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = threading.Lock()
        self._read: dict[Path, tuple[Stamp, str]] = {}

    def get(self, collection: str) -> CollectionRecord | None:
        """What is known of a collection.

        Raises:
            RetryableError: its record cannot be read.
        """
        content = self._content(self._folder / f"{collection}.json")
        if content is None:
            return None
        try:
            return CollectionRecord(**orjson.loads(content))
        except (orjson.JSONDecodeError, TypeError) as error:
            raise RetryableError(
                f"the record of collection {collection} is damaged ({error})",
                remedy=f"remove {self._folder / collection}.json and run `firstlight reindex`",
            ) from None

    def put(self, record: CollectionRecord) -> None:
        """Keep a record."""
        write_durably(self._folder / f"{record.collection}.json", orjson.dumps(asdict(record)))

    def records(self) -> dict[str, CollectionRecord]:
        """All records by collection."""
        found = (self.get(path.stem) for path in sorted(self._folder.glob("*.json")))
        return {record.collection: record for record in found if record is not None}

    def remove(self, collection: str) -> None:
        """Forget a collection, and every pointer to it."""
        for pointer in self._folder.glob("writing-*"):
            if self._content(pointer) == collection:
                pointer.unlink(missing_ok=True)
        (self._folder / f"{collection}.json").unlink(missing_ok=True)

    def writing(self, encoders: str) -> CollectionRecord | None:
        """Where workers with these encoders write; costs two stats when nothing changed."""
        collection = self._content(self._writing(encoders))
        return None if collection is None else self.get(collection)

    def write_to(self, record: CollectionRecord) -> None:
        """Send every worker with the record's encoders to it, from its next task on."""
        write_durably(self._writing(record.encoders), record.collection.encode())

    def targets(self) -> set[str]:
        """Every collection that some worker may be writing to."""
        found = {self._content(pointer) for pointer in self._folder.glob("writing-*")}
        return {collection for collection in found if collection is not None}

    def goal(self) -> CollectionRecord | None:
        """The collection that is to take over the alias once it is complete, if any."""
        collection = self._content(self._folder / "goal")
        return self.get(collection) if collection else None

    def aim(self, record: CollectionRecord | None) -> None:
        """Set the goal, or say that it is reached."""
        name = record.collection if record is not None else ""
        write_durably(self._folder / "goal", name.encode())

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """One fit, reindex or completion at a time, over all processes on this data directory.

        Raises:
            BusyError: another one is at it.
        """
        with alone_at_once(self._folder / "lock") as mine:
            if not mine:
                raise BusyError(
                    "a fit or reindex is under way", remedy="wait for it: `firstlight status`"
                )
            yield

    def _writing(self, encoders: str) -> Path:
        name = hashlib.sha256(encoders.encode()).hexdigest()[:16]
        return self._folder / f"writing-{name}"

    def _content(self, path: Path) -> str | None:
        """The text of a file, read again only when the file was replaced."""
        try:
            now = stamp(path)
            with self._lock:
                held = self._read.get(path)
            if now is not None and held is not None and held[0] == now:
                return held[1]
            content = path.read_text()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise RetryableError(f"{path} cannot be read ({error})") from None
        with self._lock:
            self._read[path] = (now, content)
        return content
