"""Publishing over HTTP: each event answered for itself, and nothing accepted twice."""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fixtures.service import problem_of


def created(item_id, version=1, **data):
    return {
        "type": "item.created",
        "data": {"id": item_id, "version": version, "title": f"{item_id} v{version}", **data},
    }


def test_one_event_is_accepted_with_its_version(shared):
    answer = shared.client.post("/v1/events", json=created("one", 7))
    assert answer.status_code == 202
    body = answer.json()
    assert body["accepted"] == 1
    (receipt,) = body["results"]
    assert (receipt["status"], receipt["id"], receipt["version"]) == ("accepted", "one", 7)


def test_an_event_without_a_version_gets_the_next_one(shared):
    event = {"type": "item.created", "data": {"id": "unversioned", "title": "a"}}
    first = shared.client.post("/v1/events", json=event).json()["results"][0]["version"]
    event["data"]["title"] = "b"
    second = shared.client.post("/v1/events", json=event).json()["results"][0]["version"]
    assert second > first


def test_the_same_version_twice_is_one_event_and_an_older_one_is_stale(shared):
    statuses = [
        shared.client.post("/v1/events", json=created("twice", version)).json()["results"][0][
            "status"
        ]
        for version in (5, 5, 4, 6)
    ]
    assert statuses == ["accepted", "duplicate", "stale", "accepted"]
    assert shared.client.get("/v1/items/twice").json()["version"] == 6


def test_a_wrong_event_harms_no_neighbour_and_is_told_what_is_wrong(shared):
    events = [
        created("good-1"),
        {"type": "item.created", "data": {"id": "empty"}},
        {"type": "item.created", "data": {"id": "x", "title": "x", "colour": "red"}},
        {"type": "party", "data": {}},
        {"data": {}},
        17,
        None,
        created("", 1),
        created("long" * 100),
        created("good-2"),
    ]
    answer = shared.client.post("/v1/events", json=events)
    assert answer.status_code == 202
    body = answer.json()
    assert [one["status"] for one in body["results"]] == [
        "accepted",
        *["rejected"] * 8,
        "accepted",
    ]
    assert [one["index"] for one in body["results"]] == list(range(10))
    assert (body["accepted"], body["rejected"]) == (2, 8)
    fields = [one["errors"][0]["field"] for one in body["results"] if one["errors"]]
    assert fields[:4] == ["data", "data.colour", "event", "type"]
    assert fields[6:] == ["data.id", "data.id"]
    for one in body["results"]:
        for error in one["errors"]:
            assert error["message"]
            assert error["remedy"]
    assert shared.client.get("/v1/items/good-2").status_code == 200


# Each is the JSON of a bad event as text, because no JSON library would write most of them.
BAD_VALUES = [
    ('"attributes": {"a": NaN}', "data.attributes.a"),
    ('"attributes": {"a": Infinity}', "data.attributes.a"),
    ('"attributes": {"a": [1, -Infinity]}', "data.attributes.a"),
    ('"attributes": {"a": {"b": 1}}', "data.attributes.a"),
    ('"attributes": {"a": null}', "data.attributes.a"),
    ('"attributes": {"a": 9007199254740993}', "data.attributes.a"),
    ('"attributes": {"a": 1e999}', "data.attributes.a"),
    ('"description": "\\ud800"', "data.description"),
    ('"description": "a\\u0000b"', "data.description"),
    ('"tags": ["\\udfff"]', "data.tags.0"),
    ('"tags": "sea"', "data.tags"),
    ('"version": NaN', "data.version"),
    ('"version": 0', "data.version"),
    ('"version": -1', "data.version"),
    ('"version": 1.5', "data.version"),
    ('"version": true', "data.version"),
    ('"version": "2026-01-01T00:00:00"', "data.version"),
    ('"version": 36893488147419103232', "data.version"),
    ('"media": {"images": ["ftp://example.org/a.jpg"]}', "data.media.images.0"),
    ('"media": {"video": []}', "data.media.video"),
    ('"\\ud800": 1', "data"),
]


@pytest.mark.parametrize(("text", "field"), BAD_VALUES)
def test_a_bad_value_is_refused_by_field_and_its_neighbour_is_accepted(shared, text, field):
    bad = '{"type": "item.created", "data": {"id": "bad", "title": "t", ' + text + "}}"
    neighbour = json.dumps(created(f"beside-{text[:40]}"))
    answer = shared.client.post(
        "/v1/events",
        content=f"[{bad}, {neighbour}]",
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 202, answer.text
    first, second = answer.json()["results"]
    assert first["status"] == "rejected"
    assert first["errors"][0]["field"].startswith(field)
    assert first["errors"][0]["remedy"]
    assert second["status"] in ("accepted", "duplicate")
    alone = shared.client.post(
        "/v1/events", content=bad, headers={"Content-Type": "application/json"}
    )
    found = problem_of(alone, 422)
    assert found["errors"][0]["field"].startswith(field)
    assert shared.client.get("/v1/items/bad").status_code == 404


@pytest.mark.parametrize(
    "text",
    ["🦉" * 500, "مرحبا بالعالم", "שלום \u202e עולם", "\u200b", "e\u0301", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢"],
)
def test_unicode_of_every_kind_comes_back_as_it_was_sent(shared, text):
    item = {"id": f"unicode {text[:8]}", "title": text, "tags": [text[:100]]}
    assert (
        shared.client.post("/v1/events", json={"type": "item.created", "data": item}).status_code
        == 202
    )
    stored = shared.client.get(f"/v1/items/{item['id']}").json()
    assert stored["item"]["title"] == text
    assert stored["item"]["tags"] == [text[:100]]


def test_a_text_of_a_megabyte_is_refused_with_the_limit_and_the_setting(shared):
    event = created("large", description="x" * 2**20)
    found = problem_of(shared.client.post("/v1/events", json=event), 422)
    (error,) = found["errors"]
    assert error["field"] == "data.description"
    assert "100000" in error["message"]
    assert "FIRSTLIGHT_LIMITS_DESCRIPTION_CHARS" in error["remedy"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b"{", "line 1, column 2"),
        (b'{"type": "item.created",\n "data": }', "line 2, column 10"),
        (b'["a" "b"]', "line 1, column 6"),
        (b"\xff\xfe{}", "not UTF-8 at byte 0"),
        (b"[" * 100_000, "nested too deeply"),
        (b"{'a': 1}", "line 1, column 2"),
        (b"1" * 5000, "a number of thousands of digits"),
    ],
)
def test_malformed_json_is_answered_with_the_place(shared, body, says):
    answer = shared.client.post(
        "/v1/events", content=body, headers={"Content-Type": "application/json"}
    )
    assert says in problem_of(answer, 400)["detail"]


def test_a_whole_number_that_would_be_altered_is_refused_by_field(shared):
    answer = shared.client.put(
        "/v1/items/large",
        content=b'{"title": "t", "attributes": {"a": 18446744073709551617}}',
        headers={"Content-Type": "application/json"},
    )
    (error,) = problem_of(answer, 422)["errors"]
    assert (error["field"], error["remedy"]) == ("attributes.a", "send larger ones as text")


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_that_does_not_say_it_is_json_is_refused(shared, media_type):
    answer = shared.client.post(
        "/v1/events", content=b"{}", headers={"Content-Type": media_type} if media_type else {}
    )
    assert "application/json" in problem_of(answer, 415)["errors"][0]["remedy"]


def test_a_list_of_none_or_too_many_events_is_refused(make_service):
    service = make_service(limits={"request_events": 3})
    for events in ([], [created(f"n{number}") for number in range(4)]):
        found = problem_of(service.client.post("/v1/events", json=events), 422)
        assert "FIRSTLIGHT_LIMITS_REQUEST_EVENTS" in found["errors"][0]["remedy"]
    assert service.client.get("/v1/items").json()["items"] == []


@pytest.mark.parametrize("told", [True, False])
def test_a_body_over_the_limit_ends_while_it_arrives(make_service, told):
    service = make_service(limits={"request_bytes": 2048})
    headers = {"Content-Type": "application/json"}
    content = b"x" * 4096 if told else (b"x" * 1024 for _ in range(4))
    answer = service.client.post("/v1/events", content=content, headers=headers)
    assert "FIRSTLIGHT_LIMITS_REQUEST_BYTES" in problem_of(answer, 413)["errors"][0]["remedy"]


def test_versions_in_any_order_and_from_many_threads_end_at_the_newest(shared):
    orders = list(itertools.permutations([1, 2, 3, 4]))

    def send(version):
        return shared.client.post("/v1/events", json=created("raced", version)).status_code

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(send, itertools.chain(*orders)))
    assert set(statuses) == {202}
    assert shared.client.get("/v1/items/raced").json()["version"] == 4


def test_interactions_with_an_id_count_once_and_name_what_is_wrong(shared):
    shared.client.post("/v1/events", json=created("watched"))
    one = {"user": "ada", "item": "watched", "kind": "like", "id": "click-1"}
    statuses = [
        shared.client.post("/v1/interactions", json=one).json()["results"][0]["status"]
        for _ in range(2)
    ]
    assert statuses == ["accepted", "duplicate"]
    found = problem_of(
        shared.client.post("/v1/interactions", json={"user": "ada", "weight": -1}), 422
    )
    assert [error["field"] for error in found["errors"]] == ["item", "weight"]
    many = shared.client.post("/v1/interactions", json=[one, 3, {"user": "a", "item": "b"}])
    assert many.status_code == 202
    assert [one["status"] for one in many.json()["results"]] == [
        "duplicate",
        "rejected",
        "accepted",
    ]


def test_a_weight_that_training_could_not_use_is_refused_as_the_document_says(shared):
    one = {"user": "ada", "item": "watched", "weight": 1e-46}
    (error,) = problem_of(shared.client.post("/v1/interactions", json=one), 422)["errors"]
    assert (error["field"], error["remedy"]) == ("weight", "send a larger number")
    told = shared.client.post(
        "/v1/interactions", json=[{**one, "weight": 1e7}, one | {"weight": 1}]
    )
    assert [one["status"] for one in told.json()["results"]] == ["rejected", "accepted"]
    schemas = shared.client.get("/openapi.json").json()["components"]["schemas"]
    for name in ("Interaction", "InteractionBody"):
        weight = schemas[name]["properties"]["weight"]
        assert (weight["minimum"], weight["maximum"]) == (1e-6, 1e6)


def test_a_broker_that_is_away_loses_nothing_and_is_noted(make_service):
    service = make_service(broker={"url": "redis://127.0.0.1:1/0"})
    (receipt,) = service.client.post("/v1/events", json=created("kept")).json()["results"]
    assert receipt["status"] == "accepted"
    assert "broker" in receipt["note"]
    assert service.client.get("/v1/items/kept").json()["state"] == "pending"
