"""Recommendations: who asks, what comes, and why; over the real index."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from domain.vectors import RANK
from ranking import HybridStore, alone, projection, rank_dim
from tests.fixtures import media
from tests.fixtures.service import problem_of

GENRES = ["drama", "comedy", "horror"]


def fill(service, count=12):
    picture = service.client.post("/v1/uploads", content=media.png()).json()["reference"]
    sound = service.client.post("/v1/uploads", content=media.wav()).json()["reference"]
    items = []
    for number in range(count):
        item = {
            "id": f"i{number:02}",
            "version": 1,
            "title": f"Item number {number}",
            "description": "a story " * number,
            "attributes": {"genre": GENRES[number % 3], "year": 1990 + number},
        }
        if number % 4 == 1:
            item["media"] = {"images": [picture]}
        if number % 4 == 2:
            item["media"] = {"audio": [sound]}
        items.append(item)
    service.publish(*items)


@pytest.fixture(scope="module")
def filled(shared):
    fill(shared)
    shared.client.put(
        "/v1/users/ada", json={"profile": "Item number three, a story", "interests": ["stories"]}
    )
    shared.client.post(
        "/v1/interactions",
        json=[{"user": "ada", "item": "i00"}, {"user": "grace", "item": "i05", "weight": 3}],
    )
    return shared


@pytest.mark.parametrize(
    "ask",
    [
        {"profile": "a story about number 4"},
        {"profile": "a story", "interests": ["numbers"]},
        {"liked": ["i03", "i07"]},
        {"user": "ada"},
        {"user": "grace"},
        {"user": "ada", "profile": "number 9", "liked": ["i01"], "limit": 3},
        {"profile": "🦉🦉🦉"},
        {"profile": "مرحبا بالعالم"},
        {"profile": "x" * 20_000},
    ],
)
def test_any_mix_of_who_asks_is_ranked_and_every_score_is_the_sum_of_its_parts(filled, ask):
    found = filled.recommend(**ask)
    assert found["results"]
    assert len(found["results"]) <= ask.get("limit", 10)
    scores = [one["score"] for one in found["results"]]
    assert scores == sorted(scores, reverse=True)
    assert [one["rank"] for one in found["results"]] == list(range(1, len(scores) + 1))
    for one in found["results"]:
        assert sum(one["parts"].values()) == one["score"]
        blocks = ["text", "image", "audio", "attributes"]
        assert list(one["parts"]) == [*blocks, "bias", "cf", "graph"]
        assert one["reason"] in one["modalities"]
    assert found["model"]["projection"].startswith("prior-")


def test_demographics_that_are_sent_count_as_stored_ones_do_and_take_their_place(filled):
    told = {"country": "IE", "occupation": "sailor"}
    for user, demographics in (("told", told), ("other", {"country": "FR"})):
        body = {"profile": "a story", "demographics": demographics}
        assert filled.client.put(f"/v1/users/{user}", json=body).status_code == 202

    def scores(**ask):
        return [(one["id"], one["score"]) for one in filled.recommend(**ask)["results"]]

    expected = scores(user="told")
    assert scores(profile="a story", demographics=told) == expected
    assert scores(user="other", demographics=told) == expected
    assert scores(user="other") != expected


@pytest.mark.parametrize("path", ["/v1/recommend", "/v1/onboarding"])
@pytest.mark.parametrize(
    ("said", "field", "setting"),
    [
        ({"interests": ["x" * 201]}, "interests.0", "TAG_CHARS"),
        ({"interests": ["a", "b", "c"]}, "interests", "INTERESTS"),
        ({"demographics": {"a": "x" * 1001}}, "demographics.a", "ATTRIBUTE_CHARS"),
        ({"demographics": {"a": 1, "b": 2, "c": 3}}, "demographics", "ATTRIBUTES"),
    ],
)
def test_what_a_request_says_of_somebody_has_the_limits_of_a_stored_user(
    make_service, path, said, field, setting
):
    service = make_service(limits={"interests": 2, "attributes": 2})
    (stored,) = problem_of(service.client.put("/v1/users/ada", json=said), 422)["errors"]
    (asked,) = problem_of(service.client.post(path, json=said), 422)["errors"]
    assert asked == stored
    assert asked["field"] == field
    assert f"FIRSTLIGHT_LIMITS_{setting}" in asked["remedy"]


def met(service, **ask):
    """Items of the history that an explanation names."""
    results = service.recommend(explain=True, limit=1, **ask)["results"]
    rows = results[0]["explanation"]["sources"]
    return {row["item"] for row in rows if row["source"] == "history" and row["item"]}


def did(service, user, *items, days=0):
    when = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    done = [{"user": user, "item": item, "time": when} for item in items]
    assert service.client.post("/v1/interactions", json=done).status_code == 202


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("later", [["b0"] * 60, [f"gone{n}" for n in range(60)]])
def test_a_history_is_of_different_indexed_items_however_often_one_is_met(
    make_service, later, exclude_seen
):
    service = make_service(ranking={"history_items": 8})
    names = [f"a{n}" for n in range(12)] + ["b0"]
    service.publish(*({"id": key, "title": f"tale {key}"} for key in [*names, "new"]))
    for at in range(12):
        did(service, "ada", f"a{at}", days=20 - at)
    did(service, "ada", *later)
    kept = 7 if later[0] == "b0" else 8
    expected = {f"a{n}" for n in range(12 - kept, 12)} | ({"b0"} if kept == 7 else set())
    assert met(service, user="ada", exclude_seen=exclude_seen) == expected


def test_scores_agree_with_the_inner_product_of_what_is_stored(filled):
    found = filled.recommend(liked=["i03"], limit=12)
    space = filled.parts.spaces.current()
    stored = filled.parts.index.fetch(
        space.collection, [f"i{n:02}" for n in range(12)], with_vectors=[RANK]
    )
    (query,) = space.rank.content_of(stored["i03"].vectors[RANK][None])
    for one in found["results"]:
        (content,) = space.rank.content_of(stored[one["id"]].vectors[RANK][None])
        assert abs(float(content @ query) - one["score"]) < 1e-4


def test_what_was_seen_or_liked_stays_out_unless_asked_for(filled):
    def ids(**ask):
        return {one["id"] for one in filled.recommend(limit=50, **ask)["results"]}

    assert "i00" not in ids(user="ada")
    assert "i03" not in ids(user="ada", liked=["i03"])
    assert {"i00", "i03"} <= ids(user="ada", liked=["i03"], exclude_seen=False)


def test_filters_hold_together_and_an_unknown_one_is_refused_with_those_there_are(filled):
    found = filled.recommend(
        profile="a story", limit=50, filters={"genre": ["drama", "comedy"], "year": {"gte": 1995}}
    )
    assert found["results"]
    for one in found["results"]:
        assert one["attributes"]["genre"] in ("drama", "comedy")
        assert one["attributes"]["year"] >= 1995
    answer = filled.client.post(
        "/v1/recommend", json={"profile": "a", "filters": {"colour": "red"}}
    )
    error = problem_of(answer, 422)["errors"][0]
    assert error["field"] == "filters.colour"
    assert "genre" in error["remedy"]


@pytest.mark.parametrize("path", ["recommend", "similar", "search"])
@pytest.mark.parametrize("limit", [0, -1, 10**6, "10", 1.5, None, True])
def test_a_limit_out_of_bounds_is_refused_by_name(filled, path, limit):
    ask = {"recommend": {"profile": "a"}, "similar": {"item": "i01"}, "search": {"text": "a"}}
    answer = filled.client.post(f"/v1/{path}", json={**ask[path], "limit": limit})
    error = problem_of(answer, 422)["errors"][0]
    assert error["field"] == "limit"
    if limit in (0, -1, 10**6) and limit is not True:
        assert "1 to 1000" in error["remedy"]


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        ({"usr": "ada"}, "usr"),
        ({"user": ""}, "user"),
        ({"user": "x" * 257}, "user"),
        ({"user": 3}, "user"),
        ({"profile": "a\x00b"}, "profile"),
        ({"profile": "x" * 2**20}, "profile"),
        ({"liked": "i01"}, "liked"),
        ({"liked": ["i01", 3]}, "liked.1"),
        ({"filters": []}, "filters"),
        ({"filters": {"year": {"above": 3}}}, "filters.year.above"),
        ({"filters": {"year": {}}}, "filters.year"),
        ({"filters": {"bad name": 3}}, "filters.bad name"),
        ({"exclude_seen": "yes"}, "exclude_seen"),
    ],
)
def test_a_wrong_question_is_refused_by_field(filled, ask, field):
    found = problem_of(filled.client.post("/v1/recommend", json=ask), 422)
    assert found["errors"][0]["field"].startswith(field)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"profile": "\\ud800"}', "profile"),
        ('{"filters": {"year": {"gte": NaN}}}', "filters.year.gte"),
        ('{"filters": {"year": NaN}}', "filters.year"),
        ('{"limit": NaN}', "limit"),
        ("[]", "body"),
        ('"hello"', "body"),
        ("null", "body"),
    ],
)
def test_json_that_no_library_writes_is_refused_by_field(filled, body, field):
    answer = filled.client.post(
        "/v1/recommend", content=body, headers={"Content-Type": "application/json"}
    )
    assert problem_of(answer, 422)["errors"][0]["field"].startswith(field)


def test_an_unknown_user_is_404_and_says_what_to_do(filled):
    found = problem_of(filled.client.post("/v1/recommend", json={"user": "nobody"}), 404)
    assert found["errors"][0]["field"] == "user"
    assert "PUT /v1/users/{id}" in found["errors"][0]["remedy"]


def test_unknown_and_deleted_liked_items_are_errors_of_their_own(filled):
    filled.publish({"id": "liked-gone", "title": "t"})
    filled.client.delete("/v1/items/liked-gone")
    filled.work()
    answer = filled.client.post(
        "/v1/recommend", json={"liked": ["i01", "never", "i02", "liked-gone"]}
    )
    found = problem_of(answer, 422)
    assert [error["field"] for error in found["errors"]] == ["liked.1", "liked.3"]


def test_a_liked_item_that_waits_is_left_out_with_a_note(filled):
    filled.client.put("/v1/items/waiting", json={"title": "not yet"})
    found = filled.recommend(liked=["i01", "waiting"])
    assert found["results"]
    assert any("'waiting' is pending" in note for note in found["notes"])


def test_nothing_indexed_is_an_empty_answer_with_a_note(service):
    found = service.recommend(profile="anything")
    assert found["results"] == []
    assert "nothing is indexed yet" in found["notes"][0]


def test_a_user_with_nothing_gets_the_newest_items(service):
    for number in range(4):
        service.publish({"id": f"n{number}", "title": "t", "attributes": {"odd": number % 2}})
    service.client.put("/v1/users/blank", json={})
    for ask in ({}, {"user": "blank"}):
        found = service.recommend(**ask, limit=3, explore=0)
        assert [one["id"] for one in found["results"]] == ["n3", "n2", "n1"]
        assert {one["reason"] for one in found["results"]} == {"new"}
        assert found["notes"]
    found = service.recommend(filters={"odd": 0}, explore=0)
    assert [one["id"] for one in found["results"]] == ["n2", "n0"]
    service.client.post("/v1/interactions", json={"user": "blank", "item": "gone"})
    assert service.recommend(user="blank", limit=1, explore=0)["results"][0]["id"] == "n3"
    answer = service.client.post("/v1/recommend", json={"filters": {"colour": "red"}})
    assert problem_of(answer, 422)["errors"][0]["field"] == "filters.colour"


def test_older_interactions_count_less(service):
    service.publish(*({"id": f"o{n}", "title": f"title {n}"} for n in range(6)))
    now = time.time()
    for user, old, new in (("left", "o0", "o1"), ("right", "o1", "o0")):
        for item, age_days in ((old, 300), (new, 0)):
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - age_days * 86_400))
            body = {"user": user, "item": item, "time": stamp}
            assert service.client.post("/v1/interactions", json=body).status_code == 202
    best = {
        user: service.recommend(user=user, exclude_seen=False, limit=1)["results"][0]["id"]
        for user in ("left", "right")
    }
    assert best == {"left": "o1", "right": "o0"}


def test_a_projection_published_while_it_runs_changes_the_ranking_as_computed_by_hand(service):
    service.publish(*({"id": f"p{n}", "title": f"title {n}"} for n in range(6)))
    space = service.parts.spaces.current()
    ids = [f"p{n}" for n in range(6)]
    stored = service.parts.index.fetch(space.collection, ids, with_vectors=[RANK])
    content = {
        item_id: space.rank.content_of(item.vectors[RANK][None])[0]
        for item_id, item in stored.items()
    }
    before = service.recommend(liked=["p0"], exclude_seen=False)
    assert before["results"][0]["id"] == "p0"
    # History is turned around, and p4 has a bias that outweighs everything.
    dim = rank_dim(space.fusion.blocks)
    matrices = {
        "history": -np.eye(dim, dtype=np.float32),
        "one": 3.0 * content["p4"][None, :],
    }
    made = projection(space.fusion, matrices)
    store = HybridStore(service.settings.data_dir / "artifacts" / "hybrid")
    store.publish(alone(made, space.rank), space.fusion)
    after = service.recommend(liked=["p0"], exclude_seen=False)
    assert after["model"]["projection"] == made.version
    by_hand = {
        item_id: float(-content["p0"] @ content[item_id] + 3.0 * content["p4"] @ content[item_id])
        for item_id in ids
    }
    assert [one["id"] for one in after["results"]] == sorted(ids, key=lambda i: -by_hand[i])
    for one in after["results"]:
        assert abs(one["score"] - by_hand[one["id"]]) < 1e-4
        assert sum(one["parts"].values()) == one["score"]
        assert one["parts"]["bias"] != 0
    assert after["results"][0]["reason"] == "bias"
    nobody = service.recommend()
    assert nobody["results"][0]["id"] == "p4"


def test_an_item_that_changes_is_explained_at_its_new_version(service):
    service.publish({"id": "a", "version": 1, "title": "one"}, {"id": "b", "title": "two"})
    first = service.recommend(profile="something")
    service.publish({"id": "a", "version": 2, "title": "quite different"})
    second = service.recommend(profile="something")
    by_id = {one["id"]: one for one in second["results"]}
    assert by_id["a"]["version"] == 2
    assert by_id["a"]["title"] == "quite different"
    old = {one["id"]: one for one in first["results"]}
    assert by_id["a"]["score"] != old["a"]["score"]
    assert by_id["b"]["score"] == old["b"]["score"]


def test_a_collection_dropped_under_a_reader_is_looked_up_again(service):
    service.publish({"id": "a", "title": "one"})
    collection = service.parts.spaces.current().collection
    service.parts.index.drop(collection)
    found = service.recommend(profile="something")
    assert found["results"] == []
