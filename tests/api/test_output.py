"""Tables that a person reads on a terminal of the usual width."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from api.cli import output
from api.cli.processes import addresses
from api.ranking_schemas import RankedAnswer
from domain.settings import Settings


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is written on 80 columns."""
    written = io.StringIO()
    monkeypatch.setattr(output, "console", Console(file=written, width=80, highlight=False))
    return written


def test_no_part_of_a_score_is_cut_off(screen: io.StringIO) -> None:
    parts = {"text": 0.111, "image": 0.222, "audio": -0.333, "attributes": 0.444}
    result = {
        "rank": 10,
        "id": "an-id-that-is-longer-than-its-column",
        "version": 1,
        "title": "A title that is longer than the column it has",
        "score": sum(parts.values()),
        "parts": parts,
        "reason": "attributes",
        "modalities": ["text", "image", "audio"],
        "attributes": {},
    }
    made_by = {"collection": "c", "fusion": "f", "projection": "p"}
    output.show_ranking(
        RankedAnswer.model_validate({"results": [result], "model": made_by, "took_ms": 1.0})
    )
    said = screen.getvalue()
    assert said.lstrip().startswith("#")
    assert max(map(len, said.splitlines())) <= 80
    for shown in (
        "10  A title",
        "0.444",
        "text .111",
        "image .222",
        "audio -.333",
        "attributes .444",
    ):
        assert shown in said


def test_a_ranking_names_the_attribute_values_that_carried_it(screen: io.StringIO) -> None:
    values = [("director", "Ridley Scott", 0.2), ("genre", "[b]science fiction of old", 0.1)]
    values += [("year", 1979, 0.05)]
    result = {
        "rank": 1,
        "id": "alien",
        "version": 1,
        "title": "Alien",
        "score": 0.4,
        "parts": {"attributes": 0.4},
        "reason": "attributes",
        "because": [{"name": name, "value": value, "score": of} for name, value, of in values],
        "modalities": ["text"],
        "attributes": {},
    }
    answer = {
        "results": [result],
        "model": {"collection": "c", "fusion": "f", "projection": "p"},
        "took_ms": 1.0,
    }
    output.show_ranking(RankedAnswer.model_validate(answer))
    table = screen.getvalue()
    assert [line.strip() for line in table.splitlines()[2:]] == [
        "director: Ridley Sc…",
        "genre: [b]science f…",
    ]
    result["explanation"] = {
        "sources": [{"source": "profile", "score": 0.4, "parts": {"attributes": 0.4}}],
        "paths": [],
    }
    output.show_ranking(RankedAnswer.model_validate(answer))
    told = screen.getvalue().removeprefix(table)
    for line in (
        ".200  director: Ridley Scott",
        ".100  genre: [b]science fiction of old",
        ".050  year: 1979",
    ):
        assert line in told


def test_the_broker_is_named_where_it_is_and_without_its_password(tmp_path: Path) -> None:
    known = dict(addresses(Settings(data_dir=tmp_path)))
    assert known["broker"] == "redis://127.0.0.1:7379/0"
    own = Settings.model_validate(
        {"data_dir": tmp_path, "broker": {"url": "redis://me:secret@broker.example:6379/1"}}
    )
    assert dict(addresses(own))["broker"] == "redis://me:****@broker.example:6379/1"
