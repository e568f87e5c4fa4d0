"""The page for everyone: by keyboard, on a phone, in the dark, and as axe sees each state."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.gateway.page.chromium import barriers
from tests.gateway.page.conftest import Open
from tests.gateway.page.people import ANN, RESET_DAY
from tests.gateway.page.service import Service

PHONE = {"width": 360, "height": 740}


def ready(page: Page) -> Page:
    """The page when it shows something."""
    expect(page.locator("#loading")).to_be_hidden()
    return page


def with_a_day(page: Page) -> None:
    expect(page.locator("#day svg [data-kind=reset]")).to_have_count(1)


def with_tables(page: Page) -> None:
    with_a_day(page)
    for summary in page.locator("summary").all():
        summary.click()


def with_users(page: Page) -> None:
    page.get_by_role("combobox").click()
    expect(page.get_by_role("option").first).to_have_text("ann")


def with_a_problem(page: Page) -> None:
    page.route("**/days?**", lambda route: route.fulfill(status=503, json={"title": "Away"}))
    page.reload()
    expect(page.locator("#notices")).to_contain_text("Away")


def with_a_key_refused(page: Page) -> None:
    page.route(
        "**/v1/status", lambda route: route.fulfill(status=401, json={"title": "Key needed"})
    )
    page.reload()
    page.get_by_label("Key", exact=True).fill("ik_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).not_to_be_empty()


def with_nothing(page: Page) -> None:
    page.route("**/v1/users?**", lambda route: route.fulfill(json={"users": [], "next": None}))
    page.goto("about:blank")
    page.goto("/")
    expect(page.locator("#first-line")).to_be_visible()


STATES: dict[str, Callable[[Page], None]] = {
    "a day": with_a_day, "tables": with_tables, "users": with_users, "a problem": with_a_problem,
    "a key refused": with_a_key_refused, "nothing": with_nothing,
}  # fmt: skip


@pytest.mark.parametrize("state", STATES)
def test_a_state_keeps_nobody_out(service: Service, visit: Open, state: str):
    page = ready(visit(service.address, RESET_DAY))
    STATES[state](page)
    assert barriers(page) == []
    page.emulate_media(color_scheme="dark")
    assert barriers(page, "color-contrast") == []
    page.set_viewport_size(PHONE)
    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")


def test_all_can_be_done_with_the_keyboard(service: Service, visit: Open):
    page = ready(visit(service.address, "/"))
    page.keyboard.press("Tab")
    expect(page.locator("#skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    assert "user=ann" in page.url  # skipping is no step
    page.keyboard.press("Tab")
    expect(page.get_by_role("combobox", name="User")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option").first).to_have_text("ann")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    tab_to(page, "#days-chart")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#days-chart")).to_have_attribute(
        "aria-valuetext", re.compile("^28 Nov 2025, 8,028 steps")
    )
    page.keyboard.press("Enter")
    expect(page.locator("#day-title")).to_contain_text("28 November 2025")
    tab_to(page, "#day .chart")
    expect(page.locator("#day .tip")).to_contain_text("bootstrap")


def tab_to(page: Page, selector: str) -> None:
    for _ in range(40):
        if page.evaluate("one => document.activeElement.matches(one)", selector):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"{selector} is never reached")


def test_what_has_the_focus_is_seen_to_have_it(service: Service, visit: Open):
    page = ready(visit(service.address, RESET_DAY))
    with_a_day(page)
    unseen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        unseen += page.evaluate(UNSEEN)
    assert unseen == []


# A radio button shows its focus on its label, the slider on its track.
UNSEEN = """() => {
  const one = document.activeElement;
  if (one === document.body) return [];
  const seen = { radio: one.nextElementSibling, range: one.parentElement }[one.type] ?? one;
  return getComputedStyle(seen).outlineStyle === 'none' ? [one.outerHTML] : [];
}"""


def test_it_is_dark_where_the_system_is_until_the_button_says_otherwise(
    service: Service, visit: Open
):
    page = ready(visit(service.address, ANN, color_scheme="dark"))
    assert luminance(page) < 50
    page.get_by_role("button", name="Dark").click()
    assert luminance(page) > 200
    page.reload()
    assert luminance(ready(page)) < 50  # it was kept in memory only


def luminance(page: Page) -> float:
    """The brightest part of the colour behind everything, 0 to 255."""
    return page.evaluate(
        """() => {
          const color = getComputedStyle(document.documentElement).backgroundColor;
          return Math.max(...color.match(/[0-9]+/g).map(Number));
        }"""
    )
