"""Keys, exposure, readiness, metrics, status, OpenAPI, and what every error looks like."""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from api import ranking_schemas, schemas, serve
from api.auth import Keys, check_exposure
from api.ranking_schemas import RankedAnswer
from api.readiness import Readiness
from api.sample_answers import SAMPLES
from api.schemas import (
    EventsAnswer,
    HealthAnswer,
    ItemAnswer,
    ItemsAnswer,
    Problem,
    ReadyAnswer,
    StatusAnswer,
)
from domain.errors import RejectedError, RetryableError
from domain.setting_groups import ApiSettings
from tests.fixtures.service import make_settings, problem_of
from tests.fixtures.valkey import free_port

KEYS = {"api": {"write_keys": ["w-secret"], "read_keys": ["r-secret"]}}
READS = [("GET", "/v1/items"), ("GET", "/v1/status"), ("POST", "/v1/recommend")]
WRITES = [
    ("POST", "/v1/events"),
    ("PUT", "/v1/items/a"),
    ("DELETE", "/v1/items/a"),
    ("POST", "/v1/uploads"),
    ("POST", "/v1/interactions"),
    ("DELETE", "/v1/users/a"),
]


@pytest.fixture(scope="module")
def locked(tmp_path_factory, index_server, tiny_encoders):
    from tests.fixtures.service import serving

    settings = make_settings(tmp_path_factory.mktemp("locked"), index_server.url, **KEYS)
    with serving(settings, tiny_encoders) as made:
        yield made


@pytest.mark.parametrize(("method", "path"), READS + WRITES)
def test_without_a_key_or_with_a_wrong_one_nothing_is_told(locked, method, path):
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"X-API-Key": "w-secre"},
        {"Authorization": "Basic w-secret"},
        {"Authorization": "Bearer"},
    ):
        answer = locked.client.request(method, path, headers=headers)
        found = problem_of(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "secret" not in str(found)


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_a_read_key_reads_and_never_writes(locked, method, path):
    headers = {"X-API-Key": "r-secret"}
    assert problem_of(locked.client.request(method, path, headers=headers), 403)
    assert locked.client.get("/v1/items", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Bearer w-secret"}, {"X-API-Key": "w-secret"}]
)
def test_a_write_key_writes_and_reads_in_either_header(locked, headers):
    body = {"title": "t"}
    assert locked.client.put("/v1/items/a", json=body, headers=headers).status_code in (200, 202)
    assert locked.client.get("/v1/items/a", headers=headers).status_code == 200


def test_probes_and_metrics_need_no_key(locked):
    for path in ("/healthz", "/readyz", "/metrics"):
        assert locked.client.get(path).status_code == 200


def test_every_key_is_compared_whatever_matched_before():
    keys = Keys(ApiSettings(write_keys=["a", "b"], read_keys=["c"]))
    assert [keys.may_write(key) for key in ("a", "b", "c", "", "é", "\udcff")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    assert [keys.may_read(key) for key in ("a", "b", "c", "d")] == [True, True, True, False]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org"])
def test_listening_to_the_world_without_keys_is_refused_in_one_line(host):
    with pytest.raises(RejectedError, match="FIRSTLIGHT_API_WRITE_KEYS") as caught:
        check_exposure(ApiSettings(host=host))
    assert caught.value.field == "FIRSTLIGHT_API_HOST"
    assert "keys are required" in check_exposure(ApiSettings(host=host, read_keys=["k"]))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.3.2.1"])
def test_on_loopback_no_keys_are_needed_and_that_is_said(host):
    assert "loopback only" in check_exposure(ApiSettings(host=host))


def test_a_port_in_use_is_named_with_its_setting(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = make_settings(tmp_path, "http://127.0.0.1:1", api={"port": port})
        with pytest.raises(RejectedError, match=f"FIRSTLIGHT_API_PORT: port {port}.* in use"):
            serve.bind(settings)


def test_an_address_of_another_machine_is_named_with_its_setting(tmp_path):
    settings = make_settings(
        tmp_path, "http://127.0.0.1:1", api={"host": "192.0.2.1", "read_keys": ["k"]}
    )
    with pytest.raises(RejectedError, match="FIRSTLIGHT_API_HOST"):
        serve.bind(settings)


def test_liveness_claims_nothing_else(shared):
    answer = shared.client.get("/healthz")
    assert HealthAnswer.model_validate(answer.json()).status == "ok"


def test_readiness_encodes_afresh_and_queries_the_store_every_time(service, monkeypatch):
    proofs = []
    prove = service.parts.models.prove
    monkeypatch.setattr(
        service.parts.models, "prove", lambda: proofs.append(1) or prove(), raising=True
    )
    found = ReadyAnswer.model_validate(service.client.get("/readyz").json())
    assert found.ready
    assert set(found.checks) == {"catalog", "encode", "query"}
    assert "nothing is indexed yet" in found.checks["query"].detail
    service.publish({"id": "a", "title": "t"})
    found = ReadyAnswer.model_validate(service.client.get("/readyz").json())
    assert "'a'" in found.checks["query"].detail
    assert all(check.ok and check.took_ms > 0 for check in found.checks.values())
    assert len(proofs) == 2


def test_readiness_fails_when_the_encoder_is_dead(service, monkeypatch):
    def dead():
        raise RetryableError("the device thread is dead")

    monkeypatch.setattr(service.parts.models, "prove", dead)
    answer = service.client.get("/readyz")
    assert answer.status_code == 503
    checks = answer.json()["checks"]
    assert checks["encode"]["ok"] is False
    assert "dead" in checks["encode"]["detail"]
    assert checks["query"]["ok"] is True


def test_readiness_fails_when_the_store_is_gone(make_service, tmp_path):
    service = make_service(index={"url": "http://127.0.0.1:1"})
    answer = service.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["query"]["ok"] is False
    assert answer.json()["checks"]["encode"]["ok"] is True


def test_a_stuck_check_is_reported_within_the_bound_and_never_started_twice(service):
    release, started = threading.Event(), []
    readiness = Readiness(service.parts, bound_s=0.2)
    readiness._works["encode"] = lambda: started.append(1) or str(release.wait(20))
    portal = service.client.portal
    try:
        for _ in range(3):
            found = portal.call(readiness.prove)
            assert not found.ready
            assert "no answer for" in found.checks["encode"].detail
        assert len(started) == 1
    finally:
        release.set()
        readiness.close()


def test_without_models_events_are_accepted_and_questions_are_told_to_wait(service, monkeypatch):
    monkeypatch.setattr(service.parts.models, "_words", None)
    assert service.client.put("/v1/items/a", json={"title": "t"}).status_code == 202
    service.work()
    answer = service.client.post("/v1/recommend", json={"profile": "anything"})
    found = problem_of(answer, 503)
    assert "still being loaded" in found["detail"]
    assert answer.headers["retry-after"]


def test_models_that_cannot_be_loaded_are_named_by_readiness(tmp_path, index_server, caplog):
    from api.models import Models

    settings = make_settings(tmp_path, index_server.url)
    broken = settings.model_copy(
        update={"encoder": settings.encoder.model_copy(update={"text_model": "/nowhere"})}
    )
    models = Models(broken)
    with caplog.at_level(logging.CRITICAL):
        models.load()
    with pytest.raises(RetryableError, match="/nowhere"):
        models.words()


def test_a_store_that_is_away_is_503_and_publishing_goes_on(make_service):
    service = make_service(index={"url": "http://127.0.0.1:1"})
    assert service.client.put("/v1/items/a", json={"title": "t"}).status_code == 202
    answer = service.client.post("/v1/recommend", json={"profile": "anything"})
    found = problem_of(answer, 503)
    assert found["errors"][0]["remedy"]
    status = StatusAnswer.model_validate(service.client.get("/v1/status").json())
    assert status.counts["pending"] == 1
    assert any("index" in note for note in status.notes)


def test_metrics_speak_of_requests_ledger_queues_and_index(service):
    service.publish({"id": "a", "title": "t"})
    service.client.put("/v1/items/b", json={"title": "t"})
    service.client.get("/v1/items/a/b/c")
    service.client.get("/nowhere")
    text = service.client.get("/metrics").text
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["firstlight_items", ("state", "pending")] == 1
    assert found["firstlight_items", ("state", "indexed")] == 1
    assert found["firstlight_items", ("state", "dead")] == 0
    assert found["firstlight_pending_items", ("lane", "text")] == 1
    assert found["firstlight_oldest_pending_seconds",] > 0
    collection = service.parts.spaces.current().collection
    assert found["firstlight_index_items", ("collection", collection)] == 1
    assert any(name[0] == "firstlight_queue_messages" for name in found)
    route = ("route", "/v1/items/{item_id:path}")
    requests = "firstlight_http_requests_total"
    assert found[requests, ("method", "GET"), route, ("status", "404")] == 1
    assert found[requests, ("method", "GET"), ("route", "(none)"), ("status", "404")] == 1
    assert found["firstlight_events_total", ("kind", "item"), ("status", "accepted")] == 2
    assert found["firstlight_recent_event_to_searchable_seconds", ("quantile", "0.5")] > 0


def test_status_tells_counts_lanes_collection_and_models(service):
    service.publish({"id": "a", "title": "t"})
    found = StatusAnswer.model_validate(service.client.get("/v1/status").json())
    assert found.counts["indexed"] == 1
    assert found.collection in found.collections
    assert found.collection_items == 1
    assert found.fusion.startswith("passthrough-")
    assert found.projection.startswith("prior-")
    assert found.pack == "tiny"
    assert {model.name for model in found.models} >= {"text"}
    assert set(found.queue_depth) >= {"text", "image", "audio", "bulk"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/nothing", 404),
        ("PATCH", "/v1/items/a", 405),
        ("GET", "/v1/recommend", 405),
    ],
)
def test_a_path_or_method_that_is_not_there_is_a_problem_too(shared, method, path, status):
    found = problem_of(shared.client.request(method, path), status)
    assert found["instance"] == path
    assert Problem.model_validate(found).errors


def test_a_fault_of_ours_is_a_problem_without_a_trace(service, monkeypatch, caplog):
    def broken(*_):
        raise ZeroDivisionError("internal detail")

    monkeypatch.setattr(service.parts.recommender, "recommend", broken)
    with caplog.at_level(logging.CRITICAL):
        answer = service.client.post("/v1/recommend", json={})
    found = problem_of(answer, 500)
    assert "internal detail" not in str(found)


def test_the_console_page_is_there_and_may_load_nothing_from_elsewhere(shared):
    answer = shared.client.get("/")
    assert answer.status_code == 200
    assert "Firstlight" in answer.text
    assert "one.because.map" in answer.text
    assert "http" not in answer.text.replace("http-equiv", "")
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_the_reference_is_whole_without_a_network(shared):
    page = shared.client.get("/docs").text
    assert "://" not in page
    parts = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert {Path(part).suffix for part in parts} == {".js", ".css", ".png"}
    for part in parts:
        assert shared.client.get(part).status_code == 200


def test_the_openapi_document_describes_bodies_examples_and_problems(shared):
    document = shared.client.get("/openapi.json").json()
    assert shared.client.get("/docs").status_code == 200
    described = document["components"]["schemas"]
    text = str(document)
    for name in ("Event", "Item", "User", "RecommendRequest", "SearchRequest", "Problem"):
        assert name in described
    for reference in set(_references(document)):
        assert reference.removeprefix("#/components/schemas/") in described, reference
    assert "HTTPValidationError" not in text
    for path in ("events", "interactions", "recommend", "similar", "search"):
        content = document["paths"][f"/v1/{path}"]["post"]["requestBody"]["content"]
        assert content["application/json"]["examples"]


def test_every_path_shows_what_to_send_and_what_comes_back(shared):
    models = {**vars(schemas), **vars(ranking_schemas)}
    document = shared.client.get("/openapi.json").json()
    assert len(document["paths"]) >= 13
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                shown = content.get("examples") or content.get("example")
                binary = media_type == "application/octet-stream" or path == "/v1/uploads"
                assert shown or binary, where
            for parameter in operation.get("parameters", ()):
                assert "example" in parameter or parameter["name"] == "state", where
            for status, answer in operation["responses"].items():
                for content in answer.get("content", {}).values():
                    name = content["schema"]["$ref"].rpartition("/")[2]
                    model = models[name]
                    assert set(content["example"]) == set(model.model_fields), (where, status)
                    model.model_validate(content["example"])


def test_the_sample_of_a_ranking_adds_up():
    for result in SAMPLES["RankedAnswer"]["results"]:
        assert sum(result["parts"].values()) == result["score"]


def _references(node):
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def test_the_examples_of_the_document_are_accepted_by_the_api(service):
    document = service.client.get("/openapi.json").json()
    for path in ("events", "interactions", "recommend", "similar"):
        content = document["paths"][f"/v1/{path}"]["post"]["requestBody"]["content"]
        for example in content["application/json"]["examples"].values():
            answer = service.client.post(f"/v1/{path}", json=example["value"])
            assert answer.status_code in (200, 202, 404, 409), answer.text
            if path in ("events", "interactions"):
                service.client.put("/v1/users/ada", json={})


def test_answers_are_what_the_schemas_promise(service):
    service.publish({"id": "a", "title": "t"}, {"id": "b", "title": "u"})
    strict = [
        (ItemAnswer, service.client.get("/v1/items/a")),
        (ItemsAnswer, service.client.get("/v1/items")),
        (RankedAnswer, service.client.post("/v1/recommend", json={"profile": "t"})),
        (RankedAnswer, service.client.post("/v1/similar", json={"item": "a"})),
        (RankedAnswer, service.client.post("/v1/search", json={"text": "t"})),
        (StatusAnswer, service.client.get("/v1/status")),
        (EventsAnswer, service.client.post("/v1/interactions", json={"user": "u", "item": "a"})),
    ]
    for schema, answer in strict:
        found = schema.model_validate(answer.json())
        assert set(answer.json()) == set(schema.model_fields)
        assert found.model_dump(mode="json").keys() == answer.json().keys()


def test_a_real_server_starts_answers_and_ends(tmp_path, index_server, tiny_models):
    import os
    import signal
    import subprocess
    import sys

    import httpx

    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if "FIRSTLIGHT" not in name},
        "OMP_NUM_THREADS": "1",
        "FIRSTLIGHT_DATA_DIR": str(tiny_models),
        "FIRSTLIGHT_CATALOG_URL": f"sqlite:///{tmp_path / 'catalog.db'}",
        "FIRSTLIGHT_BROKER_URL": "memory://",
        "FIRSTLIGHT_INDEX_URL": index_server.url,
        "FIRSTLIGHT_INDEX_ALIAS": "api-process",
        "FIRSTLIGHT_ENCODER_PACK": "tiny",
        "FIRSTLIGHT_ENCODER_PRECISION": "float32",
        "FIRSTLIGHT_ENCODER_THREADS": "1",
        "FIRSTLIGHT_API_PORT": str(port),
    }
    log = tmp_path / "api.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "api.serve"], env=environment, stderr=output, cwd=tmp_path
        )
    try:
        deadline = time.monotonic() + 90
        ready = False
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            while time.monotonic() < deadline and not ready and process.poll() is None:
                try:
                    ready = client.get("/readyz").status_code == 200
                except httpx.TransportError:
                    time.sleep(0.1)
            assert ready, log.read_text()
            assert client.put("/v1/items/a%2Fb", json={"title": "t"}).json()["id"] == "a/b"
            assert client.put("/v1/items/a%252Fb", json={"title": "t"}).json()["id"] == "a%2Fb"
            assert client.get("/v1/items/%FF").status_code == 404
            answer = client.post("/v1/events", content=b"[" * 10)
            assert answer.status_code == 415
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)
        assert "loopback only" in log.read_text()
    finally:
        process.kill()
        process.wait(10)
