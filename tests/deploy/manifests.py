"""The manifests as they reach a cluster, and what of them tests ask for."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.mongodb import missing

ROOT = Path(__file__).parent.parent.parent
K8S = ROOT / "k8s"
OVERLAYS = sorted(path.name for path in (K8S / "overlays").iterdir())
MEBIBYTE = 1024 * 1024
Document = dict[str, Any]


def need(program: str, package: str) -> str:
    """The path of a program; without it the test is skipped, or fails where all must run."""
    beside = str(Path(sys.executable).parent)
    path = shutil.which(program, path=os.pathsep.join((beside, os.environ["PATH"])))
    if path is None:
        missing(f"no {program}: install {package}")
    return str(path)


def ran(*command: str | Path, stdin: str = "", cwd: Path = ROOT) -> str:
    """What a program prints; it must succeed."""
    done = subprocess.run(  # noqa: S603 - the tools of a cluster
        command, input=stdin, capture_output=True, text=True, timeout=300, check=False, cwd=cwd
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


@cache
def rendered(overlay: str) -> list[Document]:
    """Every document of an overlay, as `kubectl apply -k` would send it."""
    kubectl = need("kubectl", "kubectl 1.27 or newer")
    return [*yaml.safe_load_all(ran(kubectl, "kustomize", K8S / "overlays" / overlay))]


def of_kind(overlay: str, kind: str) -> list[Document]:
    return [document for document in rendered(overlay) if document["kind"] == kind]


def the(overlay: str, kind: str, name: str) -> Document:
    """The one document of this kind and name."""
    (found,) = (d for d in of_kind(overlay, kind) if d["metadata"]["name"] == name)
    return found


def worker(overlay: str) -> Document:
    return the(overlay, "Deployment", "ingest-worker")


def gateway(overlay: str) -> Document:
    return the(overlay, "Deployment", "ingest-gateway")


def pods(overlay: str) -> Iterator[Document]:
    """The specification of every pod that an overlay starts."""
    for document in rendered(overlay):
        if "template" in document.get("spec", {}):
            yield document["spec"]["template"]["spec"]


def containers(pod: Document) -> list[Document]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def settings(overlay: str, deployment: str = "ingest-worker") -> dict[str, str]:
    """The settings that a pod of ours finds in its environment, passwords excepted."""
    spec = the(overlay, "Deployment", deployment)["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    names = [e["configMapRef"]["name"] for e in container["envFrom"] if "configMapRef" in e]
    shared = {k: v for name in names for k, v in the(overlay, "ConfigMap", name)["data"].items()}
    return shared | {e["name"]: e["value"] for e in container.get("env", [])}


def mebibytes(quantity: str) -> int:
    """A quantity of memory, as Kubernetes and compose write it."""
    units = {"Gi": 1024, "Mi": 1, "M": 1, "G": 1024}  # compose counts in binary units too
    unit = quantity.lstrip("0123456789")
    return int(quantity.removesuffix(unit)) * units[unit]
