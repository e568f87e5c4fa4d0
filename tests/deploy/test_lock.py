"""What the image is made of is what the project asks for, each with the hashes of its files."""

import re
import tomllib
from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.deploy.manifests import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = {
    "requirements.lock": PROJECT["project"]["dependencies"],
    "requirements-build.lock": PROJECT["build-system"]["requires"],
}
PIN = re.compile(r"^([a-z0-9-]+)==(\S+) \\$((?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?$)+)", re.M)

each_lock = pytest.mark.parametrize("lock", LOCKS)


def pins(lock: str) -> dict[str, Version]:
    text = (ROOT / lock).read_text()
    found = {name: Version(version) for name, version, _ in PIN.findall(text)}
    assert len(found) == text.count("==")  # none is without hashes
    return found


@each_lock
def test_it_has_all_that_is_asked_for(lock: str):
    pinned = pins(lock)
    for text in LOCKS[lock]:
        wanted = Requirement(text)
        version = pinned[canonicalize_name(wanted.name)]
        assert version in wanted.specifier, f"{text}: run `make lock`"


def test_the_tests_ran_with_what_is_asked_for():
    assert {*map(str, map(Requirement, LOCKS["requirements.lock"]))} <= {
        str(Requirement(text)) for text in requires("ingest") or ()
    }


@each_lock
def test_it_names_no_place_to_fetch_from(lock: str):
    assert "://" not in (ROOT / lock).read_text()
