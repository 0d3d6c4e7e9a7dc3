"""Fixtures shared by all tests; each lives in tests/fixtures beside what it starts."""

from hypothesis import HealthCheck, settings

pytest_plugins: list[str] = [
    "tests.fixtures.postgres",
    "tests.fixtures.datasets",
    "tests.fixtures.encoders",
    "tests.fixtures.media",
    "tests.fixtures.planted",
    "tests.fixtures.index_server",
    "tests.fixtures.media_server",
    "tests.fixtures.stores",
    "tests.fixtures.valkey",
    "tests.fixtures.worker",
    "tests.fixtures.shop",
    "tests.fixtures.crowd",
    "tests.fixtures.service",
    "tests.fixtures.system",
]

# A property holds or not; how fast a busy machine shows it is no part of it.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
