"""Requests that cannot be read, and questions about what is not there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fixtures.service import problem_of

from .conftest import Counter

QUESTIONS: dict[str, dict[str, Any]] = {
    "/v1/recommend": {"profile": "quiet films about the sea"},
    "/v1/similar": {"item": "asked-about"},
    "/v1/search": {"text": "the sea"},
}


@pytest.fixture(autouse=True)
def something_to_ask_about(counter: Counter) -> None:
    item = {"title": "the sea", "version": 1, "attributes": {"genre": "drama"}}
    assert counter.service.client.put("/v1/items/asked-about", json=item).status_code in (200, 202)
    counter.service.work()


def still_answers(counter: Counter) -> None:
    """A good question right after a bad one."""
    for path, ask in QUESTIONS.items():
        assert counter.post(path, ask).json()["results"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'[{"type": "item.created", "data": {"id": "cut", "title": "t"}},', "line 1, column 64"),
        (b'{"type": "item.created" "data": {}}', "line 1, column 25"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b"[" * 100_000, "nested too deeply"),
        (b"", "empty"),
    ],
    ids=["cut off", "comma", "encoding", "nested", "empty"],
)
def test_malformed_json_is_told_with_its_place_and_none_of_it_is_taken(
    counter: Counter, body: bytes, says: str
) -> None:
    before = counter.service.worker.catalog.counts()
    headers = {"Content-Type": "application/json"}
    answer = counter.service.client.post("/v1/events", content=body, headers=headers)
    found = problem_of(answer, 400)
    assert says in found["detail"]
    assert found["errors"][0]["field"] == "body"
    assert counter.service.worker.catalog.counts() == before
    counter.publish()


@pytest.mark.parametrize(
    ("path", "ask", "status", "field", "remedy"),
    [
        ("/v1/recommend", {"user": "nobody"}, 404, "user", "PUT /v1/users/{id}"),
        (
            "/v1/recommend",
            {"liked": ["asked-about", "no-such"]},
            422,
            "liked.1",
            "publish it first",
        ),
        ("/v1/similar", {"item": "no-such"}, 404, "item", "PUT /v1/items/{id}"),
        *[
            (path, {**ask, "filters": {"colour": "red"}}, 422, "filters.colour", "genre")
            for path, ask in QUESTIONS.items()
        ],
        *[
            (path, {**ask, "limit": limit}, 422, "limit", "FIRSTLIGHT_API_MAX_LIMIT")
            for path, ask in QUESTIONS.items()
            for limit in (0, 10**6)
        ],
        *[
            (path, {**ask, "colour": "red"}, 422, "colour", "remove it or correct its name")
            for path, ask in QUESTIONS.items()
        ],
        *[
            (
                path,
                {**ask, "filters": {"year": {"gte": float("nan")}}},
                422,
                "filters.year.gte",
                "NaN",
            )
            for path, ask in QUESTIONS.items()
        ],
        *[
            ("/v1/recommend", {field: 1}, 422, field, "remove it or correct its name")
            for field in ("interaction", "events")
        ],
        (
            "/v1/recommend",
            {"filters": {"interaction": {"gte": float("nan")}}},
            422,
            "filters.interaction.gte",
            "NaN",
        ),
    ],
)
def test_a_wrong_question_is_refused_by_field_and_the_next_one_is_answered(
    counter: Counter, path: str, ask: dict[str, Any], status: int, field: str, remedy: str
) -> None:
    (error,) = problem_of(counter.post(path, ask), status)["errors"]
    assert error["field"] == field
    assert remedy in error["remedy"]
    still_answers(counter)


@pytest.mark.parametrize("path", ["/v1/items/no-such", "/v1/users/nobody"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_item_or_user_is_not_found_and_how_to_publish_it_is_told(
    counter: Counter, method: str, path: str
) -> None:
    (error,) = problem_of(counter.service.client.request(method, path), 404)["errors"]
    assert error["field"] == "id"
    assert "PUT" in error["remedy"]


@pytest.mark.parametrize("limit", [0, 10**6])
def test_a_page_of_none_or_a_million_items_is_refused(counter: Counter, limit: int) -> None:
    answer = counter.service.client.get(f"/v1/items?limit={limit}")
    (error,) = problem_of(answer, 422)["errors"]
    assert error["field"] == "limit"
    assert "FIRSTLIGHT_API_MAX_LIMIT" in error["remedy"]


@pytest.mark.parametrize(
    ("event", "field", "remedy"),
    [
        (7, "event", "send an object"),
        (None, "event", "send an object"),
        ({"type": "item.created"}, "data", "add it"),
        ({"type": "item.exploded", "data": {}}, "event", "item.created"),
        ({"type": "item.created", "data": {"id": "x", "title": 7}}, "data.title", "send a text"),
        (
            {"type": "item.created", "data": {"id": "x", "attributes": {"size": {"cm": 3}}}},
            "data.attributes.size",
            "send a text, a number",
        ),
        (
            {"type": "interaction", "data": {"user": "u", "item": "x", "weight": float("nan")}},
            "data.weight",
            "NaN and infinity are not allowed",
        ),
    ],
)
def test_an_event_that_is_none_is_refused_by_field_and_remedy(
    counter: Counter, event: Any, field: str, remedy: str
) -> None:
    """Alone and among good ones; a neighbour is accepted."""
    (error,) = problem_of(counter.post("/v1/events", event), 422)["errors"]
    assert (error["field"], remedy in error["remedy"]) == (field, True)
    good = {"type": "item.created", "data": {"id": "asked-about", "version": 1, "title": "the sea"}}
    told = counter.post("/v1/events", [event, good]).json()
    assert [one["status"] for one in told["results"]] == ["rejected", "duplicate"]
    (error,) = told["results"][0]["errors"]
    assert (error["field"], remedy in error["remedy"]) == (field, True)


def test_an_interaction_with_an_unknown_user_and_item_is_kept_and_told(counter: Counter) -> None:
    body = {"user": "stranger", "item": "not-yet", "id": "stranger-1"}
    (receipt,) = counter.post("/v1/interactions", body).json()["results"]
    assert receipt["status"] == "accepted"
    assert "not-yet" in receipt["note"] or "unknown" in receipt["note"]
    assert counter.service.worker.catalog.seen("stranger") == {"not-yet"}
