"""The real app over the tiny pack, SQLite, the embedded index server and a broker in memory."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.state import Parts, open_parts
from catalog import Pair
from domain.settings import Settings
from encoders import Encoders
from tests.fixtures.index_server import IndexServer
from workers.runtime import Runtime, assemble


@dataclass
class Service:
    """A running app and, beside it, what a worker would hold."""

    settings: Settings
    client: TestClient
    parts: Parts
    worker: Runtime
    known: set[str] = field(default_factory=set)

    def publish(self, *items: dict[str, Any]) -> None:
        """Publish items and bring them into the index, as a worker would."""
        events = [{"type": "item.created", "data": item} for item in items]
        answer = self.client.post("/v1/events", json=events)
        assert answer.status_code == 202, answer.text
        assert answer.json()["rejected"] == 0, answer.text
        self.work()

    def work(self) -> None:
        """Do everything that is pending."""
        while True:
            pending = self.parts.catalog.items(limit=500)
            due = [
                Pair(one.id, one.version)
                for one in pending
                if one.state.value == "pending" or one.next_attempt_at is not None
            ]
            if not due:
                break
            self.worker.pipeline.run(due)
        serving = self.parts.spaces
        serving._serving.forget()

    def recommend(self, **ask: Any) -> dict[str, Any]:
        answer = self.client.post("/v1/recommend", json=ask)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def problem_of(answer: Any, status: int) -> dict[str, Any]:
    """The problem document, checked to be one that names a field and a remedy."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert set(found) == {"type", "title", "status", "detail", "instance", "errors"}
    assert found["status"] == status
    assert found["type"].startswith("urn:firstlight:problem:")
    for error in found["errors"]:
        assert set(error) == {"field", "message", "remedy"}
        assert error["message"]
        assert error["remedy"]
    return found


def make_settings(folder: Path, index_url: str, **groups: Any) -> Settings:
    return Settings.model_validate(
        {
            "data_dir": folder,
            "broker": {"url": "memory://"},
            "index": {"url": index_url, "alias": f"api-{uuid.uuid4().hex[:8]}"},
            "encoder": {"pack": "tiny", "device": "cpu", "precision": "float32", "threads": 1},
            **groups,
        }
    )


@contextmanager
def serving(settings: Settings, encoders: Encoders) -> Iterator[Service]:
    parts = open_parts(settings, words=encoders)
    worker = assemble(settings, encoders)
    try:
        with TestClient(create_app(settings, parts), raise_server_exceptions=False) as client:
            yield Service(settings, client, parts, worker)
    finally:
        worker.fetcher.close()
        worker.index.close()
        worker.catalog.close()


ServiceFactory = Callable[..., Service]


@pytest.fixture
def make_service(
    tmp_path: Path, index_server: IndexServer, tiny_encoders: Encoders
) -> Iterator[ServiceFactory]:
    """Apps with settings of their own: make_service(api={...}, limits={...})."""
    with ExitStack() as stack:

        def make(**groups: Any) -> Service:
            folder = tmp_path / uuid.uuid4().hex[:8]
            settings = make_settings(folder, index_server.url, **groups)
            return stack.enter_context(serving(settings, tiny_encoders))

        yield make


@pytest.fixture
def service(make_service: ServiceFactory) -> Service:
    """An empty service."""
    return make_service()


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, index_server: IndexServer, tiny_encoders: Encoders
) -> Iterator[Service]:
    """One service for the tests of a module that do not mind each other."""
    settings = make_settings(tmp_path_factory.mktemp("api"), index_server.url)
    with serving(settings, tiny_encoders) as made:
        yield made
