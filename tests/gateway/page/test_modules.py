"""The modules of the page by themselves: the stream as text, days and dates."""

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.gateway.page.conftest import Open
from tests.gateway.page.service import Service

STREAM = (
    "retry: 2000\n\n: keep-alive\n\n"
    'event: total\nid: 7\ndata: {"a":\ndata: 1}\n\n'
    "event: outcome\r\ndata:x\r\n\r\n"
    "data: last\n\n"
)
EVENTS = [["total", '{"a":\n1}'], ["outcome", "x"], ["message", "last"]]


@pytest.fixture
def page(service: Service, visit: Open) -> Page:
    return visit(service.address)


def ask(page: Page, module: str, body: str, argument: Any = None) -> Any:
    """What a function with this body gives, with all of a module at hand as `it`."""
    script = f"async (value) => {{ const it = await import('/static/{module}'); {body} }}"
    return page.evaluate(script, argument)


def test_events_come_out_whole_wherever_the_stream_is_cut(page: Page):
    body = """
      const cuts = [...Array(value.length + 1).keys()];
      return cuts.map((cut) => {
        const events = [];
        const take = it.parser(({ name, text }) => events.push([name, text]));
        take(value.slice(0, cut));
        take(value.slice(cut));
        return events;
      });"""
    assert ask(page, "stream.js", body, STREAM) == [EVENTS] * (len(STREAM) + 1)


def test_a_date_is_one_of_the_calendar_or_none(page: Page):
    texts = ["2024-02-29", "2023-02-29", "2025-13-01", "1970-01-02", "2025-1-1", "", None]
    numbers = ask(page, "dates.js", "return value.map(it.numberOf)", texts)
    assert numbers == [19782, None, None, 1, None, None, None]


def test_a_period_holds_each_of_its_days_once(page: Page):
    body = """
      return it.UNITS.map((unit) => {
        const periods = it.periodsOf({ first: 10950, last: 20500 }, unit);
        const isNext = ({ first }, at) => at === 0 || first === periods[at - 1].last + 1;
        const joined = periods.every(isNext);
        return [joined, periods[0].first <= 10950, periods.at(-1).last >= 20500];
      });"""
    assert ask(page, "dates.js", body) == [[True, True, True]] * 5


def test_no_more_bars_are_made_than_there_is_room_for(page: Page):
    body = """
      return [7, 90, 365, 3650, 10000].map((days) => {
        const unit = it.unitFor(days, 120);
        return it.periodsOf({ first: 11000, last: 11000 + days - 1 }, unit).length;
      });"""
    assert all(0 < bars <= 122 for bars in ask(page, "dates.js", body))


def test_a_span_stays_where_there_are_days(page: Page):
    body = """
      const days = { first: 100, last: 199 };
      const span = { first: 120, last: 129 };
      return [
        it.moved(span, -50, days), it.moved(span, 500, days),
        it.zoomed(span, 100, 125, days), it.zoomed(span, 0.1, 125, days),
      ];"""
    assert [[one["first"], one["last"]] for one in ask(page, "dates.js", body)] == [
        [100, 109],
        [190, 199],
        [100, 199],
        [122, 128],
    ]


def test_an_older_revision_never_takes_the_place_of_a_newer(page: Page):
    body = """
      const days = new it.Days("ann");
      const total = (revision) => ({ date: "2025-11-29", revision, devices: {} });
      return [2, 1, 2, 3].map((revision) => days.put(total(revision)));"""
    assert ask(page, "days.js", body) == [True, False, False, True]
