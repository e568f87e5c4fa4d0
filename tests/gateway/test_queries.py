"""What the routes answer, against what the core says of the same records."""

import asyncio
from datetime import datetime

import orjson
import pytest
from pydantic import TypeAdapter

from ingest.archive_lines import line_of
from ingest.core.documents import delta_document, event_document, total_message
from ingest.core.records import Day
from ingest.core.timestamps import FIRST_DATE, LAST_DATE
from ingest.core.totals import Rules
from ingest.errors import StoreUnavailable
from ingest.gateway import answers
from ingest.ports import Store
from ingest.replay import deltas_between
from tests.fakes import PortThrough
from tests.gateway.asgi import asked, connected, service_on
from tests.stores.contents import DATE, DATE_BEFORE, MOVED, event, fill, rows_of


@pytest.fixture
async def filled(store):
    await fill(store)


pytestmark = pytest.mark.usefixtures("filled")


def fits(form, answer):
    """What a good answer says; it must be of the documented form."""
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    TypeAdapter(form).validate_json(answer.body, strict=True)
    return answer.json


def as_sent(content):
    return orjson.loads(orjson.dumps(content))


async def test_days_are_the_totals_of_a_user(service, store):
    totals = await store.totals.totals_between("u1", FIRST_DATE, LAST_DATE)
    said = fits(answers.Days, await asked(service, "/v1/users/u1/days"))
    assert said == as_sent(
        {"user_id": "u1", "days": [total_message(total) for total in totals], "next": None}
    )
    assert len(said["days"]) == 3


@pytest.mark.parametrize(
    ("bounds", "places"),
    [
        ({"from_": DATE}, slice(1, 3)),
        ({"to": DATE}, slice(0, 2)),
        ({"from_": DATE, "to": DATE}, slice(1, 2)),
        ({"from_": FIRST_DATE, "to": LAST_DATE}, slice(0, 3)),
        ({"from_": "2025-11-15"}, slice(0, 0)),
        ({"from_": LAST_DATE, "to": FIRST_DATE}, slice(0, 0)),
    ],
)
async def test_days_and_events_can_be_bounded_by_dates_that_count(service, store, bounds, places):
    everything = (await asked(service, "/v1/users/u1/days")).json["days"]
    assert (await asked(service, "/v1/users/u1/days", **bounds)).json["days"] == everything[places]
    first = bounds.get("from_", FIRST_DATE)
    last = bounds.get("to", LAST_DATE)
    events = (await asked(service, "/v1/users/u1/events")).json["events"]
    own = [event for event in events if first <= event["ts"][:10] <= last]
    assert (await asked(service, "/v1/users/u1/events", **bounds)).json["events"] == own


async def test_a_day_is_its_total_its_deltas_and_its_hours(service, store):
    day = Day("u1", DATE)
    said = fits(answers.OneDay, await asked(service, f"/v1/users/u1/days/{DATE}"))
    total = (await store.totals.load([day]))[day]
    assert said["total"] == as_sent(total_message(total))
    deltas = await deltas_between(store.log, "u1", DATE, DATE, Rules().snapshots)
    assert said["deltas"] == as_sent([delta_document(delta) for delta in deltas])
    assert len(said["deltas"]) == 6
    hours = {
        (f"{hour}", device_id, sums.events, sums.steps, sums.calories_out)
        for device_id, device in total.state.items()
        for hour, sums in device.hours.items()
    }
    assert {
        (str(_epoch_hour(h["hour"])), h["device_id"], h["events"], h["steps"], _units(h))
        for h in said["hours"]
    } == hours
    places = [(hour["hour"], hour["device_id"]) for hour in said["hours"]]
    assert places == sorted(places)
    assert places[0] == ("2025-11-13T00:00:00Z", "a.b:c")


async def test_an_hour_shows_the_mean_heart_rate_and_null_where_there_was_none(service):
    hours = (await asked(service, f"/v1/users/u1/days/{DATE}")).json["hours"]
    assert [(h["hour"][11:13], h["device_id"], h["hr_avg"]) for h in hours] == [
        ("00", "a.b:c", 61.0),
        ("00", "phone", 61.0),
        ("01", "phone", 61.0),
    ]


async def test_events_are_those_of_the_log(service, store):
    said = fits(answers.Events, await asked(service, "/v1/users/u1/events"))
    events = await store.log.events_between("u1", 0, 10**8 - 1)
    assert said == as_sent({"events": [event_document(event) for event in events], "next": None})
    assert len(said["events"]) == 8


async def test_an_export_is_the_lines_of_an_export_that_are_a_users(service, store):
    answer = await asked(service, "/v1/users/u1/export")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-ndjson")
    own = [
        line_of(collection, row)
        for collection, rows in (await rows_of(store)).items()
        for row in rows
        if _owner(row) == "u1"
    ]
    assert answer.body == b"".join(own)
    assert len(own) == 8 + 7 + 3 + 2


async def test_an_export_reads_no_further_than_its_reader(store):
    pages = 0

    class Long(PortThrough):
        async def scan_events(self, scope):
            nonlocal pages
            for pages in range(1, 101):
                yield [event(pages)]

    service = service_on(store._replace(log=Long(store.log, None)))
    async with connected(service, "/v1/users/u1/export", room=3) as live:
        assert (await live.message())["status"] == 200
        for _ in range(5):
            assert (await live.message())["body"].count(b"\n") == 1
        await asyncio.sleep(0.01)
        assert pages <= 5 + 3 + 2
    assert pages < 20


async def test_a_user_that_is_not_there_has_nothing(service):
    assert (await asked(service, "/v1/users/u/days", from_="2030-01-01")).json["days"] == []
    assert (await asked(service, "/v1/users/nobody/days")).json["days"] == []
    assert (await asked(service, "/v1/users/nobody/events")).json == {"events": [], "next": None}
    assert (await asked(service, "/v1/users/nobody/export")).body == b""


async def test_erasing_takes_all_of_a_user_and_nothing_else_and_twice_nothing(service, store):
    before = await rows_of(store)
    counts = fits(answers.Erased, await asked(service, "/v1/users/u1", "DELETE"))
    assert counts == {
        "activity_events": 8,
        "health_snapshots": 7,
        "daily_totals": 3,
        "idempotency_keys": 2,
    }
    assert await rows_of(store) == {
        name: [row for row in rows if _owner(row) != "u1"] for name, rows in before.items()
    }
    again = await asked(service, "/v1/users/u1", "DELETE")
    assert set(again.json.values()) == {0}


async def test_erasing_deletes_the_totals_from_their_topic_where_there_is_one(store):
    class Topics:
        deleted: list[Day] = []  # noqa: RUF012 - one object, one test

        async def delete_totals(self, days):
            self.deleted += days

    service = service_on(store, topics=Topics())
    answer = await asked(service, "/v1/users/u1", "DELETE")
    assert fits(answers.Erased, answer)["tombstones"] == 3
    assert len(set(Topics.deleted)) == 3


async def test_a_day_without_records_is_not_there(service):
    for path in (
        f"/v1/users/nobody/days/{DATE}",
        "/v1/users/u1/days/2025-01-01",
        f"/v1/users/{MOVED.user_id}/days/{MOVED.date}",  # a total of nothing
    ):
        answer = await asked(service, path)
        assert (answer.status, answer.json["code"]) == (404, "NO_SUCH_DAY")
        assert "nobody" not in answer.body.decode()
    days = (await asked(service, f"/v1/users/{MOVED.user_id}/days")).json["days"]
    assert [day["date"] for day in days] == [DATE]
    assert MOVED.date == DATE_BEFORE


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/v1/users/u1/days", {"from_": "2025-02-30"}, "from"),
        ("/v1/users/u1/days", {"to": "yesterday"}, "to"),
        ("/v1/users/u1/days", {"to": "1700000000"}, "to"),
        ("/v1/users/u1/days", {"from_": "0000-01-01"}, "from"),
        ("/v1/users/u1/events", {"from_": "2025-11-13T00:00:00Z"}, "from"),
        ("/v1/users/u1/events", {"from_": "２０２５-11-13"}, "from"),  # noqa: RUF001 - not ASCII
        ("/v1/users/u1/days/2025-13-01", {}, "date"),
        ("/v1/users/u1/days", {"limit": 0}, "limit"),
        ("/v1/users/u1/days", {"limit": 10_001}, "limit"),
        ("/v1/users/u1/events", {"limit": "many"}, "limit"),
        ("/v1/users", {"limit": 1_001}, "limit"),
        ("/v1/users", {"after": "a|b"}, "after"),
        ("/v1/users/a|b/days", {}, "user_id"),
        ("/v1/users/" + "a" * 129 + "/export", {}, "user_id"),
    ],
)
async def test_a_bad_parameter_is_named_and_its_value_is_not(service, path, query, field):
    answer = await asked(service, path, **query)
    assert answer.status == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["detail"].startswith(f"{field}: ")
    for value in query.values():
        assert str(value) not in answer.json["detail"].split() or value in (0, 10_001, 1_001)
    assert "a|b" not in answer.body.decode()


@pytest.mark.parametrize(
    "path", ["/v1/users", "/v1/users/u1/days", "/v1/users/u1/events", "/v1/users/u1/export"]
)
async def test_a_store_that_is_away_is_told_before_the_answer_begins(store, path):
    class Away(PortThrough):
        async def scan(self, scope):
            raise StoreUnavailable("the server is away")
            yield

        scan_events = scan

    service = service_on(Store(*(Away(port, None) for port in store)))
    answer = await asked(service, path)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert answer.json["code"] == "STORE_UNAVAILABLE"


def _epoch_hour(text):
    return int(datetime.fromisoformat(text).timestamp()) // 3600


def _units(hour):
    return round(hour["calories_out"] * 10_000)


def _owner(row):
    for part in ("day", "ref"):
        row = getattr(row, part, row)
    return row.user_id
