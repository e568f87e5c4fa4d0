"""The alerts fire when they should, ask for what there is, and say what to do."""

from pathlib import Path

import pytest
import yaml

from tests.deploy.manifests import K8S, mebibytes, need, of_kind, ran, worker
from tests.deploy.promql import named, unknown

RULES = K8S / "components/monitoring/rules.yaml"
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]

each_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])


@pytest.fixture(scope="module")
def promtool() -> str:
    return need("promtool", "Debian's package prometheus")


def test_prometheus_takes_them(promtool: str):
    assert f"{len(ALERTS)} rules found" in ran(promtool, "check", "rules", RULES)


def test_each_fires_when_it_should_and_not_else(promtool: str):
    cases = Path(__file__).with_name("rules_test.yaml")
    assert "SUCCESS" in ran(promtool, "test", "rules", cases.name, cwd=cases.parent)
    assert all(f'alertname="{alert["alert"]}"' in cases.read_text() for alert in ALERTS)


@each_alert
def test_it_asks_for_metrics_that_there_are(alert: dict[str, str]):
    assert named(alert["expr"])
    assert unknown(alert["expr"]) == set()


@each_alert
def test_it_has_an_entry_in_the_runbook(alert: dict[str, dict[str, str]]):
    name = alert["alert"]
    assert alert["annotations"]["runbook"] == f"k8s/RUNBOOK.md#{str(name).lower()}"
    _, found, entry = (K8S / "RUNBOOK.md").read_text().partition(f"\n### {name}\n")
    assert found
    for part in ("**Means**", "**Look**", "**Do**"):
        assert part in entry.split("\n### ")[0].split("\n## ")[0]


@each_alert
def test_it_says_how_urgent_it_is(alert: dict[str, dict[str, str]]):
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert alert["annotations"]["summary"]


def test_kubernetes_has_the_same():
    (rule,) = of_kind("production", "PrometheusRule")
    assert rule["spec"] == yaml.safe_load(RULES.read_text()), "run `make rules`"


def test_the_one_on_memory_is_of_the_limit_that_a_worker_has():
    (container,) = worker("production")["spec"]["template"]["spec"]["containers"]
    limit = mebibytes(container["resources"]["limits"]["memory"])
    (alert,) = (alert for alert in ALERTS if alert["alert"] == "IngestMemory")
    assert alert["expr"].endswith(f"> 0.85 * {limit} * 1024 * 1024")
