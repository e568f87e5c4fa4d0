"""Every overlay is what Kubernetes takes, and keeps what workers and gateways count on."""

import json
from pathlib import Path

import kubernetes_validate
import pytest
import typer

from ingest.cli import app
from ingest.gateway import health, page, push, queries, stream
from ingest.gateway.app import SEND_SECONDS
from ingest.settings import Settings
from tests.deploy.manifests import (
    OVERLAYS,
    Document,
    containers,
    gateway,
    need,
    of_kind,
    pods,
    ran,
    rendered,
    settings,
    the,
    worker,
)

VERSIONS = ["1.29", "1.37"]  # the oldest that is said to do, and the newest with a schema
MODELS = Path(__file__).with_name("package.json")
CUSTOM = {
    "ScaledObject": "@kubernetes-models/keda/keda.sh/v1alpha1",
    "TriggerAuthentication": "@kubernetes-models/keda/keda.sh/v1alpha1",
    "PodMonitor": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
    "PrometheusRule": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
}
# What the secret `ingest` has: the logins, the two of MongoDB by the names that its address has.
SECRET = {"KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD", "MONGODB_USER", "MONGODB_PASSWORD"}

PARTS = (push, queries, stream, health, page)
ROUTES = {route.path for part in PARTS for route in part.router.routes}
ROUTES |= {"/static", "/openapi.json"}
DEPLOYMENTS = ["ingest-worker", "ingest-gateway"]

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
each_deployment = pytest.mark.parametrize("name", DEPLOYMENTS)


@pytest.mark.parametrize("version", VERSIONS)
@each_overlay
def test_it_is_valid(overlay: str, version: str):
    for document in rendered(overlay):
        if document["kind"] not in CUSTOM:
            kubernetes_validate.validate(document, version, strict=True)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the types of what KEDA and the Prometheus operator add to Kubernetes."""
    folder = tmp_path_factory.mktemp("models")
    (folder / MODELS.name).write_bytes(MODELS.read_bytes())
    npm = need("npm", "Node.js 20 and npm")
    ran(npm, "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock", cwd=folder)
    return folder


def test_what_others_define_is_of_its_type(models: Path):
    documents = [d for d in rendered("production") if d["kind"] in CUSTOM]
    assert {document["kind"] for document in documents} == CUSTOM.keys()
    _compile(models, documents)


def test_a_field_that_is_none_is_found(models: Path):
    (scaled,) = of_kind("production", "ScaledObject")
    for wrong in ({"maxReplicas": 5}, {"maxReplicaCount": "five"}):
        with pytest.raises(AssertionError, match="error TS2"):
            _compile(models, [{**scaled, "spec": {**scaled["spec"], **wrong}}])


def _compile(models: Path, documents: list[Document]) -> None:
    """Let TypeScript compare them, as literals, with their types: it refuses unknown fields."""
    lines = []
    for number, document in enumerate(documents):
        kind = document["kind"]
        lines.append(f"import {{ I{kind} as T{number} }} from {json.dumps(CUSTOM[kind])};")
        lines.append(f"export const d{number}: T{number} = {json.dumps(document)};")
    (models / "documents.ts").write_text("\n".join(lines))
    flags = ("--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext")
    ran(models / "node_modules/.bin/tsc", *flags, "documents.ts", cwd=models)


@each_deployment
@each_overlay
def test_every_setting_is_one(overlay: str, name: str):
    names = {*settings(overlay, name)}
    assert names
    assert names <= {field.upper() for field in Settings.model_fields}


@each_overlay
def test_the_settings_start_a_worker(overlay: str, monkeypatch: pytest.MonkeyPatch):
    for name, value in settings(overlay).items() | dict.fromkeys(SECRET, "x").items():
        monkeypatch.setenv(name, value)
    loaded = Settings()
    assert loaded.repository_backend == "mongodb"
    assert loaded.web_host == "0.0.0.0"  # noqa: S104 - in a container


@each_overlay
def test_the_settings_start_a_gateway(overlay: str, monkeypatch: pytest.MonkeyPatch):
    found = settings(overlay, "ingest-gateway")
    for name, value in found.items() | dict.fromkeys(SECRET, "x").items():
        monkeypatch.setenv(name, value)
    loaded = Settings()
    assert loaded.gateway_mode == "kafka"  # many of them may write there; only one could judge
    assert loaded.repository_backend == "mongodb"
    assert str(loaded.web_port) == _listens(overlay)["port"]
    (container,) = _pod(gateway(overlay))["containers"]
    ours, keys = _keys_of(_pod(gateway(overlay)))
    (mount,) = (m for m in container["volumeMounts"] if m["name"] == ours)
    assert mount == {"name": ours, "mountPath": str(loaded.api_keys_file.parent), "readOnly": True}
    assert [item["path"] for item in keys["items"]] == [loaded.api_keys_file.name]


@each_overlay
def test_its_user_may_read_the_keys_and_nobody_else(overlay: str):
    pod = _pod(gateway(overlay))
    _, keys = _keys_of(pod)
    assert keys["secretName"] == "ingest-api-keys"
    assert not keys.get("optional")  # without keys it would end; so it waits for them
    assert keys["defaultMode"] == 0o440
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]


def _pod(deployment: Document) -> Document:
    return deployment["spec"]["template"]["spec"]


def _keys_of(pod: Document) -> tuple[str, Document]:
    """The name of the volume with the keys, and its secret."""
    ((name, secret),) = ((v["name"], v["secret"]) for v in pod["volumes"] if "secret" in v)
    return name, secret


def _listens(overlay: str) -> dict[str, str]:
    """Where a gateway is told to listen, by the options that its command has."""
    (container,) = _pod(gateway(overlay))["containers"]
    command, *options = container["args"]
    assert command == "serve"
    given = dict(zip(options[::2], options[1::2], strict=True))
    serve = typer.main.get_command(app).commands["serve"]
    assert given.keys() <= {name for option in serve.params for name in option.opts}
    return {name.removeprefix("--"): value for name, value in given.items()}


def test_production_logs_in_over_tls(monkeypatch: pytest.MonkeyPatch):
    found = settings("production")
    assert found["KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"
    assert "tls=true" in found["MONGODB_URI"]
    assert int(found["KAFKA_REPLICATION"]) >= 3
    assert not SECRET & found.keys()
    login = the("production", "TriggerAuthentication", "ingest-kafka")["spec"]["secretTargetRef"]
    assert {entry["key"] for entry in login} <= SECRET
    for trigger in the("production", "ScaledObject", "ingest-worker")["spec"]["triggers"]:
        mechanism = found["KAFKA_SASL_MECHANISM"].lower().replace("-", "_")
        assert trigger["metadata"]["sasl"] == mechanism.replace("sha_", "sha")
        assert trigger["metadata"]["tls"] == "enable"


@each_deployment
@each_overlay
def test_it_has_time_to_stop(overlay: str, name: str):
    pod = _pod(the(overlay, "Deployment", name))
    (container,) = pod["containers"]
    command, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    stop_seconds = int(seconds) + float(settings(overlay)["SHUTDOWN_SECONDS"])
    assert pod["terminationGracePeriodSeconds"] >= stop_seconds + 5


@each_overlay
def test_a_gateway_has_time_to_be_forgotten_and_to_write_what_it_has(overlay: str):
    pod = _pod(gateway(overlay))
    (container,) = pod["containers"]
    _, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert int(seconds) >= 5  # until every proxy has heard of it
    stop_seconds = int(seconds) + float(settings(overlay)["SHUTDOWN_SECONDS"])
    assert pod["terminationGracePeriodSeconds"] >= stop_seconds + SEND_SECONDS + 5


@each_deployment
@each_overlay
def test_a_release_never_has_fewer_than_before(overlay: str, name: str):
    strategy = the(overlay, "Deployment", name)["spec"].get("strategy", {})
    assert strategy.get("type", "RollingUpdate") == "RollingUpdate"
    assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


@each_overlay
def test_there_is_a_partition_for_every_worker_and_the_one_of_a_release(overlay: str):
    most = worker(overlay)["spec"].get("replicas", 0)
    for scaled in of_kind(overlay, "ScaledObject"):
        most = max(most, scaled["spec"]["maxReplicaCount"])
    surge = worker(overlay)["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    assert 2 <= most + surge <= int(settings(overlay)["KAFKA_PARTITIONS"])


def test_the_lag_of_both_topics_of_the_group_scales_it():
    spec = the("production", "ScaledObject", "ingest-worker")["spec"]
    assert spec["scaleTargetRef"]["name"] == worker("production")["metadata"]["name"]
    assert "replicas" not in worker("production")["spec"]
    defaults = Settings.model_fields
    topics = {trigger["metadata"]["topic"] for trigger in spec["triggers"]}
    names = ("topic_activity_events", "topic_health_snapshots")
    assert topics == {defaults[name].default for name in names}
    for trigger in spec["triggers"]:
        assert trigger["metadata"]["consumerGroup"] == defaults["kafka_group"].default
        assert trigger["metadata"]["bootstrapServersFromEnv"] == "KAFKA_BROKERS"
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 300


@each_overlay
def test_there_are_two_gateways_at_least_and_more_for_the_processor(overlay: str):
    scalers = of_kind(overlay, "HorizontalPodAutoscaler")
    least = [gateway(overlay)["spec"].get("replicas", 0)]
    for scaler in scalers:
        spec = scaler["spec"]
        assert spec["scaleTargetRef"]["name"] == "ingest-gateway"
        assert [metric["resource"]["name"] for metric in spec["metrics"]] == ["cpu"]
        assert spec["minReplicas"] < spec["maxReplicas"]
        assert "replicas" not in gateway(overlay)["spec"]  # or applying would set it back
        least = [spec["minReplicas"]]
    assert least >= [2]
    assert len(scalers) == (overlay == "production")


@each_deployment
@each_overlay
def test_its_pods_are_spread_over_zones_and_nodes(overlay: str, name: str):
    spec = the(overlay, "Deployment", name)["spec"]
    spread = spec["template"]["spec"]["topologySpreadConstraints"]
    keys = {constraint["topologyKey"] for constraint in spread}
    assert keys == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    for constraint in spread:
        assert constraint["labelSelector"] == spec["selector"]


@each_deployment
@each_overlay
def test_probes_ask_the_pages_that_there_are(overlay: str, name: str):
    (container,) = _pod(the(overlay, "Deployment", name))["containers"]
    (port,) = container["ports"]
    assert str(port["containerPort"]) == settings(overlay, name)["WEB_PORT"]
    for probe, path in (("startup", "/livez"), ("liveness", "/livez"), ("readiness", "/readyz")):
        assert container[f"{probe}Probe"]["httpGet"] == {"path": path, "port": port["name"]}


@each_overlay
def test_a_gateway_has_the_pages_that_probes_and_the_way_in_name(overlay: str):
    (container,) = _pod(gateway(overlay))["containers"]
    paths = {
        container[f"{p}Probe"]["httpGet"]["path"] for p in ("startup", "liveness", "readiness")
    }
    assert paths <= ROUTES
    assert _listens(overlay)["host"] == "0.0.0.0"  # noqa: S104 - in a pod


def test_the_way_in_is_over_tls_and_to_what_asks_for_a_key_or_holds_no_data():
    spec = the("production", "Ingress", "ingest-gateway")["spec"]
    (rule,) = spec["rules"]
    assert [tls["hosts"] for tls in spec["tls"]] == [[rule["host"]]]
    assert all(tls["secretName"] for tls in spec["tls"])
    service = the("production", "Service", "ingest-gateway")
    (port,) = service["spec"]["ports"]
    backend = {"name": service["metadata"]["name"], "port": {"name": port["name"]}}
    assert all(path["backend"]["service"] == backend for path in rule["http"]["paths"])
    exact = {p["path"] for p in rule["http"]["paths"] if p["pathType"] == "Exact"}
    prefixes = {p["path"] for p in rule["http"]["paths"] if p["pathType"] == "Prefix"}
    within = {
        route for route in ROUTES for prefix in prefixes if f"{route}/".startswith(f"{prefix}/")
    }
    assert ROUTES - within - exact == {"/livez", "/readyz", "/metrics"}
    assert exact | prefixes <= ROUTES | {"/v1"}


@each_overlay
def test_every_pod_is_restricted(overlay: str):
    (namespace,) = of_kind(overlay, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    found = [*pods(overlay)]
    assert found
    for pod in found:
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(pod):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert ":" in container["image"].rpartition("/")[2]
            assert not container["image"].endswith(":latest")


@each_overlay
def test_our_containers_write_nowhere_but_to_tmp(overlay: str):
    ours = [c for pod in pods(overlay) for c in containers(pod) if "ingest" in c["image"]]
    assert len(ours) == 4  # a worker, a gateway, and the two of the job
    for container in ours:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        written = {
            m["mountPath"] for m in container.get("volumeMounts", []) if not m.get("readOnly")
        }
        assert written <= {"/tmp"}  # noqa: S108


@each_deployment
@each_overlay
def test_what_selects_its_pods_finds_them_and_no_others(overlay: str, name: str):
    spec = the(overlay, "Deployment", name)["spec"]
    selectors = [
        spec["selector"]["matchLabels"],
        the(overlay, "Service", name)["spec"]["selector"],
        the(overlay, "PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"],
    ]
    monitors = [m for m in of_kind(overlay, "PodMonitor") if m["metadata"]["name"] == name]
    selectors += [m["spec"]["selector"]["matchLabels"] for m in monitors]
    assert len(monitors) == (overlay == "production")
    for selector in selectors:
        assert selector.items() <= spec["template"]["metadata"]["labels"].items()
        for other in _others(overlay, name):
            assert not selector.items() <= other["metadata"]["labels"].items()


def _others(overlay: str, name: str) -> list[Document]:
    """The templates of all pods but these."""
    found = [d for d in rendered(overlay) if "template" in d.get("spec", {})]
    return [d["spec"]["template"] for d in found if d["metadata"]["name"] != name]


def test_each_is_scraped_by_its_port_and_known_by_its_job():
    for name in DEPLOYMENTS:
        (endpoint,) = the("production", "PodMonitor", name)["spec"]["podMetricsEndpoints"]
        (container,) = _pod(the("production", "Deployment", name))["containers"]
        assert [endpoint["port"]] == [port["name"] for port in container["ports"]]
        assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": name}]
    assert "/metrics" in ROUTES


@each_overlay
def test_a_gateway_is_one_service(overlay: str):
    spec = the(overlay, "Service", "ingest-gateway")["spec"]
    assert spec.get("type", "ClusterIP") == "ClusterIP"
    assert "clusterIP" not in spec
    assert not spec.get("publishNotReadyAddresses")  # one that is not ready is not pushed to
    (container,) = _pod(gateway(overlay))["containers"]
    targets = [port["targetPort"] for port in spec["ports"]]
    assert targets == [port["name"] for port in container["ports"]]


@each_overlay
def test_only_who_is_named_gets_through(overlay: str):
    policy = the(overlay, "NetworkPolicy", "ingest")["spec"]
    for pod in _ours(overlay):
        assert policy["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert {*policy["policyTypes"]} == {"Ingress", "Egress"}
    (scraper,) = policy["ingress"]
    assert [port["port"] for port in scraper["ports"]] == [int(settings(overlay)["WEB_PORT"])]
    assert scraper["from"]
    allowed = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    brokers = {int(b.rpartition(":")[2]) for b in settings(overlay)["KAFKA_BROKERS"].split(",")}
    assert brokers | {53, 27017} <= allowed <= {53, 27017, 9092, 9093}
    assert all(rule["to"] for rule in policy["egress"])


def _ours(overlay: str) -> list[Document]:
    """The templates of the pods that run our image."""
    return [
        template
        for template in _others(overlay, "")
        if any("ingest" in c["image"] for c in containers(template["spec"]))
    ]


@each_overlay
def test_only_the_way_in_and_the_scraper_get_through_to_a_gateway(overlay: str):
    policy = the(overlay, "NetworkPolicy", "ingest-gateway")["spec"]
    assert policy["policyTypes"] == ["Ingress"]  # where to, the policy of all pods says
    labels = gateway(overlay)["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    (rule,) = policy["ingress"]
    assert [port["port"] for port in rule["ports"]] == [int(_listens(overlay)["port"])]
    way_in, scraper = rule["from"]
    assert way_in.keys() == scraper.keys() == {"namespaceSelector", "podSelector"}
    assert [scraper] == the(overlay, "NetworkPolicy", "ingest")["spec"]["ingress"][0]["from"]
    for ingress in of_kind(overlay, "Ingress"):
        controller = way_in["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
        assert ingress["spec"]["ingressClassName"] == controller


def test_what_workers_are_let_through_to_is_there():
    rules = the("local", "NetworkPolicy", "ingest")["spec"]["egress"]
    selectors = [to["podSelector"]["matchLabels"] for rule in rules for to in rule["to"]]
    for name in ("kafka", "mongo"):
        labels = the("local", "Deployment", name)["spec"]["template"]["metadata"]["labels"]
        assert any(selector.items() <= labels.items() for selector in selectors)
        (port,) = the("local", "Service", name)["spec"]["ports"]
        address = f"{name}:{port['port']}"
        assert address in settings("local")["KAFKA_BROKERS"] + settings("local")["MONGODB_URI"]


@each_overlay
def test_all_of_ours_have_one_image_and_the_same_settings_and_a_job_prepares(overlay: str):
    (job,) = of_kind(overlay, "Job")
    pod = job["spec"]["template"]["spec"]
    assert [c["args"] for c in containers(pod)] == [["topics", "init"], ["db", "init"]]
    (ours,) = worker(overlay)["spec"]["template"]["spec"]["containers"]
    for container in [*containers(pod), *_pod(gateway(overlay))["containers"]]:
        assert container["image"] == ours["image"]
        assert container["envFrom"] == ours["envFrom"]
