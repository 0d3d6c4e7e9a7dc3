"""`make demo`: what a newcomer sees first, with the models they see it with."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from encoders import starter
from tests.fixtures.system import make_system

MISSING = [wheel.distribution for wheel in starter.WHEELS if find_spec(wheel.module) is None]
CATALOG = Path(__file__).parents[2] / "examples" / "catalog"


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {MISSING}; {starter.REMEDY}")
@pytest.mark.timeout(900)  # models are assembled and the whole system starts
def test_the_demo_publishes_recommends_shows_what_is_new_and_ends(tmp_path: Path) -> None:
    made = make_system(tmp_path, FIRSTLIGHT_ENCODER_PACK="starter")
    done = subprocess.run(
        [sys.executable, "-m", "api.cli", "demo"],
        env={**made.environ(), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=850,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    profiles = [json.loads(line) for line in (CATALOG / "profiles.jsonl").read_text().splitlines()]
    new = json.loads((CATALOG / "now.json").read_text())
    parts = [
        "Firstlight is up",
        "1. publish",
        "110/110",
        "items/s; event to searchable",
        "fusion statistics fitted: fit-",
        *(f"{one['id']}: “" for one in profiles[:3]),
        "3. an item published now",
        new["item"]["title"][:20],
        "was published now: searchable",
        "ranked #",
        "4. where it listens",
        "stopped",
    ]
    places = [said.find(part) for part in parts]
    assert -1 not in places, said
    assert places == sorted(places), "one thing after the other, none written into another"
    for name in ("API", "INDEX", "BROKER"):
        with socket.socket() as probe:
            port = int(made.variables[f"FIRSTLIGHT_{name}_PORT"])
            assert probe.connect_ex(("127.0.0.1", port)) != 0, f"the {name} is still up"
