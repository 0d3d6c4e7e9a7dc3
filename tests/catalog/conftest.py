"""Every test that takes `ledger_url` or `catalog` runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog import Catalog, RetryPolicy
from tests.fixtures.clock import Clock


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database of the engine under test."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_database"))
    return f"sqlite:///{tmp_path / 'ledger' / 'catalog.db'}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def policy() -> RetryPolicy:
    return RetryPolicy(max_attempts=3, base_s=5, max_s=1000, resend_s=60, lease_s=180)


@pytest.fixture
def catalog(ledger_url: str, clock: Clock, policy: RetryPolicy) -> Iterator[Catalog]:
    with Catalog.open(ledger_url, clock=clock, retry=policy) as opened:
        yield opened
