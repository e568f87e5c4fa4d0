"""Pages: all of them together are the whole, and a tag changes with what it stands for."""

import base64

import pytest

from ingest.core.documents import event_document
from ingest.core.records import Day, event_id
from ingest.core.timestamps import neighbouring_dates
from ingest.core.totals import DailyTotal
from ingest.gateway.pages import users_behind
from ingest.ports import Scope
from tests.batches import sent
from tests.core.strategies import NOVEMBER_13
from tests.gateway.asgi import asked
from tests.stores.contents import DATE, event, run
from tests.stores.test_contract_totals import total_of

NASTY = ("u1", "u1-", "u10", "u1.x", "u2")  # `-` and `.` sort before `|`, which ends an id
EVENTS_PATH = "/v1/users/u1/events"


async def all_of(service, path, name, **query):
    """Every row, and the sizes of the pages."""
    answer = (await asked(service, path, **query)).json
    rows, sizes = answer[name], [len(answer[name])]
    while answer["next"] is not None:
        answer = (await asked(service, path, **query, cursor=answer["next"])).json
        rows += answer[name]
        sizes.append(len(answer[name]))
    return rows, sizes


def minute_of(number):
    minute = NOVEMBER_13 - number
    return event(-number, date=neighbouring_dates(minute)[1])


async def test_events_page_by_page_are_all_of_them(service, store):
    rows = [minute_of(n) for n in range(2_400)]
    rows += [row._replace(device_id="watch") for row in rows[:100]]
    await store.log.append_events(rows)
    await store.log.append_events([event(1, user_id=user_id) for user_id in NASTY[1:]])
    whole, sizes = await all_of(service, EVENTS_PATH, "events", limit=10_000)
    assert sizes == [2_500]
    assert whole == [event_document(row) for row in sorted(rows, key=event_id)]
    assert await all_of(service, EVENTS_PATH, "events", limit=300) == (whole, [300] * 8 + [100])
    assert await all_of(service, EVENTS_PATH, "events", limit=1250) == (whole, [1250, 1250])
    some = {"from_": "2025-11-12", "to": "2025-11-12"}
    day = [row for row in whole if row["ts"][:10] == "2025-11-12"]
    assert await all_of(service, EVENTS_PATH, "events", limit=700, **some) == (
        day,
        [700, 700, len(day) - 1_400],
    )


async def test_a_page_reads_no_more_rows_than_one_behind_it(store):
    await store.log.append_events([minute_of(n) for n in range(500)])
    scan = store.log.scan_events(Scope("u1", limit=11))
    assert sum([len(rows) async for rows in scan]) == 11


async def test_days_page_by_page_are_all_of_them(service, store):
    dates = [f"2025-{month:02}-{day:02}" for month in (1, 2) for day in range(1, 29)]
    await store.totals.restore([total_of(Day("u1", date)) for date in dates])
    whole, sizes = await all_of(service, "/v1/users/u1/days", "days")
    assert ([day["date"] for day in whole], sizes) == (dates, [56])
    for limit in (1, 7, 55, 56, 57):
        rows, _ = await all_of(service, "/v1/users/u1/days", "days", limit=limit)
        assert rows == whole
    some, _ = await all_of(
        service, "/v1/users/u1/days", "days", limit=2, from_="2025-01-10", to="2025-02-03"
    )
    assert [day["date"] for day in some] == [d for d in dates if "2025-01-10" <= d <= "2025-02-03"]


@pytest.mark.parametrize("path", [EVENTS_PATH, "/v1/users/u1/days"])
async def test_a_forged_cursor_is_refused(service, store, path):
    await run(
        store, sent(event(1), event(2)), sent(event(1, user_id="u10"), event(2, user_id="u10"))
    )
    other = (await asked(service, "/v1/users/u10/events", limit=1)).json["next"]
    texts = ["u1|x", "u1", "|", "u1|2025-11-13|", "u1|00000001|", "u1|1|phone", "u2|2025-11-13"]
    forged = [base64.urlsafe_b64encode(text.encode()).decode().rstrip("=") for text in texts]
    for cursor in ("", "!", "é", "AAAA", "/+/+", "x" * 401, other, *forged):
        answer = await asked(service, path, cursor=cursor)
        assert answer.status == 422, cursor
        assert answer.json["detail"].startswith("cursor: ")


async def test_a_day_that_did_not_change_is_not_sent_again(service, store):
    await run(store, sent(event(1)))
    for path in (f"/v1/users/u1/days/{DATE}", "/v1/users/u1/days"):
        etag = (await asked(service, path)).headers["etag"]
        for told in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            same = await asked(service, path, headers={"If-None-Match": told})
            assert (same.status, same.body, same.headers["etag"]) == (304, b"", etag)
        other = await asked(service, path, headers={"If-None-Match": '"other"'})
        assert (other.status, other.headers["etag"]) == (200, etag)


@pytest.mark.parametrize("path", [f"/v1/users/u1/days/{DATE}", "/v1/users/u1/days"])
async def test_a_tag_changes_with_a_revision(service, store, path):
    await run(store, sent(event(1)))
    before = (await asked(service, path)).headers["etag"]
    await run(store, sent(event(1)))  # a duplicate
    assert (await asked(service, path)).headers["etag"] == before
    await run(store, sent(event(2)))
    changed = await asked(service, path, headers={"If-None-Match": before})
    assert changed.status == 200
    assert changed.headers["etag"] != before


async def test_the_tag_of_a_day_begins_with_its_revision(service, store):
    await run(store, sent(event(1)))
    await run(store, sent(event(2)))
    assert (await asked(service, f"/v1/users/u1/days/{DATE}")).headers["etag"].startswith('"r2')


async def test_a_page_has_another_tag_once_it_has_a_page_behind_it(service, store):
    await store.totals.restore([total_of(Day("u1", "2025-01-01"))])
    before = (await asked(service, "/v1/users/u1/days", limit=1)).headers["etag"]
    await store.totals.restore([total_of(Day("u1", "2025-01-02"))])
    after = await asked(service, "/v1/users/u1/days", limit=1, headers={"If-None-Match": before})
    assert after.status == 200
    assert after.json["next"] is not None


def totals_of_users(user_ids, days) -> list[DailyTotal]:
    return [
        total_of(Day(user_id, f"2025-01-{day:02}"))
        for user_id in user_ids
        for day in range(1, days)
    ]


async def users_page_by_page(service, limit):
    users, after = [], {}
    while True:
        answer = (await asked(service, "/v1/users", limit=limit, **after)).json
        users += answer["users"]
        if answer["next"] is None:
            return users
        assert len(answer["users"]) == limit
        after = {"after": answer["next"]}


async def test_users_are_listed_in_order_page_by_page_whatever_their_ids(service, store):
    plain = [f"u1{n}" for n in range(3, 98)] + [f"u1.x{n}" for n in range(100)]
    users = [*NASTY, *plain, *(f"u1-{n:03}" for n in range(100))]
    assert len(set(users)) == 300
    await store.totals.restore(totals_of_users(users[5:], 3) + totals_of_users(NASTY, 20))
    ordered = sorted(users, key="{}|".format)
    assert ordered != sorted(users)
    assert (await asked(service, "/v1/users", limit=1_000)).json == {"users": ordered, "next": None}
    assert (await asked(service, "/v1/users")).json["users"] == ordered[:100]
    for limit in (7, 100, 299, 300):
        assert await users_page_by_page(service, limit) == ordered


async def test_users_behind_one_that_is_not_there_or_is_gone(service, store):
    await store.totals.restore(totals_of_users(NASTY, 3))
    for after, expected in (
        ("u1", ["u2"]),
        ("u1-", ["u1.x", "u10", "u1"]),
        ("u10", ["u1", "u2"]),
        ("u1-5", ["u1-", "u1.x", "u10", "u1", "u2"]),
        ("zz", []),
    ):
        users = (await asked(service, "/v1/users", after=after)).json["users"]
        assert users == [*expected, *(["u2"] if after == "u1-" else [])]


async def test_a_prefix_shows_no_other_users_and_no_sign_of_them(store):
    await store.totals.restore(totals_of_users([*NASTY, "a", "z"], 12))
    ordered = ["u1-", "u1.x", "u10", "u1"]
    assert await users_behind(store.totals, None, "u1", 100) == (ordered, None)
    assert await users_behind(store.totals, None, "u1", 4) == (ordered, None)
    assert await users_behind(store.totals, None, "u1", 3) == (ordered[:3], "u10")
    assert await users_behind(store.totals, "u10", "u1", 3) == (["u1"], None)
    assert await users_behind(store.totals, "a", "u1", 1) == (["u1-"], "u1-")
    assert await users_behind(store.totals, "z", "u1", 9) == ([], None)
    assert await users_behind(store.totals, None, "b", 9) == ([], None)


async def test_a_user_with_many_days_costs_one_small_read(store):
    users = [f"u{n}" for n in range(10)]
    await store.totals.restore(totals_of_users(users, 29))
    reads = []

    class Counting:
        def scan(self, scope):
            reads.append(scope.limit)
            return store.totals.scan(scope)

    assert await users_behind(Counting(), None, "", 5) == (users[:5], "u4")
    assert len(reads) == 6
    assert sum(reads) < 50
