"""A whole Firstlight for one measurement: fresh data directory, free ports, ended afterwards."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api.client import FirstlightClient
from domain.errors import FirstlightError
from domain.settings import Settings, load_settings

START_TIMEOUT_S = 300.0


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def environment(**extra: str) -> Iterator[Settings]:
    """Settings of a fresh data directory on free ports, as environment variables too."""
    folder = Path(tempfile.mkdtemp(prefix="firstlight-bench-"))
    variables = {
        "FIRSTLIGHT_DATA_DIR": str(folder),
        "FIRSTLIGHT_API_PORT": str(free_port()),
        "FIRSTLIGHT_INDEX_PORT": str(free_port()),
        "FIRSTLIGHT_BROKER_PORT": str(free_port()),
        "FIRSTLIGHT_LOG_LEVEL": "warning",
        **extra,
    }
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield load_settings()
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(settings: Settings) -> Iterator[FirstlightClient]:
    """`firstlight up` with these settings, until it answers; ended on leaving."""
    command = [sys.executable, "-m", "api.tether", "TERM", sys.executable, "-m", "api.cli", "up"]
    log = settings.folder("logs") / "up.log"
    with log.open("wb") as output, FirstlightClient(settings.api_url, timeout_s=60.0) as client:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait(child, log)
            yield client
        finally:
            child.terminate()
            child.wait(timeout=60)


def _wait(child: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while b"Firstlight is up" not in log.read_bytes():
        if child.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"firstlight up did not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.2)


def wait_indexed(client: FirstlightClient, count: int, timeout_s: float = 1800.0) -> None:
    """Until at least `count` items are indexed and none is pending.

    Asked once a second: the answer costs the API some 20 ms, which a pipeline would miss.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            counts = client.status().counts
        except FirstlightError:
            counts = {}
        if counts.get("indexed", 0) >= count and not counts.get("pending", 0):
            return
        if counts.get("dead", 0):
            raise RuntimeError(f"{counts['dead']} items are dead; see `firstlight dead`")
        if time.monotonic() > deadline:
            raise RuntimeError(f"not indexed within {timeout_s:.0f} s: {counts}")
        time.sleep(1.0)
