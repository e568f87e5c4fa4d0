"""The page of a service that takes keys: it asks for one, uses it, keeps it nowhere."""

import json
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.environment import COMMAND, ENVIRONMENT
from tests.gateway.page.conftest import Open
from tests.gateway.page.people import push_ann
from tests.gateway.page.service import ROOT, Service, serving

KEPT = """[location.href, document.cookie, ...Object.values(localStorage),
           ...Object.values(sessionStorage)].join()"""


class Keyed(NamedTuple):
    """A service and its keys, by what they may."""

    service: Service
    keys: dict[str, str]


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    file = str(tmp_path_factory.mktemp("keys") / "keys.json")
    keys = {
        "all": created(file, "--scope", "read", "--scope", "push"),
        "push": created(file, "--scope", "push"),
        "others": created(file, "--scope", "read", "--user-prefix", "clinic-"),
    }
    with serving(API_KEYS_FILE=file) as service:
        push_ann(service, keys["all"])
        yield Keyed(service, keys)


def created(file: str, *options: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own command
        [*COMMAND, "keys", "create", "--name", "test", "--json", *options],
        env={**ENVIRONMENT, "API_KEYS_FILE": file},
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return json.loads(done.stdout)["key"]


def enter(page: Page, key: str) -> None:
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Use this key").click()


def test_a_bad_key_is_refused_and_a_good_one_opens_the_page(keyed: Keyed, visit: Open):
    page = visit(keyed.service.address, "/#user=ann")
    expect(page.get_by_role("heading", name="This service needs a key")).to_be_visible()
    enter(page, "ik_000000000000_nonsense")
    expect(page.get_by_role("alert")).to_contain_text("does not know this key")
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    enter(page, keyed.keys["all"])
    expect(page.locator("#days-chart svg")).to_be_visible()
    expect(page.locator("#live .connection")).to_have_text("Connected")


def test_a_key_is_kept_nowhere_and_can_be_forgotten(keyed: Keyed, visit: Open):
    page = visit(keyed.service.address)
    key = keyed.keys["all"]
    enter(page, key)
    expect(page.locator("#days-chart svg")).to_be_visible()
    secret = key.rpartition("_")[2]
    assert secret not in page.evaluate(KEPT)
    assert secret not in page.content()
    assert page.locator("#key-text").input_value() == ""
    page.get_by_role("button", name="Forget the key").click()
    expect(page.get_by_role("heading", name="This service needs a key")).to_be_visible()
    assert "8,0" not in page.content()  # nothing of what it showed is left
    page.reload()
    expect(page.get_by_role("heading", name="This service needs a key")).to_be_visible()


def test_a_key_without_a_right_is_told_which(keyed: Keyed, visit: Open):
    page = visit(keyed.service.address)
    enter(page, keyed.keys["push"])
    expect(page.get_by_role("alert")).to_contain_text("lacks the right “read”")


def test_a_key_for_other_users_is_told_so(keyed: Keyed, visit: Open):
    page = visit(keyed.service.address, "/#user=ann")
    enter(page, keyed.keys["others"])
    expect(page.locator("#notices")).to_contain_text("the key is for other users")
