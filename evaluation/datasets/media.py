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
    """Item id -> absolute paths of ID.jpg, ID.png ...; and a note on files that fit no item."""
    found: dict[str, list[str]] = defaultdict(list)
    if not folder.is_dir():
        return found, []
    strangers = 0
    for path in sorted(folder.resolve().iterdir()):
        if path.suffix.lower() in kinds and path.stem in item_rows:
            found[path.stem].append(str(path))
        elif not path.name.startswith("."):
            strangers += 1
    notes = [f"{folder.name}/: {strangers} files belong to no item"] if strangers else []
    return found, notes
