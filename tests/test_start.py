"""A wrong setting stops every process of the system, however it is started, with one clear line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

COMMANDS = {
    "celery": ("celery", "-A", "workers", "worker", "-Q", "text,image"),
    "worker": ("api.cli", "worker"),
    "reconciler": ("api.cli", "worker", "--reconciler"),
    "api": ("api.cli", "api"),
    "api module": ("api.serve",),
    "index-server": ("api.cli", "index-server"),
    "index module": ("index.server",),
    "up": ("api.cli", "up"),
}


def started(
    folder: Path, command: str, *options: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """The command with these settings alone; it is expected to end by itself."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FIRSTLIGHT_")}
    return subprocess.run(
        [sys.executable, "-m", *COMMANDS[command], *options],
        cwd=ROOT,
        env={**kept, "FIRSTLIGHT_DATA_DIR": str(folder), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def one_line(ended: subprocess.CompletedProcess[str]) -> str:
    """What it said, which must be one line, and its exit code a failure."""
    assert ended.returncode != 0
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    return line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_setting_stops_the_start_with_one_clear_line(tmp_path: Path, command: str) -> None:
    line = one_line(started(tmp_path, command, FIRSTLIGHT_WORKER_CONCURRENCY="many"))
    assert "FIRSTLIGHT_WORKER_CONCURRENCY: Input should be a valid integer" in line
    assert line.endswith("correct or unset it")


@pytest.mark.parametrize(
    ("command", "name", "value", "remedy"),
    [
        ("api", "FIRSTLIGHT_CATALOG_URL", "mysql://host/db", "use sqlite:////absolute/path.db"),
        ("api", "FIRSTLIGHT_API_HOST", "0.0.0.0", "FIRSTLIGHT_API_WRITE_KEYS"),
        ("api", "FIRSTLIGHT_DATA_DIR", "/dev/null/data", "a directory that may be written to"),
        ("index-server", "FIRSTLIGHT_DATA_DIR", "/dev/null/data", "may be written to"),
        ("worker", "FIRSTLIGHT_WORKER_LANES", "text,vidoe", "use some of text,image"),
        ("celery", "FIRSTLIGHT_BROKER_URL", "nonsense://host", "redis://host:port/0"),
        ("worker", "FIRSTLIGHT_WORKER_CONCURENCY", "2", "FIRSTLIGHT_WORKER_CONCURRENCY?"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named_with_the_remedy(
    tmp_path: Path, command: str, name: str, value: str, remedy: str
) -> None:
    line = one_line(started(tmp_path, command, **{name: value}))
    assert name in line
    assert remedy in line


@pytest.mark.parametrize(
    ("option", "value", "remedy"),
    [
        ("--data-dir", "/dev/null/index", "a directory that may be written to"),
        ("--port", "99999", "choose another port with FIRSTLIGHT_INDEX_PORT"),
        ("--host", "0.0.0.0", "set FIRSTLIGHT_INDEX_API_KEY or listen on 127.0.0.1"),
    ],
)
def test_an_option_of_the_index_server_that_makes_no_sense_is_one_clear_line(
    tmp_path: Path, option: str, value: str, remedy: str
) -> None:
    line = one_line(started(tmp_path, "index module", option, value))
    assert value in line
    assert remedy in line
