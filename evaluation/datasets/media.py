"""Pictures and sounds that lie in a folder under their item's id."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

IMAGES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"})
SOUNDS = frozenset({".wav", ".flac", ".ogg", ".mp3"})


def media_by_item(
    folder: Path, kinds: frozenset[str], item_rows: Mapping[str, int]
) -> tuple[dict[str, list[str]], list[str]]:
    """Item id -> absolute paths of ID.jpg, ID.png ...; and notes on files that are not read."""
    found: dict[str, list[str]] = defaultdict(list)
    if not folder.is_dir():
        return found, []
    strangers = unread = 0
    for path in sorted(folder.resolve().iterdir()):
        if path.name.startswith("."):
            continue
        if path.stem not in item_rows:
            strangers += 1
        elif path.suffix.lower() in kinds:
            found[path.stem].append(str(path))
        else:
            unread += 1
    read = " ".join(sorted(kinds))
    notes = [
        f"{folder.name}/: {count} files {why}"
        for count, why in (
            (strangers, "belong to no item"),
            (unread, f"are of a format that is not read (read are {read})"),
        )
        if count
    ]
    return found, notes
