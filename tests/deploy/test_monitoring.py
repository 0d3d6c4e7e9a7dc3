"""Alert rules, dashboard, Kubernetes and KEDA name only metrics, labels, lanes and commands that
exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from typer.main import get_command

from api.cli import app
from domain.settings import LANES, variable_names
from tests.fixtures.service import Service
from workers import metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
COUNTED = re.compile(r"firstlight_[a-z_]+")
SELECTED = re.compile(r"(firstlight_[a-z_]+)\{([^}]*)\}")
GROUPED = re.compile(r"by \(([^)]*)\) \((?:rate\(|deriv\(|increase\()?(firstlight_[a-z_]+)")


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEPLOY / "grafana" / "firstlight.json").read_text())
    return found


def manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text()))


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for one in manifests("keda.yaml"):
        yield from (trigger["metadata"]["query"] for trigger in one["spec"]["triggers"])


@pytest.fixture(scope="module")
def exported(shared: Service) -> dict[str, set[str]]:
    """{name of every sample that API and workers export: its labels}."""
    shared.publish({"id": "a", "title": "an owl"})
    shared.recommend(profile="owls")
    metrics.ITEMS.labels("indexed", "text")
    metrics.STAGE_S.labels("fetch")
    text = shared.client.get("/metrics").text + generate_latest(REGISTRY).decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_every_metric_and_label_is_exported(exported: dict[str, set[str]]) -> None:
    named = set()
    for expression in expressions():
        names = set(COUNTED.findall(expression))
        assert names
        named |= names
        for name, selectors in SELECTED.findall(expression):
            labels = {one.split("=")[0].rstrip("!~") for one in selectors.split(",")}
            assert labels <= exported[name], expression
        for labels_of, name in GROUPED.findall(expression):
            labels = {one.strip() for one in labels_of.split(",")}
            assert labels <= exported[name], expression
    assert named <= set(exported)


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    for rule in rules():
        assert rule["labels"]["severity"] in ("page", "warn")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["action"]
        for command in re.findall(r"`firstlight ([a-z-]+)", rule["annotations"]["action"]):
            assert command in commands
    scraped = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    assert scraped["rule_files"] == ["/etc/prometheus/alerts.yml"]


def test_the_dashboards_panels_have_places_of_their_own() -> None:
    panels = dashboard()["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels) == len({panel["id"] for panel in panels})
    for panel in panels:
        assert panel["targets"]


def deployments() -> dict[str, dict[str, Any]]:
    return {
        one["metadata"]["name"]: one["spec"]
        for one in manifests("firstlight.yaml")
        if one["kind"] == "Deployment"
    }


def container(spec: dict[str, Any]) -> dict[str, Any]:
    (found,) = spec["template"]["spec"]["containers"]
    return dict(found)


def test_every_setting_of_the_manifests_is_one() -> None:
    text = (DEPLOY / "kubernetes" / "firstlight.yaml").read_text()
    named = set(re.findall(r"FIRSTLIGHT_[A-Z_]+", text))
    assert named
    assert named <= set(variable_names())


def test_every_lane_has_one_deployment_and_there_is_one_reconciler() -> None:
    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    served: list[str] = []
    for spec in deployments().values():
        arguments = container(spec)["args"]
        assert arguments[0] in commands
        if "--lanes" in arguments:
            served += arguments[arguments.index("--lanes") + 1].split(",")
        assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    assert sorted(served) == sorted(LANES)
    reconciler = deployments()["firstlight-reconciler"]
    assert reconciler["replicas"] == 1
    assert reconciler["strategy"] == {"type": "Recreate"}


def test_probes_ask_paths_that_the_api_has(shared: Service) -> None:
    found = container(deployments()["firstlight-api"])
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        answer = shared.client.get(found[probe]["httpGet"]["path"])
        assert answer.status_code in (200, 503)


def test_keda_scales_every_pool_but_the_reconciler_by_its_own_lane() -> None:
    pools = {name for name in deployments() if name.startswith("firstlight-worker-")}
    scaled = {one["spec"]["scaleTargetRef"]["name"]: one for one in manifests("keda.yaml")}
    assert set(scaled) == pools
    for name, one in scaled.items():
        lane = name.removeprefix("firstlight-worker-")
        assert f'lane="{lane}"' in one["spec"]["triggers"][0]["metadata"]["query"]
        assert one["spec"]["minReplicaCount"] >= 1
