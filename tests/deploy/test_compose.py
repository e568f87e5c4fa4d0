"""The compose file is what Compose takes, and starts what it says, for this machine only."""

import re
import sys
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml

from ingest.gateway.keys import Scope, keys_in
from ingest.settings import Settings
from tests.deploy.manifests import K8S, ROOT, Document, gateway, mebibytes, need, ran, worker

FILE = ROOT / "docker-compose.yml"
COMPOSE = yaml.safe_load(FILE.read_text())
SERVICES = COMPOSE["services"]
ONCE = {"topics", "database", "keys", "demo"}  # they end, so they are waited for instead of asked
OURS = {"topics", "database", "keys", "worker", "gateway", "demo"}
Deployed = Callable[[str], Document]
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
    if name not in {"kafka", "mongo", "keys"}:
        assert needed
    for other, how in needed.items():
        wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
        if name == "prometheus":  # to see why one is not healthy
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


@pytest.mark.parametrize(("name", "deployed"), [("worker", worker), ("gateway", gateway)])
def test_it_has_the_memory_and_the_time_that_it_has_in_kubernetes(name: str, deployed: Deployed):
    pod = deployed("local")["spec"]["template"]["spec"]
    limit = pod["containers"][0]["resources"]["limits"]["memory"]
    ours = SERVICES[name]
    assert mebibytes(ours["deploy"]["resources"]["limits"]["memory"]) == mebibytes(limit)
    assert ours["stop_grace_period"] == f"{pod['terminationGracePeriodSeconds']}s"


def test_a_gateway_is_started_as_in_kubernetes(monkeypatch: pytest.MonkeyPatch):
    (container,) = gateway("local")["spec"]["template"]["spec"]["containers"]
    service = SERVICES["gateway"]
    assert service["command"] == container["args"]
    environment = service["environment"]
    assert environment.items() >= SERVICES["worker"]["environment"].items()
    for variable in ("GATEWAY_MODE", "WEB_PORT"):
        monkeypatch.setenv(variable, environment[variable])
    loaded = Settings()
    assert loaded.gateway_mode == "kafka"
    assert service["ports"] == [f"127.0.0.1:{loaded.web_port}:{loaded.web_port}"]
    assert str(loaded.web_port) in service["command"]  # or its health check asks elsewhere


def test_keys_are_made_once_by_who_may_write_them_and_read_by_who_may_not(tmp_path: Path):
    service = SERVICES["keys"]
    file = Path(service["environment"]["API_KEYS_FILE"])
    assert SERVICES["gateway"]["environment"]["API_KEYS_FILE"] == str(file)
    assert service["volumes"] == [f"keys:{file.parent}"]
    assert SERVICES["gateway"]["volumes"] == [f"keys:{file.parent}:ro"]
    # A volume begins as the folder of the image is.
    assert (
        f"install -d -m 0700 -o 10001 -g 10001 {file.parent}\n" in (K8S / "Dockerfile").read_text()
    )
    here = tmp_path / file.name
    (command,) = service["command"]
    bins = Path(sys.executable).parent
    shell = ["env", f"PATH={bins}:/usr/bin:/bin", f"PYTHONPATH={ROOT}", f"API_KEYS_FILE={here}"]
    shell += service["entrypoint"]
    made, again = (ran(*shell, command.replace("$$", "$")) for _ in range(2))
    assert made.startswith("ik_")
    assert again == ""
    assert [key.scopes for key in keys_in(here)] == [(Scope.ADMIN,)]
    assert here.stat().st_mode & 0o777 == 0o600


def test_prometheus_takes_its_configuration_and_the_alerts(tmp_path: Path):
    content = COMPOSE["configs"]["prometheus"]["content"]
    rules = "/etc/prometheus/rules.yaml"
    (mount,) = (m for m in SERVICES["prometheus"]["volumes"] if rules in m)
    (tmp_path / "prometheus.yml").write_text(
        content.replace(rules, str(ROOT / mount.split(":")[0]))
    )
    promtool = need("promtool", "Debian's package prometheus")
    assert "rules found" in ran(promtool, "check", "config", tmp_path / "prometheus.yml")
    jobs = {job["job_name"]: job for job in yaml.safe_load(content)["scrape_configs"]}
    assert jobs.keys() == {"ingest-worker", "ingest-gateway"}  # what alerts and dashboard ask for
    for job, name in (("ingest-worker", "worker"), ("ingest-gateway", "gateway")):
        (lookup,) = jobs[job]["dns_sd_configs"]
        assert lookup["names"] == [name]
        default = Settings.model_fields["web_port"].default
        assert lookup["port"] == int(SERVICES[name]["environment"].get("WEB_PORT", default))


def test_grafana_has_prometheus_and_the_dashboard():
    source = yaml.safe_load(COMPOSE["configs"]["grafana-prometheus"]["content"])
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    provider = yaml.safe_load(COMPOSE["configs"]["grafana-dashboards"]["content"])["providers"][0]
    (mount,) = (m for m in SERVICES["grafana"]["volumes"] if "dashboard.json" in m)
    folder = Path(mount.split(":")[1]).parent
    assert provider["options"]["path"] == str(folder)
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == mount.split(":")[1]
