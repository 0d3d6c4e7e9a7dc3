"""The sample catalogue: real, complete, attributed, within its size, and accepted as it stands."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import soundfile
from PIL import Image

from domain.events import BadEvent, ItemCreated, parse_event
from domain.users import User

CATALOG = Path(__file__).parents[2] / "examples" / "catalog"
MOST_BYTES = 8_000_000


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CATALOG / name).read_text().splitlines()]


def published_now() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CATALOG / "now.json").read_text())
    return found


def resolved(event: dict[str, Any]) -> dict[str, Any]:
    media = {
        kind: [f"file://{CATALOG / name}" for name in names]
        for kind, names in event["data"].get("media", {}).items()
    }
    return {**event, "data": {**event["data"], "media": media}}


@pytest.fixture(scope="module")
def events() -> list[ItemCreated]:
    parsed = [parse_event(resolved(event)) for event in lines("items.jsonl")]
    bad = [event for event in parsed if isinstance(event, BadEvent)]
    assert bad == []
    return [event for event in parsed if isinstance(event, ItemCreated)]


def test_at_least_sixty_items_of_every_kind_are_there(events: list[ItemCreated]) -> None:
    kinds = Counter(
        (bool(event.data.media.images), bool(event.data.media.audio)) for event in events
    )
    assert len(events) >= 60
    assert min(kinds[kind] for kind in [(False, False), (True, False), (False, True)]) >= 10
    assert kinds[True, True] >= 10
    assert len({event.data.id for event in events}) == len(events)
    assert len({event.id for event in events}) == len(events)


def test_every_item_says_what_it_is_in_words(events: list[ItemCreated]) -> None:
    for event in events:
        item = event.data
        assert len(item.title) > 3, item.id
        assert len(item.description) > 10, item.id
        assert item.tags, item.id
        assert {"category", "format", "guide"} <= set(item.attributes), item.id


def test_every_medium_is_used_and_opens() -> None:
    items = [event["data"] for event in lines("items.jsonl")] + [published_now()["item"]]
    used = [name for item in items for names in item.get("media", {}).values() for name in names]
    there = {f"media/{path.name}" for path in (CATALOG / "media").iterdir()}
    assert set(used) == there
    for name in used:
        path = CATALOG / name
        if path.suffix == ".jpg":
            with Image.open(path) as picture:
                picture.load()
                assert max(picture.size) <= 512, name
                assert min(picture.size) >= 100, name
        else:
            sound, rate = soundfile.read(path)
            assert 0.3 <= len(sound) / rate <= 12.5, name
            assert abs(sound).max() > 0.1, name


def test_every_medium_is_attributed_with_author_licence_and_package() -> None:
    rows = {}
    for line in (CATALOG / "ATTRIBUTION.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 7 and cells[0].startswith("`"):
            rows[cells[0].strip("`")] = cells[1:]
    assert set(rows) == {path.name for path in (CATALOG / "media").iterdir()}
    for name, (author, licence, _original, package, path, stated) in rows.items():
        assert author, name
        assert licence, name
        assert any(character.isdigit() for character in package), name
        assert path.startswith("`"), name
        assert stated, name


def test_the_whole_fits_in_eight_megabytes() -> None:
    assert sum(path.stat().st_size for path in CATALOG.rglob("*")) <= MOST_BYTES


def test_a_dozen_profiles_say_who_somebody_is_in_a_sentence() -> None:
    users = [User.model_validate(raw) for raw in lines("profiles.jsonl")]
    assert len({user.id for user in users}) == 12
    for user in users:
        assert len(user.profile) > 20
        assert user.interests


def test_the_item_that_is_published_now_is_new_and_has_somebody_to_want_it(
    events: list[ItemCreated],
) -> None:
    now = published_now()
    event = parse_event(resolved({"type": "item.created", "data": now["item"]}))
    assert isinstance(event, ItemCreated)
    assert event.data.version is None, "every start publishes it anew"
    assert event.data.id not in {known.data.id for known in events}
    assert len(now["profile"]) > 20
