"""Items whose rank vectors are to be looked at again, on disk until that was done."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson

from domain.durable import write_durably
from domain.log import logger

log = logger(__name__)


class Touched:
    """A folder of lists of item ids; each is removed once it was worked off."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, ids: Sequence[str]) -> None:
        """Remember items; they outlive this process when this returns."""
        if ids:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_durably(self._folder / f"{uuid.uuid4().hex}.json", orjson.dumps(list(ids)))

    @contextmanager
    def taken(self) -> Iterator[list[str]]:
        """What was remembered so far, each once; forgotten when the block ends well."""
        files = sorted(self._folder.glob("[!.]*.json")) if self._folder.is_dir() else []
        ids: dict[str, None] = {}
        for file in files:
            try:
                ids |= dict.fromkeys(orjson.loads(file.read_bytes()))
            except (OSError, orjson.JSONDecodeError, TypeError) as error:
                log.warning("list_of_items_unreadable", file=str(file), reason=str(error))
        yield list(ids)
        for file in files:
            file.unlink(missing_ok=True)
