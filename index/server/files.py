"""Small files that change as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson

from domain.durable import sync
from domain.errors import PermanentError


def write_json(path: Path, value: Any) -> None:
    """Replace the file, durably."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(orjson.dumps(value, option=orjson.OPT_INDENT_2))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync(path.parent)


def read_json(path: Path) -> Any:
    """The file's value.

    Raises:
        PermanentError: it is missing or does not parse.
    """
    try:
        return orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise PermanentError(
            f"{path} cannot be read: {error}",
            remedy="move the collection's folder away and rebuild it with `firstlight reindex`",
        ) from error
