"""Similar items and search, within a modality and across."""

from __future__ import annotations

import base64

import pytest

from tests.fixtures import media
from tests.fixtures.service import problem_of
from workers.collection_fit import fit_fusion


@pytest.fixture(scope="module")
def filled(shared):
    def upload(content):
        answer = shared.client.post("/v1/uploads", content=content)
        return answer.json()["reference"]

    shared.publish(
        {"id": "words", "title": "An owl in the night", "attributes": {"kind": "text"}},
        {"id": "more words", "title": "A lighthouse", "attributes": {"kind": "text"}},
        {"id": "picture", "media": {"images": [upload(media.png(1))]}},
        {"id": "other picture", "media": {"images": [upload(media.transparent_png())]}},
        {"id": "sound", "media": {"audio": [upload(media.wav(hz=440.0))]}},
        {"id": "other sound", "media": {"audio": [upload(media.wav(hz=900.0))]}},
        {
            "id": "both",
            "title": "An owl",
            "media": {"images": [upload(media.png(2))], "audio": [upload(media.wav(hz=500.0))]},
        },
    )
    return shared


def search(service, **ask):
    answer = service.client.post("/v1/search", json=ask)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def similar(service, **ask):
    answer = service.client.post("/v1/similar", json=ask)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def test_similar_leaves_the_item_itself_out_and_explains_by_block(filled):
    results = similar(filled, item="both")
    assert "both" not in {one["id"] for one in results}
    for one in results:
        assert sum(one["parts"].values()) == one["score"]
        assert one["parts"]["bias"] == 0


@pytest.mark.parametrize(
    ("modality", "others"),
    [
        ("text", {"words", "more words"}),
        ("image", {"picture", "other picture"}),
        ("audio", {"sound", "other sound"}),
    ],
)
def test_similar_within_a_modality_returns_only_items_that_have_it(filled, modality, others):
    results = similar(filled, item="both", within=modality)
    assert {one["id"] for one in results} == others
    for one in results:
        assert one["parts"] == {modality: one["score"]}
        assert one["reason"] == modality
        assert -1.0001 <= one["score"] <= 1.0001


def test_similar_needs_an_item_that_is_there_indexed_and_has_the_modality(filled):
    found = problem_of(filled.client.post("/v1/similar", json={"item": "never"}), 404)
    assert found["errors"][0]["field"] == "item"
    found = problem_of(
        filled.client.post("/v1/similar", json={"item": "words", "within": "image"}), 422
    )
    assert found["errors"][0]["field"] == "within"
    assert "text" in found["errors"][0]["remedy"]
    filled.client.put("/v1/items/later", json={"title": "later"})
    found = problem_of(filled.client.post("/v1/similar", json={"item": "later"}), 409)
    assert "pending" in found["detail"]
    answer = filled.client.post("/v1/similar", json={"item": "both", "within": "smell"})
    assert problem_of(answer, 422)["errors"][0]["field"] == "within"


def test_words_find_the_item_with_the_same_words(filled):
    for target in ("text", "all"):
        assert search(filled, text="A lighthouse", **{"in": target})[0]["id"] == "more words"


def test_words_reach_pictures_through_the_clip_text_tower(filled):
    results = search(filled, text="an owl", **{"in": "image"})
    assert {one["id"] for one in results} == {"picture", "other picture", "both"}


@pytest.mark.parametrize("how", ["upload", "base64", "data", "form"])
@pytest.mark.parametrize("target", ["image", "all"])
def test_a_picture_finds_itself_however_it_is_sent(filled, how, target):
    content = media.png(1)
    encoded = base64.b64encode(content).decode()
    if how == "form":
        answer = filled.client.post(
            "/v1/search",
            files={"image": ("a", content)},
            data={"in": target, "limit": "3", "filters": "{}"},
        )
        assert answer.status_code == 200, answer.text
        results = answer.json()["results"]
        assert len(results) == 3
    else:
        reference = filled.client.post("/v1/uploads", content=content).json()["reference"]
        given = {
            "upload": reference,
            "base64": encoded,
            "data": f"data:image/png;base64,{encoded}",
        }
        results = search(filled, image=given[how], **{"in": target})
    assert results[0]["id"] == "picture"
    assert results[0]["score"] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("target", ["audio", "all"])
def test_a_sound_finds_itself(filled, target):
    encoded = base64.b64encode(media.wav(hz=900.0)).decode()
    results = search(filled, audio=encoded, **{"in": target})
    assert results[0]["id"] == "other sound"
    assert results[0]["score"] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("source", "target", "best"),
    [("text", "audio", "both"), ("audio", "text", "both"), ("image", "audio", "both")],
)
def test_where_nothing_is_learned_items_that_have_both_lead_across(filled, source, target, best):
    given = {
        "text": "An owl",
        "audio": base64.b64encode(media.wav(hz=500.0)).decode(),
        "image": base64.b64encode(media.png(2)).decode(),
    }
    ask = {source: given[source], "in": target}
    found = filled.client.post("/v1/search", json=ask).json()
    assert found["results"][0]["id"] == best
    assert all(set(one["parts"]) == {target} for one in found["results"])
    (note,) = found["notes"]
    assert f"no learned relation of {source} to {target}" in note


def test_where_no_item_has_both_that_is_said(make_service):
    service = make_service()
    sound = service.client.post("/v1/uploads", content=media.wav()).json()["reference"]
    service.publish({"id": "words", "title": "An owl"}, {"id": "s", "media": {"audio": [sound]}})
    ask = {"text": "an owl", "in": "audio"}
    error = problem_of(service.client.post("/v1/search", json=ask), 422)["errors"][0]
    assert error["field"] == "in"
    assert "publish items that have both" in error["remedy"]


def test_search_takes_filters(filled):
    results = search(filled, text="an owl", filters={"kind": "text"})
    assert {one["id"] for one in results} == {"words", "more words"}


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        ({}, "body"),
        ({"text": "a", "image": "b"}, "body"),
        ({"text": "  "}, "text"),
        ({"text": "a\x00"}, "text"),
        ({"text": "a", "in": "smell"}, "in"),
        ({"text": "a", "colour": 1}, "colour"),
        ({"image": "not base64!"}, "image"),
        ({"image": base64.b64encode(b"<html>").decode()}, "image"),
        ({"image": ""}, "image"),
        ({"audio": base64.b64encode(media.png()).decode()}, "audio"),
        ({"image": base64.b64encode(media.truncated_jpeg()).decode()}, "image"),
        ({"audio": base64.b64encode(media.one_sample_wav()).decode()}, "audio"),
    ],
)
def test_a_wrong_search_is_refused_by_field(filled, ask, field):
    answer = filled.client.post("/v1/search", json=ask)
    assert problem_of(answer, 422)["errors"][0]["field"] == field


@pytest.mark.parametrize(
    ("modality", "content", "message", "remedy"),
    [
        ("image", media.truncated_jpeg(), "truncated", "file"),
        ("audio", media.one_sample_wav(), "at least 25 ms are needed", "send a longer clip"),
    ],
    ids=["image", "audio"],
)
def test_a_file_that_cannot_be_encoded_is_told_as_one_that_was_sent(
    filled, modality, content, message, remedy
):
    ask = {modality: base64.b64encode(content).decode()}
    (error,) = problem_of(filled.client.post("/v1/search", json=ask), 422)["errors"]
    assert error["field"] == modality
    assert message in error["message"]
    assert "item" not in error["message"]
    assert remedy in error["remedy"]
    assert "publish" not in error["remedy"]


@pytest.mark.parametrize("name", ["0" * 64, "0" * 63, "../../etc/passwd", ""])
def test_an_unknown_upload_is_404(filled, name):
    answer = filled.client.post("/v1/search", json={"image": f"upload:{name}"})
    found = problem_of(answer, 404)
    assert found["errors"][0]["field"] == "image"
    assert "POST /v1/uploads" in found["errors"][0]["remedy"]


def test_an_example_over_the_limit_is_refused(make_service):
    service = make_service(fetch={"image_bytes": 100})
    encoded = base64.b64encode(media.png()).decode()
    found = problem_of(service.client.post("/v1/search", json={"image": encoded}), 422)
    assert "FIRSTLIGHT_FETCH_IMAGE_BYTES" in found["errors"][0]["remedy"]


def test_once_a_fusion_is_fitted_words_find_sounds(make_service):
    service = make_service(fusion={"min_items": 20})
    items = []
    for number in range(110):
        low = number % 2 == 0
        sound = media.wav(0.25, hz=(220.0 if low else 2200.0) + number)
        reference = service.client.post("/v1/uploads", content=sound).json()["reference"]
        title = "a low drone" if low else "THE HIGH WHISTLE !"
        items.append({"id": f"s{number}", "title": title, "media": {"audio": [reference]}})
    service.publish(*items)
    fit_fusion(service.worker, lambda due: [])
    service.work()
    ask = {"text": "a low drone", "in": "audio", "limit": 20}
    found = service.client.post("/v1/search", json=ask)
    assert found.status_code == 200, found.text
    results = found.json()["results"]
    assert {one["title"] for one in results} == {"a low drone"}
    assert {tuple(one["parts"]) for one in results} == {("audio",)}
    ranked = service.recommend(profile="a low drone", limit=5)
    assert ranked["model"]["fusion"].startswith("fit-")
    assert {one["title"] for one in ranked["results"]} == {"a low drone"}
    for one in ranked["results"]:
        assert sum(one["parts"].values()) == one["score"]
