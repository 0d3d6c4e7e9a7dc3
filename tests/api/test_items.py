"""One item, one user: publish, follow, delete; lists; uploads."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

import pytest

from tests.fixtures import media
from tests.fixtures.service import problem_of


def test_an_item_can_be_followed_from_pending_to_indexed(service):
    answer = service.client.put("/v1/items/owl", json={"title": "A field guide to owls"})
    assert answer.status_code == 202
    assert answer.json()["status"] == "accepted"
    pending = service.client.get("/v1/items/owl").json()
    assert pending["state"] == "pending"
    assert pending["item"]["title"] == "A field guide to owls"
    assert pending["indexed_at"] is None
    service.work()
    indexed = service.client.get("/v1/items/owl").json()
    assert indexed["state"] == "indexed"
    assert indexed["latency_s"] > 0
    assert indexed["models"]["text"]
    assert indexed["fingerprint"]
    assert indexed["accepted_at"].endswith("Z")


def test_an_item_whose_every_part_fails_is_dead_with_a_reason_the_publisher_can_read(service):
    service.client.put(
        "/v1/items/broken", json={"media": {"images": ["http://127.0.0.1/secret.png"]}}
    )
    service.work()
    found = service.client.get("/v1/items/broken").json()
    assert found["state"] == "dead"
    assert "media.images[0]" in found["reason"]
    assert [one["id"] for one in service.client.get("/v1/items?state=dead").json()["items"]] == [
        "broken"
    ]


def test_one_missing_picture_leaves_the_item_indexed_with_the_failure_listed(service):
    service.client.put(
        "/v1/items/half",
        json={"title": "words", "media": {"images": ["http://127.0.0.1/secret.png"]}},
    )
    service.work()
    found = service.client.get("/v1/items/half").json()
    assert found["state"] == "indexed"
    assert found["failures"][0]["field"] == "media.images[0]"
    assert found["failures"][0]["message"]


def test_a_deleted_item_is_told_and_comes_back_only_newer(service):
    service.client.put("/v1/items/gone", json={"title": "a", "version": 3})
    service.work()
    assert service.client.delete("/v1/items/gone").status_code == 202
    found = service.client.get("/v1/items/gone").json()
    assert (found["state"], found["item"]) == ("deleted", None)
    again = service.client.put("/v1/items/gone", json={"title": "a", "version": 3})
    assert (again.status_code, again.json()["status"]) == (200, "stale")
    newer = service.client.put("/v1/items/gone", json={"title": "a", "version": 9})
    assert newer.status_code == 202


def test_a_deletion_that_arrives_before_its_item_wins_with_its_version(service):
    assert service.client.delete("/v1/items/early?version=5").status_code == 202
    late = service.client.put("/v1/items/early", json={"title": "a", "version": 4})
    assert late.json()["status"] == "stale"


@pytest.mark.parametrize(
    "item_id",
    ["a/b/c", "/", "//", "a b", "100%", "a?b#c", "ünï", "日本", "🦉", "x" * 256, ".."],
)
def test_ids_may_hold_any_character(service, item_id):
    path = "/v1/items/" + quote(item_id, safe="").replace(".", "%2E")
    answer = service.client.put(path, json={"title": "t"})
    assert answer.status_code == 202, answer.text
    assert answer.json()["id"] == item_id
    assert service.client.get(path).json()["id"] == item_id


@pytest.mark.parametrize(
    ("path", "field"),
    [("/v1/items/" + "x" * 257, "id"), ("/v1/items/a%00b", "id"), ("/v1/users/a%00b", "id")],
)
def test_an_id_that_cannot_be_stored_is_refused(service, path, field):
    body = {"title": "t"} if "items" in path else {}
    found = problem_of(service.client.put(path, json=body), 422)
    assert found["errors"][0]["field"] == field


@pytest.mark.parametrize("path", ["/v1/items/x", "/v1/users/x"])
@pytest.mark.parametrize("digits", [17, 5000])
def test_a_version_of_many_digits_is_refused_by_field(service, path, digits):
    found = problem_of(service.client.delete(f"{path}?version={'9' * digits}"), 422)
    assert [one["field"] for one in found["errors"]] == ["version"]


@pytest.mark.parametrize(
    ("method", "path", "field", "remedy"),
    [
        ("PUT", "/v1/items/pq?version=7", "version", "there are none here"),
        ("GET", "/v1/items?stat=dead&limit=3", "stat", "use state, limit, after"),
        ("DELETE", "/v1/users/u?Version=7", "Version", "use version"),
        ("GET", "/v1/status?full=", "full", "there are none here"),
        ("POST", "/v1/recommend?limit=3", "limit", "there are none here"),
        ("POST", "/v1/events?dry=1", "dry", "there are none here"),
    ],
)
def test_a_query_parameter_that_the_route_does_not_know_is_refused(
    service, method, path, field, remedy
):
    answer = service.client.request(method, path, json={} if method != "GET" else None)
    (error,) = problem_of(answer, 422)["errors"]
    assert error["field"] == field
    assert remedy in error["remedy"]


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/healthz", "/metrics"])
def test_pages_and_probes_take_any_query(service, path):
    assert service.client.get(f"{path}?at=now").status_code == 200


def test_a_fault_of_the_service_says_what_to_do_with_it(service, monkeypatch):
    def fail(item_id):
        raise ZeroDivisionError

    monkeypatch.setattr(service.parts.catalog, "item", fail)
    found = problem_of(service.client.get("/v1/items/x"), 500)
    assert found["errors"][0]["remedy"] == "report it with the log line"


def test_another_id_in_the_body_is_refused(service):
    found = problem_of(service.client.put("/v1/items/a", json={"id": "b", "title": "t"}), 422)
    assert found["errors"][0]["field"] == "id"
    assert service.client.put("/v1/items/a", json={"id": "a", "title": "t"}).status_code == 202


def test_unknown_items_and_users_are_404_with_the_remedy(service):
    for path in ("/v1/items/nobody", "/v1/users/nobody"):
        for method in ("GET", "DELETE"):
            found = problem_of(service.client.request(method, path), 404)
            assert "'nobody'" in found["detail"]
            assert "PUT" in found["errors"][0]["remedy"]


def test_items_are_listed_page_by_page_and_by_state(service):
    service.publish(*({"id": f"i{number}", "title": "t"} for number in range(5)))
    service.client.put("/v1/items/z", json={"title": "waits"})
    seen, after = [], None
    while True:
        params = {"limit": 2} | ({"after": after} if after else {})
        page = service.client.get("/v1/items", params=params).json()
        seen += [one["id"] for one in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert seen == ["i0", "i1", "i2", "i3", "i4", "z"]
    pending = service.client.get("/v1/items?state=pending").json()
    assert [one["id"] for one in pending["items"]] == ["z"]
    for query, field in (("limit=0", "limit"), ("limit=x", "limit"), ("state=lost", "state")):
        found = problem_of(service.client.get(f"/v1/items?{query}"), 422)
        assert found["errors"][0]["field"] == field


def test_a_user_is_published_read_and_forgotten(service):
    profile = {"profile": "I watch birds", "interests": ["owls"], "demographics": {"age": 40}}
    assert service.client.put("/v1/users/ada", json=profile).status_code == 202
    found = service.client.get("/v1/users/ada").json()
    assert found["user"]["interests"] == ["owls"]
    service.client.post("/v1/interactions", json={"user": "ada", "item": "x"})
    assert service.client.delete("/v1/users/ada").status_code == 202
    assert service.client.get("/v1/users/ada").status_code == 404
    assert problem_of(service.client.post("/v1/recommend", json={"user": "ada"}), 404)


@pytest.mark.parametrize("form", [True, False])
@pytest.mark.parametrize(
    ("content", "kind"), [(media.png(), "image"), (media.jpeg(), "image"), (media.wav(), "audio")]
)
def test_an_upload_is_named_by_its_content_and_used_by_an_item(service, form, content, kind):
    if form:
        answer = service.client.post("/v1/uploads", files={"file": ("x.txt", content, "text/html")})
    else:
        answer = service.client.post("/v1/uploads", content=content)
    assert answer.status_code == 201, answer.text
    found = answer.json()
    assert found["reference"] == f"upload:{hashlib.sha256(content).hexdigest()}"
    assert (found["kind"], found["bytes"]) == (kind, len(content))
    field = "images" if kind == "image" else "audio"
    service.publish({"id": f"{form}", "media": {field: [found["reference"]]}})
    assert service.client.get(f"/v1/items/{form}").json()["state"] == "indexed"


@pytest.mark.parametrize("form", [True, False])
@pytest.mark.parametrize("content", [b"", b"<html>", b"%PDF-1.4 not a picture", b"\x00" * 100])
def test_an_upload_that_is_no_picture_or_sound_is_refused(service, form, content):
    if form:
        answer = service.client.post("/v1/uploads", files={"file": ("a.png", content, "image/png")})
    else:
        answer = service.client.post("/v1/uploads", content=content)
    found = problem_of(answer, 422)
    assert found["errors"][0]["field"] == "file"


@pytest.mark.parametrize("form", [True, False])
def test_an_upload_over_the_limit_is_refused_while_it_arrives(make_service, form):
    service = make_service(api={"upload_bytes": 1000})
    content = media.png() + b"\x00" * 200_000
    if form:
        answer = service.client.post("/v1/uploads", files={"file": ("a.png", content)})
    else:
        answer = service.client.post("/v1/uploads", content=iter([content[:500], content[500:]]))
    assert "FIRSTLIGHT_API_UPLOAD_BYTES" in problem_of(answer, 413)["errors"][0]["remedy"]
    assert not list((service.settings.data_dir / "uploads").glob("**/*.partial"))


def test_a_form_without_the_file_or_no_form_at_all_is_explained(service):
    answer = service.client.post("/v1/uploads", files={"picture": ("a.png", media.png())})
    assert problem_of(answer, 422)["errors"][0]["field"] == "file"
    answer = service.client.post(
        "/v1/uploads", content=b"x", headers={"Content-Type": "multipart/form-data"}
    )
    problem_of(answer, 400)
