"""Fixtures shared by all tests; each lives in tests/fixtures beside what it starts."""

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
    "tests.fixtures.service",
    "tests.fixtures.system",
]
