"""A running service beside hosts that misbehave, and a way to publish something bad to it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from encoders import Encoders
from tests.fixtures import media
from tests.fixtures.index_server import IndexServer
from tests.fixtures.media_server import MediaServer
from tests.fixtures.service import Service, make_settings, serving
from workers.verify import Verifier

TIMEOUT_S = 0.4
IMAGE_BYTES = 100_000
AUDIO_BYTES = 4_000_000


@dataclass(frozen=True)
class Case:
    """One publication: a number that only its items carry, and the answer to each event."""

    number: int
    results: list[dict[str, Any]]

    @property
    def errors(self) -> list[dict[str, str]]:
        """What was wrong with the events between the two neighbours."""
        return [error for one in self.results[1:-1] for error in one["errors"]]


@dataclass
class Counter:
    """Where bad things are handed in.

    Attributes:
        host: answers ordinarily, and is excepted from the refusal of private addresses.
        inside: a host that no worker may ever reach.
        picture: an upload that is a good picture.
    """

    service: Service
    host: MediaServer
    inside: MediaServer
    picture: str
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def publish(self, *bad: dict[str, Any]) -> Case:
        """Events of any kind in one request between two good neighbours, then all is worked off.

        The neighbours must be accepted, indexed and ranked, whatever happens to what lies between,
        and everything accepted must have an outcome.
        An item gets the attribute `case`, a number and so no text, which a filter finds it by.
        """
        number = next(self._numbers)
        words, seen = (
            {"id": f"words-{number}", "title": "a good item"},
            {"id": f"seen-{number}", "media": {"images": [self.picture]}},
        )
        good = [{"type": "item.created", "data": one} for one in (words, seen)]
        events = [_numbered(event, number) for event in (good[0], *bad, good[1])]
        answer = self.post("/v1/events", events)
        assert answer.status_code == 202, answer.text
        results = answer.json()["results"]
        assert [one["index"] for one in results] == list(range(len(events)))
        assert (results[0]["status"], results[-1]["status"]) == ("accepted", "accepted")
        self.service.work()
        for one in results:
            if one["status"] == "accepted":
                found = self.item(one["id"])
                assert found["version"] >= one["version"]
                assert found["state"] in ("indexed", "dead", "deleted")
        self.check(number)
        return Case(number, results)

    def post(self, path: str, body: Any) -> Any:
        """A body as JSON that also says NaN and lone surrogates."""
        headers = {"Content-Type": "application/json"}
        return self.service.client.post(path, content=json.dumps(body), headers=headers)

    def item(self, item_id: str) -> dict[str, Any]:
        """GET /v1/items/{id}."""
        answer = self.service.client.get(f"/v1/items/{item_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ranked(self, case: int) -> set[str]:
        """The ids of a case's items that a sentence gets."""
        found = self.service.recommend(profile="anything", filters={"case": case}, limit=100)
        for one in found["results"]:
            assert sum(one["parts"].values()) == one["score"]
        return {one["id"] for one in found["results"]}

    def neighbours(self, case: int) -> set[str]:
        """The good items of a case."""
        return {f"words-{case}", f"seen-{case}"}

    def check(self, case: int) -> None:
        """Its neighbours are ranked, nothing waits, and ledger and index agree."""
        assert self.neighbours(case) <= self.ranked(case)
        worker = self.service.worker
        assert worker.catalog.counts()["pending"] == 0
        verifier = Verifier(self.service.settings, worker.catalog, worker.index)
        assert list(verifier.differences()) == []
        assert verifier.points == verifier.items


def _numbered(event: dict[str, Any], number: int) -> dict[str, Any]:
    if event["type"] == "item.deleted":
        return event
    attributes = {"case": number, **event["data"].get("attributes", {})}
    return {**event, "data": {**event["data"], "attributes": attributes}}


@pytest.fixture(scope="session")
def counter(
    tmp_path_factory: pytest.TempPathFactory, index_server: IndexServer, tiny_encoders: Encoders
) -> Iterator[Counter]:
    """One service for all bad input: what one test hands in must not trouble the next."""
    with MediaServer() as host, MediaServer() as inside:
        settings = make_settings(
            tmp_path_factory.mktemp("bad-input"),
            index_server.url,
            fetch={
                "allow_private": [f"127.0.0.1:{host.port}", f"localhost:{host.port}"],
                "timeout_s": TIMEOUT_S,
                "image_bytes": IMAGE_BYTES,
                "audio_bytes": AUDIO_BYTES,
            },
            worker={"max_attempts": 2},
        )
        with serving(settings, tiny_encoders) as service:
            upload = service.client.post("/v1/uploads", content=media.png()).json()
            yield Counter(service, host, inside, upload["reference"])
