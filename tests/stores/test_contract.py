"""What every store's log keeps: append, correct, read (the contract in `ports.py`)."""

from itertools import permutations

import pytest

from ingest.core.records import Day, Event, Kind, Snapshot, event_id, snapshot_id
from ingest.ports import Scope
from tests.core.strategies import NOVEMBER_13

EVENT = Event("u1", "phone", "FITBIT", NOVEMBER_13, "2025-11-13", 12, 35_001, 610_001, 0)
SNAPSHOT = Snapshot(
    "u1", "phone", "FITBIT", "2025-11-13", 1_763_028_000_001, 100, 35_001, 610_001, 0
)
LONGEST = "Az09._:@-" * 14 + "zz"  # 128 characters, every one that an id may hold


def event(minute: int = 0, **changes) -> Event:
    return EVENT._replace(minute=NOVEMBER_13 + minute, **changes)


def snapshot(second: int = 0, **changes) -> Snapshot:
    return SNAPSHOT._replace(timestamp_ms=SNAPSHOT.timestamp_ms + second * 1000, **changes)


class Events:
    """What the contracts of both kinds of record need of events."""

    row, measure, id_of = staticmethod(event), "steps", staticmethod(event_id)

    def __init__(self, store):
        self.append, self.correct = store.log.append_events, store.log.correct_events
        self.scan, self._log = store.log.scan_events, store.log

    async def stored(self, user_id="u1"):
        return [*await self._log.events_between(user_id, 0, 99_999_999)]

    async def scanned(self, scope=Scope()):  # noqa: B008 - a value that cannot change
        return [row async for page in self.scan(scope) for row in page]


class Snapshots:
    """The same of snapshots."""

    row, measure = staticmethod(snapshot), "steps_total"
    id_of = staticmethod(snapshot_id)

    def __init__(self, store):
        self.append, self.correct = store.log.append_snapshots, store.log.correct_snapshots
        self.scan, self._log = store.log.scan_snapshots, store.log

    async def stored(self, user_id="u1"):
        return [*await self._log.snapshots_between(user_id, "0000-00-00", "9999-99-99")]

    async def scanned(self, scope=Scope()):  # noqa: B008 - as above
        return [row async for page in self.scan(scope) for row in page]


@pytest.fixture(params=[Events, Snapshots], ids=["events", "snapshots"])
def log(request, store):
    return request.param(store)


def again(row):
    """The same record as another object, as a redelivered message brings it."""
    return row._replace()


async def test_appending_what_is_new_tells_of_nobody_and_stores_it(log):
    rows = [log.row(n) for n in range(3)]
    assert await log.append(rows) == {}
    assert await log.stored() == rows


async def test_appending_twice_tells_of_every_row_and_changes_nothing(log):
    rows = [log.row(n) for n in range(3)]
    await log.append(rows)
    assert await log.append([again(row) for row in rows]) == dict(enumerate(rows))
    assert await log.stored() == rows


async def test_appending_the_very_same_objects_twice_tells_of_every_row(log):
    rows = [log.row(n) for n in range(3)]
    await log.append(rows)
    assert await log.append(rows) == dict(enumerate(rows))


async def test_one_object_twice_in_a_call_is_inserted_once(log):
    row = log.row()
    assert [*(await log.append([row, row])).values()] == [row]
    assert await log.stored() == [row]


@pytest.mark.parametrize("places", [(0,), (2,), (4,), (0, 4), (1, 2), (0, 2, 4)])
async def test_append_tells_who_was_there_by_place_with_the_stored_row(log, places):
    there = {place: log.row(place, **{log.measure: 77}) for place in places}
    await log.append([*there.values()])
    rows = [log.row(place) for place in range(5)]
    assert await log.append(rows) == there
    assert await log.stored() == [there.get(place, row) for place, row in enumerate(rows)]


async def test_of_two_of_one_identity_in_a_call_one_is_stored_and_the_other_told_of(log):
    first, second = log.row(1), log.row(1, **{log.measure: 77})
    known = await log.append([log.row(0), first, log.row(2), second])
    (stored,) = [row for row in await log.stored() if row in (first, second)]
    assert known == {3 if stored == first else 1: stored}


@pytest.mark.parametrize("version", [0, 1])
async def test_an_append_never_changes_what_is_stored_whatever_its_version(log, version):
    await log.append([log.row(version=1)])
    other = log.row(version=version + 1, source="GARMIN", **{log.measure: 77})
    assert await log.append([other]) == {0: log.row(version=1)}
    assert await log.stored() == [log.row(version=1)]


@pytest.mark.parametrize(
    ("own", "others"),
    [
        ({"user_id": "u1"}, {"user_id": "u10"}),
        ({"user_id": "u1"}, {"user_id": "u1-"}),
        ({"device_id": "phone"}, {"device_id": "phone2"}),
        ({"device_id": "phone"}, {"device_id": "Phone"}),
    ],
)
async def test_another_user_or_device_is_another_record(log, own, others):
    assert await log.append([log.row(**own)]) == {}
    assert await log.append([log.row(**others)]) == {}
    assert log.row(**own) in await log.stored(own.get("user_id", "u1"))
    assert log.row(**others) in await log.stored(others.get("user_id", "u1"))


async def test_one_users_records_are_no_other_users(log):
    users = ["u", "u1", "u1.", "u1-", "u10", "U1"]
    await log.append([log.row(user_id=user_id) for user_id in users])
    for user_id in users:
        assert await log.stored(user_id) == [log.row(user_id=user_id)]
    assert await log.stored("u2") == []


async def test_the_longest_ids_of_every_allowed_character_come_back(log):
    row = log.row(user_id=LONGEST, device_id=LONGEST[::-1], source="A_9" * 21 + "Z")
    assert await log.append([row]) == {}
    assert await log.append([again(row)]) == {0: row}
    assert await log.stored(LONGEST) == [row]


async def test_the_source_is_no_part_of_the_identity(log):
    await log.append([log.row()])
    assert await log.append([log.row(source="GARMIN")]) == {0: log.row()}


@pytest.mark.parametrize("steps", [None, 0, 10_000])
@pytest.mark.parametrize("calories_out", [None, 0, 1, 1_000_000_000])
@pytest.mark.parametrize("hr_avg", [None, 250_000, 2_399_999])
async def test_events_come_back_as_they_were_measured(store, steps, calories_out, hr_avg):
    row = event(steps=steps, calories_out=calories_out, hr_avg=hr_avg, version=2**53 - 1)
    await store.log.append_events([row])
    assert await store.log.events_between("u1", 0, 99_999_999) == [row]
    assert await store.log.append_events([again(row)]) == {0: row}


@pytest.mark.parametrize("calories_out_total", [0, 1, 12_345_678, 999_999_999])
@pytest.mark.parametrize("hr_avg_session", [None, 250_000, 2_399_999])
async def test_snapshots_come_back_as_they_were_measured(store, calories_out_total, hr_avg_session):
    row = snapshot(
        steps_total=1_000_000, calories_out_total=calories_out_total, hr_avg_session=hr_avg_session
    )
    await store.log.append_snapshots([row])
    assert await store.log.snapshots_between("u1", row.date, row.date) == [row]
    assert await store.log.append_snapshots([again(row)]) == {0: row}


async def test_snapshots_a_millisecond_or_a_date_apart_are_two(store):
    rows = [snapshot(), SNAPSHOT._replace(timestamp_ms=SNAPSHOT.timestamp_ms + 1)]
    rows.append(snapshot(date="2025-11-14"))
    assert await store.log.append_snapshots(rows) == {}
    assert await store.log.snapshots_between("u1", "2025-11-13", "2025-11-14") == rows


@pytest.mark.parametrize("version", [0, 1, 2, 3])
async def test_a_correction_replaces_only_a_lower_version_and_twice_changes_nothing(log, version):
    await log.append([log.row(0, version=1), log.row(1, version=1)])
    correction = log.row(0, version=version, source="GARMIN", **{log.measure: 77})
    expected = [correction if version > 1 else log.row(0, version=1), log.row(1, version=1)]
    for _ in range(2):
        await log.correct([correction])
        assert await log.stored() == expected


@pytest.mark.parametrize("versions", [*permutations((1, 2, 3))])
async def test_of_corrections_of_one_record_in_a_call_the_highest_version_stays(log, versions):
    await log.append([log.row()])
    await log.correct([log.row(version=v, **{log.measure: v}) for v in versions])
    assert await log.stored() == [log.row(version=3, **{log.measure: 3})]


async def test_correcting_what_is_not_there_stores_nothing(store, log):
    await log.correct([log.row(version=1)])
    assert await log.stored() == []
    assert await log.scanned() == []


async def test_a_corrected_record_is_what_the_next_append_tells_of(log):
    await log.append([log.row()])
    correction = log.row(version=1, **{log.measure: 77})
    await log.correct([correction])
    assert await log.append([log.row()]) == {0: correction}


async def test_a_correction_can_move_an_event_to_another_date(store):
    await store.log.append_events([event()])
    moved = event(version=1, date="2025-11-12")
    await store.log.correct_events([moved])
    assert await store.log.events_in_hours({("u1", NOVEMBER_13 // 60)}) == [moved]


async def test_the_events_of_an_hour_are_those_of_all_devices_and_dates_and_of_no_other_hour(store):
    within = [
        event(0),
        event(0, device_id="watch", date="2025-11-12"),
        event(59, date="2025-11-14"),
        event(59, device_id="watch"),
        event(-1, date="2025-11-12"),  # the hour before, across the day's boundary in UTC
    ]
    others = [event(60), event(-61), event(0, user_id="u10"), event(-1, user_id="u2")]
    await store.log.append_events([*within, *others])
    hour = NOVEMBER_13 // 60
    found = await store.log.events_in_hours({("u1", hour), ("u1", hour - 1)})
    assert sorted(found) == sorted(within)
    assert await store.log.events_in_hours({("u2", hour - 1)}) == [others[-1]]
    assert await store.log.events_in_hours({("u1", hour + 2), ("u3", hour)}) == []


async def test_events_in_hours_are_counted_by_pair_of_all_devices_and_dates(store):
    moved = event(0, device_id="watch", date="2025-11-12")
    rows = [event(0), moved, event(59), event(60), event(-1), event(0, user_id="u10")]
    await store.log.append_events(rows)
    await store.log.append_events([again(row) for row in rows])
    hour = NOVEMBER_13 // 60
    counts = {("u1", hour): 3, ("u1", hour + 1): 1, ("u1", hour - 1): 1, ("u10", hour): 1}
    counts |= {("u1", hour + 2): 0, ("u3", hour): 0, ("u10", hour + 1): 0}
    assert await store.log.count_in_hours({*counts}) == counts
    assert await store.log.count_in_hours({("u1", hour)}) == {("u1", hour): 3}


async def test_the_snapshots_of_days_are_those_of_all_devices_and_of_no_other_day(store):
    within = [
        snapshot(0),
        snapshot(1),
        snapshot(0, device_id="watch"),
        snapshot(2, date="2025-11-14"),
    ]
    others = [snapshot(0, date="2025-11-12"), snapshot(0, user_id="u10")]
    other_users = snapshot(0, user_id="u2", date="2025-11-14")
    await store.log.append_snapshots([*within, *others, other_users])
    days = {Day("u1", "2025-11-13"), Day("u1", "2025-11-14"), Day("u2", "2025-11-13")}
    assert sorted(await store.log.snapshots_of_days(days)) == sorted(within)
    assert await store.log.snapshots_of_days({Day("u2", "2025-11-14")}) == [other_users]


async def test_events_between_are_those_of_both_bounds_by_minute_then_device(store):
    ordered = [
        event(-1),
        event(0, device_id="Watch"),
        event(0, device_id="phone"),
        event(0, device_id="phone.2"),
        event(61),
        event(1500, date="2025-11-14"),
    ]
    await store.log.append_events(ordered[::-1])
    for first in range(6):
        for last in range(first, 6):
            bounds = ordered[first].minute, ordered[last].minute
            found = [row for row in ordered if bounds[0] <= row.minute <= bounds[1]]
            assert await store.log.events_between("u1", *bounds) == found


async def test_snapshots_between_are_those_of_both_bounds_by_date_then_time_then_device(store):
    ordered = [
        snapshot(9, date="2025-11-12"),
        snapshot(0, device_id="watch"),
        snapshot(1, device_id="phone"),
        snapshot(1, device_id="phone.2"),
        snapshot(0, date="2025-11-14"),
    ]
    await store.log.append_snapshots(ordered[::-1])
    for first in range(5):
        for last in range(first, 5):
            bounds = ordered[first].date, ordered[last].date
            found = [row for row in ordered if bounds[0] <= row.date <= bounds[1]]
            assert await store.log.snapshots_between("u1", *bounds) == found


PREFIXES = ["Z", "a", "u1-", "u1.", "u10", "u1:", "u1@", "u1", "u2-", "u2"]  # as their ids sort


async def test_a_scan_gives_every_record_in_the_order_of_the_ids(log):
    rows = [log.row(n, user_id=user_id) for user_id in PREFIXES for n in (0, 1, 61)]
    rows.insert(1, log.row(0, user_id="Z", device_id="watch"))
    await log.append(rows[::-1])
    assert await log.scanned() == rows


async def test_a_scan_of_one_user_gives_no_other_users(log):
    await log.append([log.row(n, user_id=user_id) for user_id in PREFIXES for n in (0, 1)])
    for user_id in PREFIXES:
        own = [log.row(n, user_id=user_id) for n in (0, 1)]
        assert await log.scanned(Scope(user_id)) == own
    assert await log.scanned(Scope("u")) == []


@pytest.mark.parametrize("user_id", [None, "u10"])
async def test_a_scan_goes_on_behind_any_id(log, user_id):
    rows = [log.row(n, user_id=user) for user in ("u1-", "u10", "u1") for n in (0, 1, 61)]
    await log.append(rows)
    own = [row for row in rows if user_id in (None, row.user_id)]
    for place, row in enumerate(own):
        assert await log.scanned(Scope(user_id, after=log.id_of(row))) == own[place + 1 :]


@pytest.mark.parametrize("user_id", [None, "u10"])
async def test_a_scan_stops_at_its_limit(log, user_id):
    rows = [log.row(n, user_id=user) for user in ("u1-", "u10", "u1") for n in (0, 1, 61)]
    await log.append(rows)
    own = [row for row in rows if user_id in (None, row.user_id)]
    for limit in (1, 2, 3, 4, 9, 100):
        assert await log.scanned(Scope(user_id, limit=limit)) == own[:limit]
        behind = Scope(user_id, after=log.id_of(own[0]), limit=limit)
        assert await log.scanned(behind) == own[1 : limit + 1]


async def test_a_limit_may_be_more_than_a_page(log):
    rows = [log.row(n) for n in range(5_003)]
    await log.append(rows)
    assert await log.scanned(Scope("u1", limit=5_001)) == rows[:5_001]
    assert await log.scanned(Scope("u1", limit=5_000)) == rows[:5_000]


async def test_a_user_may_be_erased_while_all_are_scanned(log, store):
    await log.append([log.row(n, user_id=user) for user in ("u1", "u2") for n in (0, 61)])
    scan = log.scan(Scope())
    assert [row.user_id for row in await anext(scan)][:1] == ["u1"]
    await store.log.erase("u2")
    assert {row.user_id async for page in scan for row in page} <= {"u1", "u2"}


async def test_a_scan_crosses_its_pages_without_losing_or_repeating_a_record(log):
    rows = [log.row(n) for n in range(10_001)]
    await log.append(rows)
    assert await log.scanned() == rows


async def test_both_kinds_are_counted(store):
    assert await store.log.count() == 0
    await store.log.append_events([event(n) for n in range(3)])
    await store.log.append_snapshots([snapshot(n) for n in range(2)])
    assert await store.log.count() == 5


async def test_erasing_a_user_takes_both_kinds_and_nobody_elses_and_twice_nothing(store):
    users = ["u", "u1", "u1-", "u10"]
    events = [event(n, user_id=user_id) for user_id in users for n in range(3)]
    snapshots = [snapshot(n, user_id=user_id) for user_id in users for n in range(2)]
    await store.log.append_events(events)
    await store.log.append_snapshots(snapshots)
    assert await store.log.erase("u1") == {Kind.ACTIVITY: 3, Kind.HEALTH: 2}
    assert await store.log.erase("u1") == {Kind.ACTIVITY: 0, Kind.HEALTH: 0}
    assert await Events(store).scanned() == sorted_by_id(events, event_id, but="u1")
    assert await Snapshots(store).scanned() == sorted_by_id(snapshots, snapshot_id, but="u1")


async def test_what_was_erased_can_be_appended_anew(log, store):
    await log.append([log.row()])
    await store.log.erase("u1")
    assert await log.append([again(log.row())]) == {}


def sorted_by_id(rows, id_of, but):
    return sorted((row for row in rows if row.user_id != but), key=id_of)


async def test_ten_thousand_records_are_appended_in_one_call(log):
    rows = [log.row(n) for n in range(10_000)]
    assert await log.append(rows[5_000:5_001]) == {}
    assert await log.append([again(row) for row in rows]) == {5_000: rows[5_000]}
    assert await log.append([again(row) for row in rows]) == dict(enumerate(rows))
    assert await log.stored() == rows
