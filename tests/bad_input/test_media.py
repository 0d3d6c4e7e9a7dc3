"""Items whose pictures and clips are not what they should be."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fixtures import media

from .conftest import Counter

PAGE = b"<!doctype html><title>404</title>"

BAD = [
    ("images", "zero-byte.png", b"", "is empty", "give a JPEG, PNG"),
    ("images", "truncated.jpg", media.truncated_jpeg(), "cut off", "send the whole file"),
    ("images", "sound.png", media.wav(), "is a WAV recording, not a picture", "give a JPEG, PNG"),
    ("images", "page.png", PAGE, "is an HTML page, not a picture", "give a JPEG, PNG"),
    ("images", "bomb.png", media.bomb_png(), "900,000,000 pixels", "_FETCH_IMAGE_PIXELS"),
    ("audio", "zero-byte.wav", b"", "is empty", "give a WAV, FLAC"),
    ("audio", "truncated.wav", media.truncated_wav(), "cut off", "send the whole file"),
    ("audio", "truncated.flac", media.truncated_flac(), "cannot be decoded", "send a whole WAV"),
    ("audio", "picture.wav", media.png(), "is a PNG picture, not a recording", "give a WAV, FLAC"),
    ("audio", "page.wav", PAGE, "is an HTML page, not a recording", "give a WAV, FLAC"),
    ("audio", "silence.wav", media.silent_wav(), "silent", "send a clip with sound"),
    ("audio", "one-sample.wav", media.one_sample_wav(), "(1 samples)", "send a longer clip"),
]


@pytest.mark.parametrize(
    ("kind", "name", "content", "says", "remedy"), BAD, ids=[name for _, name, *_ in BAD]
)
def test_a_bad_medium_fails_alone_and_is_told_with_field_and_remedy(
    counter: Counter, kind: str, name: str, content: bytes, says: str, remedy: str
) -> None:
    """An item that is nothing else is dead; one with a title is indexed from its words."""
    declared = "image/png" if kind == "images" else "audio/wav"
    reference = counter.host.serve(f"/{name}", content, Content_Type=declared)
    bare: dict[str, Any] = {"id": f"bare {name}", "media": {kind: [reference]}}
    titled = {"id": f"titled {name}", "title": "words", "media": {kind: [reference]}}
    case = counter.publish(
        {"type": "item.created", "data": bare}, {"type": "item.created", "data": titled}
    )
    assert [one["status"] for one in case.results] == ["accepted"] * 4

    dead, indexed = counter.item(bare["id"]), counter.item(titled["id"])
    assert (dead["state"], indexed["state"]) == ("dead", "indexed")
    field = f"media.{kind}[0]"
    for word in (field, says, remedy):
        assert word in dead["reason"]
    for record in (dead, indexed):
        (failure,) = record["failures"]
        assert failure["field"] == field
        assert says in failure["message"]
        assert remedy in failure["message"]
    assert set(indexed["models"]) == {"text"}
    assert counter.ranked(case.number) - counter.neighbours(case.number) == {titled["id"]}


def test_one_bad_picture_of_three_leaves_the_item_with_the_other_two(counter: Counter) -> None:
    references = [
        counter.host.serve("/first.png", media.png(1)),
        counter.host.serve("/second.png", media.truncated_jpeg()),
        counter.host.serve("/third.png", media.png(3)),
    ]
    data = {"id": "three-pictures", "media": {"images": references}}
    case = counter.publish({"type": "item.created", "data": data})
    found = counter.item("three-pictures")
    assert found["state"] == "indexed"
    assert [one["field"] for one in found["failures"]] == ["media.images[1]"]
    assert set(found["models"]) == {"image"}
    assert "three-pictures" in counter.ranked(case.number)


@pytest.mark.parametrize(
    ("name", "content"),
    [("telephone", media.telephone_wav()), ("surround", media.surround_wav())],
)
def test_a_clip_of_any_rate_and_channel_count_is_heard(
    counter: Counter, name: str, content: bytes
) -> None:
    """8 kHz mono, and 96 kHz in six channels: unusual, and nothing is wrong with either."""
    data = {"id": name, "media": {"audio": [counter.host.serve(f"/{name}", content)]}}
    case = counter.publish({"type": "item.created", "data": data})
    found = counter.item(name)
    assert (found["state"], found["failures"]) == ("indexed", [])
    assert set(found["models"]) == {"audio"}
    assert name in counter.ranked(case.number)


@pytest.mark.parametrize("content", [b"", media.truncated_wav()[:8], PAGE])
def test_an_upload_that_is_nothing_is_refused_at_once(counter: Counter, content: bytes) -> None:
    answer = counter.service.client.post("/v1/uploads", content=content)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == "file"
    assert error["remedy"]


def test_an_item_of_an_upload_that_never_came_is_dead_and_says_so(counter: Counter) -> None:
    data = {"id": "no-upload", "media": {"images": ["upload:" + "0" * 64]}}
    counter.publish({"type": "item.created", "data": data})
    found = counter.item("no-upload")
    assert found["state"] == "dead"
    assert "POST /v1/uploads" in found["reason"]
