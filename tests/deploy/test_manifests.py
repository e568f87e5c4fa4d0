"""Every overlay is what Kubernetes takes, and keeps what the workers count on."""

import json
from pathlib import Path

import kubernetes_validate
import pytest

from ingest.settings import Settings
from tests.deploy.manifests import (
    OVERLAYS,
    Document,
    containers,
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

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


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


@each_overlay
def test_every_setting_is_one(overlay: str):
    names = {*settings(overlay)}
    assert names
    assert names <= {field.upper() for field in Settings.model_fields}


@each_overlay
def test_the_settings_start_a_worker(overlay: str, monkeypatch: pytest.MonkeyPatch):
    for name, value in settings(overlay).items() | dict.fromkeys(SECRET, "x").items():
        monkeypatch.setenv(name, value)
    loaded = Settings()
    assert loaded.repository_backend == "mongodb"
    assert loaded.web_host == "0.0.0.0"  # noqa: S104 - in a container


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


@each_overlay
def test_it_has_time_to_stop(overlay: str):
    pod = worker(overlay)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    command, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    stop_seconds = int(seconds) + float(settings(overlay)["SHUTDOWN_SECONDS"])
    assert pod["terminationGracePeriodSeconds"] >= stop_seconds + 5


@each_overlay
def test_a_release_never_has_fewer_consumers_than_before(overlay: str):
    strategy = worker(overlay)["spec"].get("strategy", {})
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
def test_probes_ask_the_pages_that_a_worker_has(overlay: str):
    (container,) = worker(overlay)["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    assert str(port["containerPort"]) == settings(overlay)["WEB_PORT"]
    for probe, page in (("startup", "/livez"), ("liveness", "/livez"), ("readiness", "/readyz")):
        assert container[f"{probe}Probe"]["httpGet"] == {"path": page, "port": port["name"]}


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
    assert len(ours) == 3  # a worker, and the two of the job
    for container in ours:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert {mount["mountPath"] for mount in container.get("volumeMounts", [])} <= {"/tmp"}  # noqa: S108


@each_overlay
def test_what_selects_workers_finds_them(overlay: str):
    labels = worker(overlay)["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        worker(overlay)["spec"]["selector"]["matchLabels"],
        the(overlay, "Service", "ingest-worker")["spec"]["selector"],
        the(overlay, "PodDisruptionBudget", "ingest-worker")["spec"]["selector"]["matchLabels"],
        the(overlay, "NetworkPolicy", "ingest")["spec"]["podSelector"]["matchLabels"],
    ]
    selectors += [m["spec"]["selector"]["matchLabels"] for m in of_kind(overlay, "PodMonitor")]
    for selector in selectors:
        assert selector.items() <= labels
    (job,) = of_kind(overlay, "Job")
    policy = the(overlay, "NetworkPolicy", "ingest")["spec"]["podSelector"]["matchLabels"]
    assert policy.items() <= job["spec"]["template"]["metadata"]["labels"].items()
    assert not selectors[0].items() <= job["spec"]["template"]["metadata"]["labels"].items()


@each_overlay
def test_only_who_is_named_gets_through(overlay: str):
    policy = the(overlay, "NetworkPolicy", "ingest")["spec"]
    assert {*policy["policyTypes"]} == {"Ingress", "Egress"}
    (scraper,) = policy["ingress"]
    assert [port["port"] for port in scraper["ports"]] == [int(settings(overlay)["WEB_PORT"])]
    assert scraper["from"]
    allowed = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    brokers = {int(b.rpartition(":")[2]) for b in settings(overlay)["KAFKA_BROKERS"].split(",")}
    assert brokers | {53, 27017} <= allowed <= {53, 27017, 9092, 9093}
    assert all(rule["to"] for rule in policy["egress"])


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
def test_the_job_prepares_topics_and_database_with_the_image_of_the_workers(overlay: str):
    (job,) = of_kind(overlay, "Job")
    pod = job["spec"]["template"]["spec"]
    assert [c["args"] for c in containers(pod)] == [["topics", "init"], ["db", "init"]]
    (ours,) = worker(overlay)["spec"]["template"]["spec"]["containers"]
    for container in containers(pod):
        assert container["image"] == ours["image"]
        assert container["envFrom"] == ours["envFrom"]
