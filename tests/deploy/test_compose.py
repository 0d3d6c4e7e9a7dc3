"""The deployment files name only what exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from api.cli import app
from domain.settings import LANES, load_settings, variable_names

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return found


def test_every_firstlight_variable_is_a_setting(services: dict[str, Any]) -> None:
    known = variable_names()
    named = {
        name
        for service in services.values()
        for name in service.get("environment", {})
        if name.startswith("FIRSTLIGHT_")
    }
    assert named
    assert named <= set(known)


def test_the_variables_make_valid_settings(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in services["api"]["environment"].items():
        filled = re.sub(r"\$\{\w+(?::-(\w+))?[^}]*\}", lambda m: m.group(1) or "secret", value)
        monkeypatch.setenv(name, filled)
    settings = load_settings()
    assert settings.encoder.pack == "standard"
    assert settings.catalog_url.startswith("postgresql+psycopg://")
    assert [key.get_secret_value() for key in settings.api.write_keys] == ["secret"]


def test_every_command_is_a_firstlight_command(services: dict[str, Any]) -> None:
    ours = [s for s in services.values() if s.get("image", "").startswith("firstlight:")]
    commands = [s["command"][0] for s in ours if "entrypoint" not in s]
    assert len(commands) == 6
    assert set(commands) <= set(get_command(app).commands)  # type: ignore[attr-defined]


def test_every_lane_is_served_by_exactly_one_pool(services: dict[str, Any]) -> None:
    served = [
        lane
        for service in services.values()
        if "--lanes" in service.get("command", [])
        for lane in service["command"][service["command"].index("--lanes") + 1].split(",")
    ]
    assert sorted(served) == sorted(LANES)


def test_the_qdrant_server_has_the_minor_of_the_pinned_client(services: dict[str, Any]) -> None:
    constraints = (DEPLOY.parent / "constraints" / "constraints.txt").read_text()
    client = re.search(r"^qdrant-client==(\d+\.\d+)\.", constraints, re.MULTILINE)
    server = re.search(r":v(\d+\.\d+)\.", services["qdrant"]["image"])
    assert client is not None
    assert server is not None
    assert client[1] == server[1]


def test_the_image_copies_every_package() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    copied = set(re.findall(r"^COPY (\w+) \1$", dockerfile, re.MULTILINE))
    packages = {"domain", "catalog", "encoders", "index", "ranking", "evaluation", "workers", "api"}
    assert packages | {"constraints"} == copied
