"""What /metrics tells."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from catalog import Catalog
from domain.errors import RetryableError
from domain.events import parse_events
from workers.metrics import LedgerCollector


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog.open(f"sqlite:///{tmp_path / 'catalog.db'}")
    yield opened
    opened.close()


def scrape(collector: LedgerCollector) -> list[str]:
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry).decode().splitlines()


def test_pending_lag_and_queue_depth_are_exported(catalog: Catalog) -> None:
    raws = [{"type": "item.created", "data": {"id": name, "title": "t"}} for name in "abc"]
    events: list[Any] = parse_events(raws)
    catalog.accept(events)
    told = scrape(LedgerCollector(catalog, lambda: {"text": 7, "bulk": 0}))
    assert 'firstlight_items{state="pending"} 3.0' in told
    assert 'firstlight_pending_items{lane="text"} 3.0' in told
    assert 'firstlight_pending_items{lane="audio"} 0.0' in told
    assert 'firstlight_queue_messages{queue="text"} 7.0' in told
    assert any(line.startswith("firstlight_oldest_pending_seconds ") for line in told)


def test_a_broker_that_is_away_leaves_its_gauges_out_and_the_rest_in(catalog: Catalog) -> None:
    def away() -> dict[str, int]:
        raise RetryableError("does not answer")

    told = scrape(LedgerCollector(catalog, away))
    assert 'firstlight_up{store="broker"} 0.0' in told
    assert 'firstlight_up{store="catalog"} 1.0' in told
    assert not any(line.startswith("firstlight_queue_messages{") for line in told)
