"""The steps of the image, one by one in a folder, and what comes of them as another user.

No image is built here, since a base image would have to be fetched: what its steps run is run, with
a Python of this machine in place of the base's.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.deploy.manifests import K8S, ROOT
from tests.mongodb import missing

UID = 10001
PINNED = re.compile(r"PYTHON_IMAGE=python:3\.11\.\d+-slim-\w+")
DOCKERFILE = re.sub(r"^#.*\n", "", (K8S / "Dockerfile").read_text(), flags=re.M)
STEPS = [
    tuple(step.split(maxsplit=1)) for step in DOCKERFILE.replace("\\\n", " ").splitlines() if step
]


def stage(number: int) -> list[tuple[str, ...]]:
    """The steps of a stage, without its FROM."""
    starts = [place for place, step in enumerate(STEPS) if step[0] == "FROM"] + [len(STEPS)]
    return STEPS[starts[number] + 1 : starts[number + 1]]


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    """The folder that the first stage leaves to the second; pytest's own are for nobody else."""
    with tempfile.TemporaryDirectory(prefix="ingest-image-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        (root / "src").mkdir()
        for name, arguments in stage(0):
            if name == "COPY":
                *sources, target = arguments.split()
                for source in sources:
                    _copy(ROOT / source, root / "src" / target)
            elif name == "RUN":
                _run(arguments, root)
        yield root


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def _run(command: str, root: Path) -> None:
    """A RUN, with the folders of the image inside of `root`."""
    inside = re.sub(r"(?<![\w.])/(opt|src|wheels)\b", rf"{root}/\1", command)
    inside = re.sub(r"^python ", f"{_python()} ", inside)
    subprocess.run(["sh", "-ec", inside], cwd=root / "src", check=True, timeout=300)  # noqa: S603, S607


@cache
def _python() -> str:
    """A Python 3.11 that any user may run; that of the tests may lie in a home."""
    code = "import ensurepip, sys; sys.exit(sys.version_info[:2] != (3, 11))"
    for path in (sys.executable, "/usr/bin/python3"):
        with suppress(OSError):
            if _as_user(path, "-c", code).returncode == 0:
                return path
    missing("no Python 3.11 that another user may run: install Debian's package python3-venv")
    raise AssertionError


def _as_user(
    program: str | Path, *arguments: str, stdin: bytes = b""
) -> "subprocess.CompletedProcess[bytes]":
    """Run a program as the user of the image, where the tests may choose one."""
    user = UID if os.geteuid() == 0 else None
    return subprocess.run(  # noqa: S603 - our own command
        [program, *arguments],
        input=stdin,
        capture_output=True,
        cwd="/",
        env={"PATH": str(Path(program).parent), "PYTHONDONTWRITEBYTECODE": "1"},
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        timeout=60,
        check=False,
    )


def inside(image: Path, name: str, *arguments: str, stdin: bytes = b"") -> bytes:
    """What a program of the image prints; it must succeed."""
    done = _as_user(image / "opt/ingest/bin" / name, *arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_works_as_another_user_who_may_write_nothing(image: Path):
    simulated = inside(image, "ingest", "simulate", "--users", "1", "--days", "1")
    assert b'"rejected":0' in inside(image, "ingest", "replay", "-", "--json", stdin=simulated)


def test_its_health_check_says_that_nothing_runs(image: Path):
    assert _as_user(image / "opt/ingest/bin/ingest", "health").returncode == 3


def test_it_has_all_that_a_worker_imports(image: Path):
    inside(image, "python", "-c", "import ingest.worker.run")


def test_it_has_all_that_a_gateway_imports_and_shows(image: Path):
    code = "import ingest.gateway.serve, ingest.gateway.page as page\n"
    code += "assert (page.STATIC / 'index.html').is_file()"
    inside(image, "python", "-c", code)


def test_it_has_the_locked_versions_and_no_installer(image: Path):
    code = "from importlib.metadata import distributions as found\n"
    code += "for one in found(): print(f'{one.name}=={one.version}'.lower().replace('_', '-'))"
    installed = {*inside(image, "python", "-c", code).decode().split()}
    lock = (ROOT / "requirements.lock").read_text()
    locked = {f"{name}=={pin}" for name, pin in re.findall(r"^(\S+)==(\S+) ", lock, re.M)}
    assert installed - locked == {f"ingest=={version('ingest')}"}
    assert locked <= installed
    assert not (image / "opt/ingest/bin/pip").exists()


def test_its_last_stage_is_no_root_and_asks_for_its_health():
    steps = dict(stage(1))
    user, group = map(int, steps["USER"].split(":"))
    assert user == group == UID
    assert steps["ENTRYPOINT"] == '["ingest"]'
    assert steps["CMD"] == '["worker"]'
    assert steps["HEALTHCHECK"].endswith('CMD ["ingest", "health"]')
    assert steps["COPY"] == "--from=build /opt/ingest /opt/ingest"
    names = [name for name, _ in stage(1)]
    assert names.index("RUN") < names.index("USER")


def test_both_stages_begin_with_the_same_pinned_python():
    froms = [arguments for name, arguments in STEPS if name == "FROM"]
    assert froms == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]
    assert STEPS[0][0] == "ARG"
    assert PINNED.fullmatch(STEPS[0][1])


def test_only_what_it_is_made_of_is_sent_to_the_builder():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    sent = {line[1:] for line in lines if line.startswith("!")}
    copied = {source for name, text in stage(0) if name == "COPY" for source in text.split()[:-1]}
    assert "*" in lines
    assert sent == copied
