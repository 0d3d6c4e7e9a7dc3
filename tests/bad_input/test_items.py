"""Items of which nothing is left to encode, and values that no store can hold."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fixtures import media

from .conftest import Counter


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"title": "", "description": "", "tags": []},
        {"title": " \n\t", "tags": [" "]},
        {"media": {"images": [], "audio": []}},
        {"attributes": {"year": 1999, "colour": ""}},
    ],
)
def test_an_empty_item_is_refused_and_told_what_to_give(
    counter: Counter, data: dict[str, Any]
) -> None:
    case = counter.publish({"type": "item.created", "data": {"id": "empty", **data}})
    assert case.results[1]["status"] == "rejected"
    (error,) = case.errors
    assert error["field"] == "data"
    assert "empty" in error["message"]
    assert "title, description, tags" in error["remedy"]
    assert counter.service.client.get("/v1/items/empty").status_code == 404


def test_an_item_with_no_modality_left_is_dead_and_names_every_medium(counter: Counter) -> None:
    missing = counter.host.serve("/missing.png", b"no", status="404 Not Found")
    page = counter.host.serve("/page.wav", b"<html></html>")
    media = {"images": [missing], "audio": [page]}
    case = counter.publish({"type": "item.created", "data": {"id": "nothing-left", "media": media}})
    assert case.results[1]["status"] == "accepted"
    found = counter.item("nothing-left")
    assert found["state"] == "dead"
    assert found["attempts"] == 1
    assert "publish it again with a text, a picture or a clip" in found["reason"]
    assert "media.images[0]: 127.0.0.1 answered 404 Not Found; correct the URL" in found["reason"]
    assert "media.audio[0]: is an HTML page, not a recording" in found["reason"]
    assert [one["field"] for one in found["failures"]] == ["media.images[0]", "media.audio[0]"]
    assert "nothing-left" not in counter.ranked(case.number)


def test_a_dead_items_reason_says_each_failure_once(counter: Counter) -> None:
    missing = counter.host.serve("/lost.png", b"no", status="404 Not Found")
    clip = counter.host.serve("/short.wav", media.one_sample_wav())
    wanted = {"images": [missing], "audio": [clip]}
    counter.publish({"type": "item.created", "data": {"id": "said-once", "media": wanted}})
    reason = counter.item("said-once")["reason"]
    assert reason.count("media.images[0]: ") == 1
    assert reason.count("media.audio[0]: ") == 1
    assert reason.count("send a longer clip") == 1


def test_what_was_dead_comes_back_with_a_newer_version(counter: Counter) -> None:
    missing = counter.host.serve("/gone.png", b"no", status="410 Gone")
    bad = {"id": "mended", "version": 1, "media": {"images": [missing]}}
    counter.publish({"type": "item.created", "data": bad})
    assert counter.item("mended")["state"] == "dead"
    good = {"id": "mended", "version": 2, "media": {"images": [counter.picture]}}
    case = counter.publish({"type": "item.updated", "data": good})
    found = counter.item("mended")
    assert (found["state"], found["reason"], found["failures"]) == ("indexed", None, [])
    assert "mended" in counter.ranked(case.number)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), [1.0, float("-inf")]], ids=["NaN", "inf", "list"]
)
def test_an_attribute_that_is_no_number_is_refused_by_name(counter: Counter, value: Any) -> None:
    data = {"id": "not-a-number", "title": "words", "attributes": {"price": value}}
    case = counter.publish({"type": "item.created", "data": data})
    (error,) = case.errors
    assert error["field"] == "data.attributes.price"
    assert "NaN and infinity are not allowed" in error["message"]
    assert "leave the attribute out" in error["remedy"]
    assert counter.service.client.get("/v1/items/not-a-number").status_code == 404


@pytest.mark.parametrize(
    ("data", "outside", "field"),
    [
        ({"colour": "red"}, {}, "data.colour"),
        ({"media": {"video": []}}, {}, "data.media.video"),
        ({}, {"shop": "x"}, "shop"),
    ],
)
def test_an_unknown_field_is_refused_by_name(
    counter: Counter, data: dict[str, Any], outside: dict[str, Any], field: str
) -> None:
    item = {"id": "unknown-field", "title": "words", **data}
    case = counter.publish({"type": "item.created", "data": item, **outside})
    (error,) = case.errors
    assert error["field"] == field
    assert "unknown field" in error["message"]
    assert "remove it or correct its name" in error["remedy"]
    assert counter.service.client.get("/v1/items/unknown-field").status_code == 404
