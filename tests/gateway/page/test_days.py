"""The page with days to show: their chart, one of them, what arrives, what goes wrong."""

import re

from playwright.sync_api import Page, Route, expect

from tests.gateway.page.conftest import Open
from tests.gateway.page.people import ANN, BOB, RESET_DAY, push_ann
from tests.gateway.page.service import Service, serving, snapshot, snapshots

SVG_NODES_MAX = 300
# The first outline of each path without its place: how it turns, and for boxes and discs how far.
SHAPES = """all => all.map((one) => {
  const steps = one.getAttribute('d').split('z')[0].replace(/^M[^a-zA-Z]+/, '');
  return steps.includes('L') ? steps.replace(/[^L]/g, '') : steps;
})"""


def tile(page: Page, name: str) -> str:
    """The value of a tile of the page."""
    return (
        page.locator("dt", has_text=name).first.locator("xpath=following-sibling::dd").inner_text()
    )


def svg_nodes(page: Page) -> int:
    return page.evaluate("document.querySelectorAll('svg, svg *').length")


def values_said(page: Page) -> str:
    """What the chart of days says of the day that its cursor is on."""
    return page.locator("#days-chart").get_attribute("aria-valuetext") or ""


def test_the_first_user_is_shown_where_none_is_chosen(service: Service, visit: Open):
    page = visit(service.address)
    expect(page.locator("#days-chart svg")).to_be_visible()
    assert "user=ann" in page.url
    assert tile(page, "Days with data") == "29"
    assert tile(page, "With a reset") == "1"
    assert tile(page, "Changed late") == "1"


def test_a_bar_tells_its_values(service: Service, visit: Open):
    page = visit(service.address, ANN)
    chart = page.locator("#days-chart")
    expect(chart.locator("svg")).to_be_visible()
    box = chart.bounding_box()
    assert box is not None
    chart.hover(position={"x": box["width"] - 12, "y": 100})
    tip = page.locator("#days-chart .tip")
    expect(tip).to_contain_text("29 Nov 2025")
    for words in ("4,400 steps", "watch: 4,400", "phone: 2,100", "1 reset", "changed late"):
        expect(tip).to_contain_text(words)


def test_calories_can_be_shown(service: Service, visit: Open):
    page = visit(service.address, ANN)
    page.get_by_label("Calories").check()
    expect(page.locator("#summary")).to_contain_text("kcal")
    assert "measure=calories" in page.url


def test_a_day_with_a_reset_shows_its_chain(service: Service, visit: Open):
    page = visit(service.address, RESET_DAY)
    day = page.locator("#day")
    expect(day.get_by_role("heading", level=2)).to_contain_text("29 November 2025")
    expect(day.locator("svg [data-kind]")).to_have_count(5)
    kinds = day.locator("svg [data-kind]").evaluate_all("all => all.map(one => one.dataset.kind)")
    assert {*kinds} == {"bootstrap", "increment", "duplicate", "glitch", "reset"}
    shapes = day.locator("svg [data-kind]").evaluate_all(SHAPES)
    assert len({*shapes}) == 5  # told apart by more than their colour
    rows = day.get_by_role("region", name="Table of snapshots").locator("tbody tr")
    expect(rows).to_have_count(7)
    expect(rows.nth(5)).to_contain_text(re.compile(r"reset\s*\+400\s*\+90\s*400\s*90"))


def test_days_can_be_left_one_by_one_and_gone_back_to(service: Service, visit: Open):
    page = visit(service.address, RESET_DAY)
    heading = page.locator("#day-title")
    page.get_by_role("button", name="Before").click()
    expect(heading).to_contain_text("28 November 2025")
    assert "day=2025-11-28" in page.url
    page.go_back()
    expect(heading).to_contain_text("29 November 2025")
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#day")).to_be_hidden()


def test_days_can_be_read_as_a_table(service: Service, visit: Open):
    page = visit(service.address, ANN)
    page.get_by_text("Show these days as a table").click()
    rows = page.locator("#days-table tbody tr")
    expect(rows).to_have_count(29)
    expect(rows.first).to_contain_text("watch: 4,400 steps")
    rows.nth(1).get_by_role("link", name="2025-11-28").click()
    expect(page.locator("#day-title")).to_contain_text("28 November 2025")


def test_a_total_that_arrives_is_shown(service: Service, visit: Open):
    page = visit(service.address, "/#user=carol")
    expect(page.locator("#days-state")).to_have_text("There are no days of carol.")
    expect(page.locator("#live .connection")).to_have_text("Connected")
    for hour, steps in ((8, 100), (9, 250)):
        said = snapshot("2025-11-29", f"{hour:02}:00:00", steps, 50)
        service.push("health-snapshots", snapshots("carol", "watch", said))
        expect(page.locator("#summary dd").first).to_contain_text(str(steps))
    refused = snapshot("2025-11-29", "10:00:00", -1, 50)
    service.push("health-snapshots", snapshots("carol", "watch", refused))
    expect(page.locator("#live-outcomes")).to_contain_text("1 record: 1 rejected (NEGATIVE_VALUE)")
    expect(page.locator("#live-reasons")).to_contain_text("NEGATIVE_VALUE")


def test_an_open_day_follows_what_arrives(service: Service, visit: Open):
    said = snapshot("2025-11-29", "08:00:00", 700, 50)
    service.push("health-snapshots", snapshots("dora", "watch", said))
    page = visit(service.address, "/#user=dora&day=2025-11-29")
    expect(page.locator("#day .tiles dd").first).to_have_text("700")
    expect(page.locator("#live .connection")).to_have_text("Connected")
    said = snapshot("2025-11-29", "09:00:00", 900, 60)
    service.push("health-snapshots", snapshots("dora", "watch", said))
    expect(page.locator("#day .tiles dd").first).to_have_text("900")


def test_ten_thousand_days_are_drawn_as_a_bounded_number_of_nodes(service: Service, visit: Open):
    page = visit(service.address, BOB)
    expect(page.locator("#days-chart svg")).to_be_visible()
    for span in ("90 d", "1 y", "All"):
        page.get_by_label(span).check()
        expect(page.get_by_label(span)).to_be_checked()
        page.wait_for_function("document.querySelector('#days-chart svg')")
        assert svg_nodes(page) < SVG_NODES_MAX
    assert tile(page, "Days with data") == "10,000"


def test_ten_thousand_days_can_be_moved_through(service: Service, visit: Open):
    page = visit(service.address, BOB)
    chart = page.locator("#days-chart")
    expect(chart.locator("svg")).to_be_visible()
    chart.focus()
    chart.press("Home")
    expect(page.locator("#from")).to_have_value("2000-01-01")
    assert values_said(page).startswith("1 Jan 2000, ")
    chart.press("PageDown")
    expect(page.locator("#from")).to_have_value("2000-03-31")
    page.get_by_label("First day shown").focus()
    page.keyboard.press("End")
    expect(page.locator("#to")).to_have_value("2027-05-18")
    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, box["y"] + 100, steps=5)
    page.mouse.up()
    expect(page.locator("#to")).not_to_have_value("2027-05-18")
    expect(page.locator("#day")).to_be_hidden()  # a drag opens no day


def test_dates_without_days_say_where_there_are_some(service: Service, visit: Open):
    page = visit(service.address, f"{ANN}&from=2001-01-01&to=2001-02-01")
    state = page.locator("#days-state")
    expect(state).to_contain_text("No days from 1 Jan 2001 to 1 Feb 2001.")
    expect(state).to_contain_text("There are days from 1 Nov 2025 to 29 Nov 2025.")
    page.get_by_role("button", name="Show all days").click()
    expect(page.locator("#days-chart svg")).to_be_visible()


def test_a_service_that_is_not_ready_says_why(service: Service, visit: Open):
    page = visit(service.address, ANN)

    def not_ready(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "ready": False, "reason": "it rests"})

    page.route("**/v1/status", not_ready)
    page.reload()
    expect(page.locator("#notices")).to_contain_text("The service is not ready")
    expect(page.locator("#notices")).to_contain_text("it rests")


def test_a_problem_is_shown_as_text_with_what_to_do(service: Service, visit: Open):
    page = visit(service.address, BOB)
    title = "<img src=x onerror=alert(1)>"
    page.route("**/days?**", lambda route: route.fulfill(status=500, json={"title": title}))
    page.reload()
    notice = page.locator("#notices .notice")
    expect(notice.locator("strong")).to_have_text(title)
    expect(notice).to_contain_text("the log of the service says more")
    page.unroute_all()
    notice.get_by_role("button", name="Try again").click()
    expect(page.locator("#days-chart svg")).to_be_visible()
    expect(page.locator("#notices .notice")).to_have_count(0)


def test_a_user_is_found_by_the_beginning_of_its_name(service: Service, visit: Open):
    said = snapshot("2025-11-29", "08:00:00", 5, 1)
    many = [snapshots(f"many-{place:02}", "watch", said) for place in range(60)]
    service.push("health-snapshots", *many)
    page = visit(service.address, ANN)
    picker = page.get_by_role("combobox", name="User")
    picker.fill("many-")
    options = page.get_by_role("option")
    expect(options).to_have_count(52)  # what was typed, a page of 50, more
    options.last.click()
    expect(options).to_have_count(61)
    picker.fill("b")
    expect(options).to_have_text(["Show “b”", "bob"])
    picker.fill("no spaces")
    expect(options).to_have_text([re.compile("only letters, digits")])


def test_a_connection_that_was_lost_is_made_again(visit: Open):
    with serving() as service:
        push_ann(service)
        page = visit(service.address, ANN)
        connection = page.locator("#live .connection")
        expect(connection).to_have_text("Connected")
        service.stop()
        expect(connection).to_contain_text("Connection lost. Trying again in")
        service.start()
        expect(connection).to_have_text("Connected", timeout=20_000)
        push_ann(service)
        expect(page.locator("#live-outcomes")).to_contain_text("35 records: 35 accepted")
