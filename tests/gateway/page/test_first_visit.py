"""The page before anything was pushed: it says how, and shows what comes."""

import subprocess

import pytest
from playwright.sync_api import expect

from tests.gateway.page.conftest import Open
from tests.gateway.page.service import Service, serving


@pytest.fixture
def service():
    with serving() as one:
        yield one


def test_the_command_of_the_first_visit_works_and_its_day_shows_up(service: Service, visit: Open):
    page = visit(service.address)
    expect(page.get_by_role("heading", name="Nothing is stored yet")).to_be_visible()
    command = page.locator("#first-line").inner_text()
    assert command.startswith(f"curl {service.address}/v1/health-snapshots ")
    subprocess.run(  # noqa: S603 - the command that the page gives
        ["/bin/sh", "-c", f"{command} --silent --fail"], check=True, stdout=subprocess.DEVNULL
    )
    expect(page.locator("#days-chart svg")).to_be_visible()
    expect(page.locator("#summary")).to_contain_text("1,290")
    assert "user=ann" in page.url
