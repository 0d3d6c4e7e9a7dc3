"""A worker's start: what is wrong is known before anybody waits for models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from domain.errors import RejectedError, RetryableError
from domain.settings import Settings
from encoders import Encoders
from index import ItemIndex
from tests.fixtures.stores import local_client
from workers.runtime import Runtime, load


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[frozenset[str]]:
    """What was to be loaded, in order; nothing is."""
    asked: list[frozenset[str]] = []
    monkeypatch.setattr(Encoders, "prepare", lambda _, parts: asked.append(parts))
    client = local_client()
    monkeypatch.setattr(
        ItemIndex, "connect", lambda settings: ItemIndex(client, settings.index, url="local")
    )
    return asked


def with_groups(tiny: Settings, folder: Path, **groups: Any) -> Settings:
    values = {"data_dir": folder, "encoder": tiny.encoder.model_dump(), **groups}
    return Settings.model_validate(values)


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({"fusion": {"weights": {"smell": 1.0}}}, "smell"),
        ({"fetch": {"allow_private": ["http://shop/pictures"]}}, "ALLOW_PRIVATE"),
        ({"catalog": {"url": "mysql://localhost/shop"}}, "FIRSTLIGHT_CATALOG_URL"),
    ],
)
def test_a_setting_that_makes_no_sense_stops_the_start_before_a_model_is_loaded(
    tiny_settings: Settings,
    tmp_path: Path,
    prepared: list[frozenset[str]],
    groups: dict[str, Any],
    said: str,
) -> None:
    with pytest.raises(RejectedError, match=said):
        load(with_groups(tiny_settings, tmp_path, **groups))
    assert [parts for parts in prepared if parts] == []


def test_the_models_of_the_lanes_are_loaded_last(
    tiny_settings: Settings, tmp_path: Path, prepared: list[frozenset[str]]
) -> None:
    held = load(with_groups(tiny_settings, tmp_path), ["image"])
    assert prepared == [frozenset(), frozenset({"text", "image"})]
    held.close()


def test_stores_are_closed_again_where_a_model_cannot_be_loaded(
    tiny_settings: Settings,
    tmp_path: Path,
    prepared: list[frozenset[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(_: Encoders, parts: frozenset[str]) -> None:
        if parts:
            raise RetryableError("the hub does not answer")

    closed: list[Runtime] = []
    monkeypatch.setattr(Encoders, "prepare", fails)
    monkeypatch.setattr(Runtime, "close", lambda held: closed.append(held))
    with pytest.raises(RetryableError, match="hub"):
        load(with_groups(tiny_settings, tmp_path))
    assert len(closed) == 1
    closed[0].catalog.close()
    closed[0].fetcher.close()
