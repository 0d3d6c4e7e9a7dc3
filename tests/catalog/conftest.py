"""Every test that takes `ledger_url` or `catalog` runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from catalog import Catalog, RetryPolicy
from tests.fixtures.clock import Clock


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def new_ledger_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], str]:
    """Makes the URL of an empty database of the engine under test."""
    if request.param == "postgresql":
        make: Callable[[], str] = request.getfixturevalue("new_postgres_database")
        return make
    folder: Path = tmp_path_factory.mktemp("ledgers")
    return lambda: f"sqlite:///{folder / f'{len(list(folder.iterdir()))}' / 'catalog.db'}"


@pytest.fixture
def ledger_url(new_ledger_url: Callable[[], str]) -> str:
    return new_ledger_url()


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
