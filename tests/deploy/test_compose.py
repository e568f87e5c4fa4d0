"""The compose file is what Compose takes, and starts what it says, for this machine only."""

import re
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml

from ingest.settings import Settings
from tests.deploy.manifests import ROOT, mebibytes, need, ran, worker

FILE = ROOT / "docker-compose.yml"
COMPOSE = yaml.safe_load(FILE.read_text())
SERVICES = COMPOSE["services"]
ONCE = {"topics", "database", "demo"}  # they end, so they are waited for instead of asked
OURS = {"topics", "database", "worker", "demo"}
VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z_]+)")

each_service = pytest.mark.parametrize("name", sorted(SERVICES))


def test_it_is_valid():
    installed = distribution("check-jsonschema")
    schema = installed.locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")
    ran(
        need("check-jsonschema", "the extra `dev`"),
        *("--schemafile", str(schema), str(FILE)),
    )


def test_it_has_all_that_the_readme_promises():
    assert SERVICES.keys() == OURS | {"kafka", "mongo", "prometheus", "grafana"}
    assert SERVICES["worker"]["deploy"]["replicas"] == 2
    assert SERVICES["demo"]["profiles"] == ["demo"]
    assert all("profiles" not in SERVICES[name] for name in SERVICES.keys() - {"demo"})


@each_service
def test_its_image_is_pinned(name: str):
    assert re.search(r":v?\d+\.\d+\.\d+$", SERVICES[name]["image"])


@each_service
def test_it_may_do_no_more_than_it_needs(name: str):
    service = SERVICES[name]
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    if name != "mongo":  # its image begins as root, and becomes another user
        assert service["cap_drop"] == ["ALL"]
    if name in OURS:
        assert service["read_only"] is True


@each_service
def test_its_ports_are_of_this_machine_only(name: str):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@each_service
def test_its_health_is_asked_or_it_ends(name: str):
    check = SERVICES[name]["healthcheck"]
    assert check == {"disable": True} if name in ONCE else check["test"]


@each_service
def test_it_waits_for_what_it_needs(name: str):
    needed = SERVICES[name].get("depends_on", {})
    if name not in {"kafka", "mongo"}:
        assert needed
    for other, how in needed.items():
        wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
        if (name, other) == ("prometheus", "worker"):  # to see why a worker is not healthy
            wanted = "service_started"
        assert how == {"condition": wanted}


@each_service
def test_what_it_mounts_is_there(name: str):
    service = SERVICES[name]
    for mount in service.get("volumes", []):
        source = mount.split(":")[0]
        if source.startswith("."):
            assert (ROOT / source).is_file()
            assert mount.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]
    for config in service.get("configs", []):
        assert config["source"] in COMPOSE["configs"]


def test_nothing_is_declared_that_nothing_uses():
    mounts = [m.split(":")[0] for s in SERVICES.values() for m in s.get("volumes", [])]
    assert {*COMPOSE["volumes"]} <= {*mounts}
    used = [c["source"] for s in SERVICES.values() for c in s.get("configs", [])]
    assert sorted(used) == sorted(COMPOSE["configs"])


def test_every_secret_is_in_the_example_and_nowhere_else():
    example = dict(
        line.split("=", 1)
        for line in (ROOT / ".env.example").read_text().splitlines()
        if line and not line.startswith("#")
    )
    assert {*VARIABLE.findall(FILE.read_text())} == {*example}
    assert not any(value in FILE.read_text() for value in example.values())
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_setting_is_one(name: str, monkeypatch: pytest.MonkeyPatch):
    environment = SERVICES[name]["environment"]
    assert environment.keys() - {"MONGO_PASSWORD"} <= {f.upper() for f in Settings.model_fields}
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value.replace("$$", "$"))
    monkeypatch.setenv("MONGO_PASSWORD", "p@ss/word")
    uri = Settings().mongodb_uri.get_secret_value()
    assert uri == "mongodb://ingest:p%40ss%2Fword@mongo:27017/ingest?replicaSet=rs0"


def test_a_worker_has_the_memory_and_the_time_that_it_has_in_kubernetes():
    pod = worker("local")["spec"]["template"]["spec"]
    limit = pod["containers"][0]["resources"]["limits"]["memory"]
    ours = SERVICES["worker"]
    assert mebibytes(ours["deploy"]["resources"]["limits"]["memory"]) == mebibytes(limit)
    assert ours["stop_grace_period"] == f"{pod['terminationGracePeriodSeconds']}s"


def test_prometheus_takes_its_configuration_and_the_alerts(tmp_path: Path):
    content = COMPOSE["configs"]["prometheus"]["content"]
    rules = "/etc/prometheus/rules.yaml"
    (mount,) = (m for m in SERVICES["prometheus"]["volumes"] if rules in m)
    (tmp_path / "prometheus.yml").write_text(
        content.replace(rules, str(ROOT / mount.split(":")[0]))
    )
    promtool = need("promtool", "Debian's package prometheus")
    assert "rules found" in ran(promtool, "check", "config", tmp_path / "prometheus.yml")
    (job,) = yaml.safe_load(content)["scrape_configs"]
    assert job["job_name"] == "ingest-worker"  # what alerts and dashboard ask for
    (lookup,) = job["dns_sd_configs"]
    assert lookup["names"] == ["worker"]
    assert lookup["port"] == Settings.model_fields["web_port"].default


def test_grafana_has_prometheus_and_the_dashboard():
    source = yaml.safe_load(COMPOSE["configs"]["grafana-prometheus"]["content"])
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    provider = yaml.safe_load(COMPOSE["configs"]["grafana-dashboards"]["content"])["providers"][0]
    (mount,) = (m for m in SERVICES["grafana"]["volumes"] if "dashboard.json" in m)
    folder = Path(mount.split(":")[1]).parent
    assert provider["options"]["path"] == str(folder)
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == mount.split(":")[1]
