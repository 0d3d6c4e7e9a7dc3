"""`firstlight publish` beside other publishers, against the real app."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from api.calls import A, Call
from api.cli import publish
from api.cli.publish import Summary, publish_lines, read_lines
from api.client import FirstlightClient
from catalog import Pair
from tests.fixtures.media import jpeg
from tests.fixtures.service import Service


class Direct(FirstlightClient):
    """Calls the app in this process; a worker brings the items of `indexes` into the index."""

    def __init__(self, service: Service, indexes: tuple[str, ...] = ()) -> None:
        super().__init__(batch_events=3)
        self.service = service
        self.indexes = indexes
        self.asked: list[str] = []

    def send(self, call: Call[A]) -> A:
        self.asked.append(call.path)
        if call.path == "/v1/items" and self.indexes:
            first, *others = self.indexes
            self.indexes = tuple(others)
            self.service.worker.pipeline.run([Pair(first, 1)])
        return self.service.send(call)


def published(api: FirstlightClient, folder: Path, *lines: Any, timeout_s: float = 60.0) -> Summary:
    file = folder / "events.jsonl"
    file.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines))
    return publish_lines(
        api, list(read_lines(file)), folder, wait=True, timeout_s=timeout_s, show=False
    )


@pytest.fixture
def crowded(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Items of another publisher that stay pending, at both ends of every page."""
    monkeypatch.setattr(publish, "POLL_S", 0.01)
    monkeypatch.setattr(publish, "WAIT_PAGE", 2)
    foreign = [{"id": f"{end}{n}", "version": 1, "title": "x"} for end in "az" for n in range(3)]
    events = [{"type": "item.created", "data": item} for item in foreign]
    assert service.client.post("/v1/events", json=events).json()["accepted"] == 6
    return service


def test_a_file_is_done_when_its_own_items_are(crowded: Service, tmp_path: Path) -> None:
    items = [{"id": f"m{n}", "version": 1, "title": "mine"} for n in range(5)]
    order = ("m3", "m0", "m4", "m1", "m2")
    summary = published(Direct(crowded, order), tmp_path, *items)
    assert (summary.accepted, summary.indexed, summary.dead) == (5, 5, 0)
    assert summary.still_pending == 0
    assert summary.clean


def test_only_own_items_are_counted_as_pending(crowded: Service, tmp_path: Path) -> None:
    items = [{"id": f"m{n}", "version": 1, "title": "mine"} for n in range(3)]
    summary = published(Direct(crowded, ("m1",)), tmp_path, *items, timeout_s=0.3)
    assert (summary.accepted, summary.indexed, summary.still_pending) == (3, 1, 2)
    assert not summary.clean


def test_deletions_are_not_waited_for(crowded: Service, tmp_path: Path) -> None:
    item = {"id": "m0", "version": 1, "title": "mine"}
    gone = {"type": "item.deleted", "data": {"id": "m0", "version": 2}}
    api = Direct(crowded)
    summary = published(api, tmp_path, item, gone)
    assert (summary.accepted, summary.indexed, summary.still_pending) == (2, 0, 0)
    assert summary.clean
    assert set(api.asked) == {"/v1/events"}


def test_a_medium_that_cannot_be_uploaded_is_left_out_of_its_item(
    service: Service, tmp_path: Path
) -> None:
    (tmp_path / "owl.jpg").write_bytes(jpeg())
    (tmp_path / "text.jpg").write_text("no picture")
    items = [
        {"id": "a", "version": 1, "media": {"images": ["gone.jpg", "owl.jpg", "text.jpg"]}},
        {"id": "b", "version": 1, "title": "words", "media": {"images": ["gone.jpg"]}},
        {"id": "c", "version": 1, "media": {"images": ["gone.jpg"]}},
    ]
    summary = published(Direct(service, ("a", "b")), tmp_path, *items)
    assert (summary.accepted, summary.indexed, summary.rejected) == (2, 2, 1)
    assert summary.media_left_out == 3
    assert not summary.clean
    missing, refused, bare, rejected = summary.problems
    assert missing.startswith("line 1: data.media.images: gone.jpg: No such file")
    assert "line 1: data.media.images: text.jpg" in refused
    assert "newer version" in bare
    assert rejected == "line 3: data.media.images: gone.jpg: No such file or directory"
    item = service.client.get("/v1/items/a").json()["item"]
    assert len(item["media"]["images"]) == 1
    assert service.client.get("/v1/items/b").json()["item"]["media"]["images"] == []


def test_a_line_that_json_has_no_form_for_is_refused_by_its_field(
    service: Service, tmp_path: Path
) -> None:
    summary = published(
        Direct(service, ("good",)),
        tmp_path,
        '{"id": "good", "version": 1, "title": "good", "media": {"images": ["\\ud800"]}}',
        '{"id": "a", "title": "x", "attributes": {"price": NaN}}',
        '{"id": "b", "title": "\\ud800"}',
        "{broken",
        "[]",
    )
    assert (summary.accepted, summary.indexed, summary.rejected) == (1, 1, 4)
    said = "\n".join(summary.problems)
    for part in ("line 2: data.attributes.price", "line 3: data.title", "line 4: not JSON: "):
        assert part in said
    assert "line 1: data.media.images: '\\ud800': no path" in said
    assert "line 5: not a JSON object; write" in said
    assert all("; " in problem for problem in summary.problems)
