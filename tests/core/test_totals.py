"""Daily totals (DESIGN section 5): what a day comes to, as tables."""

import pytest

from ingest.core.deltas import PARTS, SnapshotRules
from ingest.core.merge import DeviceMerge, DeviceTotal, merged
from ingest.core.records import Day, Event, Snapshot
from ingest.core.totals import (
    NOT_AT_HAND,
    Reread,
    Rules,
    can_fold,
    changes_of,
    counted_with,
    fold,
    is_counted,
    is_same,
    recompute,
    repair,
)
from tests.core.folding import LATER, NOW, reread_of, split
from tests.core.strategies import DATES, NOVEMBER_13

DAY = Day("u1", DATES[0])
HOURS = {NOVEMBER_13 // 60}  # the first hour of the day
MAX, SUM = Rules(), Rules(DeviceMerge("sum"))


def prefer(*sources: str) -> Rules:
    return Rules(DeviceMerge("prefer", sources))


def event(device_id="phone", minute=0, source="MANUAL", **measures) -> Event:
    values = {"steps": None, "calories_out": None, "hr_avg": None, "version": 0, **measures}
    return Event("u1", device_id, source, NOVEMBER_13 + minute, DAY.date, **values)


def snapshot(device_id="phone", at=1, steps=0, calories_out=0, source="MANUAL") -> Snapshot:
    return Snapshot("u1", device_id, source, DAY.date, at, steps, calories_out, None, 0)


def total_of(*records, by=MAX):
    total = recompute(DAY, *split(records), by, NOW)
    assert total is not None
    return total


PHONE, WATCH, BAND = (
    event(steps=5, calories_out=90),
    event("watch", steps=7, calories_out=80),
    (event("band", steps=1, calories_out=10)),
)
FITBIT, GARMIN = PHONE._replace(source="FITBIT"), WATCH._replace(source="GARMIN")
MERGES = [
    ("max per counter", [PHONE, WATCH, BAND], MAX, (7, 90)),
    ("sum", [PHONE, WATCH, BAND], SUM, (13, 180)),
    ("prefer the first", [FITBIT, GARMIN, BAND], prefer("FITBIT", "GARMIN"), (5, 90)),
    ("prefer in its order", [FITBIT, GARMIN, BAND], prefer("GARMIN", "FITBIT"), (7, 80)),
    ("prefer what is there", [FITBIT, BAND], prefer("GARMIN", "FITBIT"), (5, 90)),
    ("prefer none that is there", [FITBIT, GARMIN], prefer("POLAR"), (7, 90)),
    (
        "prefer one that two have",
        [FITBIT, WATCH._replace(source="FITBIT"), BAND],
        prefer("FITBIT"),
        (7, 90),
    ),
    ("prefer, with one device", [PHONE], prefer("GARMIN"), (5, 90)),
    ("sum, with one device", [PHONE], SUM, (5, 90)),
    (
        "prefer by any record of a device",
        [FITBIT, PHONE._replace(minute=NOVEMBER_13 + 1), GARMIN],
        prefer("MANUAL"),
        (10, 180),
    ),
    (
        "prefer by the best of a device's sources",
        [FITBIT, event(minute=1, steps=1, source="GARMIN"), WATCH._replace(source="POLAR")],
        prefer("GARMIN", "POLAR", "FITBIT"),
        (6, 90),
    ),
    (
        "prefer by the snapshots of a device that has any",
        [GARMIN._replace(device_id="phone"), snapshot(steps=3, source="FITBIT"), WATCH],
        prefer("GARMIN"),
        (7, 80),
    ),
]


@pytest.mark.parametrize(
    ("records", "by", "expected"), [row[1:] for row in MERGES], ids=[row[0] for row in MERGES]
)
def test_devices_become_one_day_as_the_merge_says(records, by, expected):
    total = total_of(*records, by=by)
    assert (total.steps, total.calories_out) == expected
    assert len(total.devices) == len({record.device_id for record in records})


@pytest.mark.parametrize(
    ("merge", "expected"),
    [
        (DeviceMerge(), (-2, -1)),
        (DeviceMerge("sum"), (-7, -5)),
        (DeviceMerge("prefer", ("FITBIT",)), (-5, -1)),
    ],
)
def test_negative_devices_merge_without_a_zero_slipping_in(merge, expected):
    devices = {"a": DeviceTotal(-5, -1, "snapshots"), "b": DeviceTotal(-2, -4, "snapshots")}
    assert merged(devices, {"a": {"FITBIT"}, "b": {"GARMIN"}}, merge) == expected


@pytest.mark.parametrize("policy", ["max", "sum", "prefer"])
def test_no_device_merges_to_nothing(policy):
    assert merged({}, {}, DeviceMerge(policy, ("FITBIT",))) == (0, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max", DeviceMerge()),
        ("sum", DeviceMerge("sum")),
        ("prefer:GARMIN", DeviceMerge("prefer", ("GARMIN",))),
        ("prefer:GARMIN, FITBIT,", DeviceMerge("prefer", ("GARMIN", "FITBIT"))),
    ],
)
def test_a_merge_is_named_by_its_setting(text, expected):
    assert DeviceMerge.of(text) == expected


BASES = [
    ([PHONE], "events"),
    ([PHONE, WATCH], "events"),
    ([snapshot(steps=1)], "snapshots"),
    ([snapshot(steps=1), snapshot("watch", steps=2)], "snapshots"),
    ([snapshot(steps=1), PHONE], "snapshots"),
    ([snapshot(steps=1), WATCH], "mixed"),
]


@pytest.mark.parametrize(("records", "basis"), BASES)
def test_the_basis_is_what_the_devices_are_taken_from(records, basis):
    assert total_of(*records).basis == basis


def test_a_device_with_a_snapshot_is_taken_from_snapshots_alone():
    total = total_of(PHONE, snapshot(steps=3, calories_out=4), event(minute=1, steps=900))
    assert total.devices == {"phone": DeviceTotal(3, 4, "snapshots")}
    assert (total.steps, total.events_count, total.snapshots_count) == (3, 2, 1)


HEART_RATES = [
    ([610_000], 610_000),
    ([610_000, 610_001], 610_000),
    ([610_001, 610_002], 610_002),
    ([610_000, 610_000, 610_001], 610_000),
    ([], None),
]


@pytest.mark.parametrize(("rates", "expected"), HEART_RATES)
def test_the_heart_rate_of_a_day_is_the_mean_of_all_its_events_half_even(rates, expected):
    devices = ["phone", "watch", "band"]
    events = [event(device, hr_avg=rate) for device, rate in zip(devices, rates, strict=False)]
    assert total_of(*events, event("other", steps=1)).hr_avg == expected


def test_the_heart_rate_comes_from_events_even_where_the_steps_do_not():
    total = total_of(event(hr_avg=610_000), snapshot()._replace(hr_avg_session=990_000))
    assert (total.hr_avg, total.steps, total.basis) == (610_000, 0, "snapshots")


def test_a_day_of_heart_rates_alone_has_no_steps():
    total = total_of(event(hr_avg=610_000))
    assert (total.steps, total.calories_out, total.basis) == (0, 0, "events")


def test_resets_of_all_devices_are_counted():
    chains = [
        snapshot(device, at, steps)
        for device in ("phone", "watch")
        for at, steps in enumerate((9, 3, 1), 1)
    ]
    assert (total_of(*chains).resets, total_of(*chains).steps) == (4, 13)


def test_an_authoritative_day_may_fall_and_never_below_zero():
    by = Rules(snapshots=SnapshotRules(authoritative=frozenset({"MANUAL"})))
    total = total_of(snapshot(at=1, steps=50), snapshot(at=2, steps=0), by=by)
    assert (total.steps, total.resets) == (0, 0)


def test_nothing_has_no_total():
    assert recompute(DAY, [], [], MAX, NOW) is None
    assert repair(None, DAY, reread_of([], DAY, {1}, has_snapshots=True), MAX, NOW) is None
    assert changes_of([], []) == {}


CAN_FOLD = [
    ([PHONE], [event(minute=-500, steps=1)], True),
    ([PHONE], [snapshot(at=9)], True),
    ([snapshot(at=5, steps=1)], [PHONE], True),
    ([snapshot(at=5, steps=1)], [snapshot(at=6)], True),
    ([snapshot(at=5, steps=1)], [snapshot(at=4)], False),
    ([snapshot(at=5, steps=1)], [snapshot(at=7), snapshot(at=4)], False),
    ([snapshot(at=5, steps=1)], [snapshot("watch", at=4)], True),
    ([snapshot(at=5, steps=1)], [snapshot("watch", at=4), snapshot(at=4)], False),
    ([snapshot(at=4, steps=1), snapshot(at=5)], [snapshot(at=6)], False),  # a zero, unsettled
    ([snapshot(at=4, steps=1), snapshot(at=5)], [PHONE], True),
]


@pytest.mark.parametrize(("known", "new", "expected"), CAN_FOLD)
def test_a_change_can_be_folded_where_no_chain_grows_but_at_its_end(known, new, expected):
    assert can_fold(total_of(*known), changes_of(*split(new))[DAY]) is expected


@pytest.mark.parametrize("new", [new for _, new, _ in CAN_FOLD])
def test_where_the_snapshots_are_at_hand_a_chain_may_grow_anywhere(new):
    known = [snapshot(at=5, steps=1)]
    counted = counted_with(NOT_AT_HAND, changes_of([], known)[DAY])
    change = changes_of(*split(new))[DAY]
    assert can_fold(total_of(*known), change, counted)
    total = fold(total_of(*known), change, MAX, NOW, counted)
    assert is_same(total, total_of(*known, *new))


@pytest.mark.parametrize("authoritative", ["MANUAL", "GARMIN"])
def test_but_not_where_a_source_sets_the_day(authoritative):
    known = [snapshot(at=5, steps=1)]
    counted = counted_with(NOT_AT_HAND, changes_of([], known)[DAY])
    late = changes_of([], [snapshot(at=4, source="GARMIN")])[DAY]
    by = SnapshotRules(authoritative=frozenset({authoritative}))
    assert not can_fold(total_of(*known), late, counted, by)


def test_a_snapshot_is_counted_as_it_is():
    counted = counted_with(NOT_AT_HAND, changes_of([], [snapshot(at=5, steps=1)])[DAY])
    assert is_counted(counted, snapshot(at=5, steps=1))
    assert not is_counted(counted, snapshot(at=5, steps=2))
    assert not is_counted(counted, snapshot(at=6, steps=1))
    assert not is_counted(counted, snapshot("watch", at=5, steps=1))
    assert not is_counted(NOT_AT_HAND, snapshot(at=5, steps=1))


def test_folding_counts_the_revision_up_and_leaves_the_known_total_alone():
    known = total_of(PHONE)._replace(revision=4)
    before = repr(known)
    total = fold(known, changes_of([event(minute=1, steps=2)], [])[DAY], MAX, LATER)
    assert (total.revision, total.updated_at, total.steps) == (5, LATER, 7)
    assert repr(known) == before


def test_a_repaired_total_is_the_next_revision_and_the_first_is_one():
    log = [PHONE, snapshot(steps=3)]
    first = repair(None, DAY, reread_of(log, DAY, HOURS, has_snapshots=True), MAX, NOW)
    assert (first.revision, first.updated_at, first.steps) == (1, NOW, 3)
    second = repair(first, DAY, reread_of([PHONE], DAY, HOURS, has_snapshots=True), MAX, LATER)
    assert (second.revision, second.updated_at, second.steps) == (2, LATER, 5)


def test_a_day_whose_last_record_went_away_keeps_a_total_of_nothing():
    known = total_of(PHONE, WATCH, snapshot("band", steps=3))._replace(revision=7)
    nothing = reread_of([], DAY, HOURS, has_snapshots=True)
    empty = repair(known, DAY, nothing, SUM, LATER)
    assert (empty.revision, empty.steps, empty.calories_out, empty.hr_avg) == (8, 0, 0, None)
    assert (empty.devices, empty.state, empty.basis) == ({}, {}, "events")
    assert (empty.events_count, empty.snapshots_count) == (0, 0)
    assert is_same(empty, None)
    assert repair(empty, DAY, nothing, SUM, NOW) is empty


def test_what_was_not_read_again_stays():
    known = total_of(PHONE, event(minute=60, steps=40), snapshot("watch", steps=3))
    total = repair(known, DAY, reread_of([], DAY, HOURS, has_snapshots=False), MAX, NOW)
    assert (total.events_count, total.devices["phone"].steps, total.snapshots_count) == (1, 40, 1)
    assert total.devices["watch"] == DeviceTotal(3, 0, "snapshots")


def test_only_the_hours_that_were_read_are_taken_from_what_was_found():
    found = changes_of([PHONE._replace(steps=6), event(minute=60, steps=40), WATCH], [snapshot()])
    total = repair(total_of(PHONE), DAY, Reread(HOURS, False, found[DAY]), SUM, NOW)
    assert is_same(total, total_of(PHONE._replace(steps=6), WATCH, by=SUM))
    assert repair(None, DAY, Reread({1}, False, found[DAY]), SUM, NOW) is None


def test_totals_are_the_same_whatever_their_revision_and_time():
    total = total_of(PHONE)
    assert is_same(total, total._replace(revision=9, updated_at=LATER))
    assert is_same(None, None)
    assert not is_same(total, None)
    assert not is_same(None, total)


OTHERS = [
    *([PHONE._replace(**change)] for change in ({"steps": 6}, {"calories_out": 1}, {"hr_avg": 1})),
    [PHONE._replace(source="FITBIT")],
    [PHONE._replace(minute=NOVEMBER_13 + 60)],
    [PHONE._replace(device_id="watch")],
    [PHONE, event(minute=1, steps=0)],
    [PHONE, snapshot(steps=5, calories_out=90)],
]


@pytest.mark.parametrize("records", OTHERS)
def test_totals_of_other_records_are_not_the_same(records):
    assert not is_same(total_of(PHONE), total_of(*records))


def test_a_tolerance_is_part_of_the_rules():
    fall = [snapshot(at=1, steps=100), snapshot(at=2, steps=95)]
    by = Rules(snapshots=SnapshotRules(reset_tolerance=PARTS // 10))
    assert (total_of(*fall).steps, total_of(*fall, by=by).steps) == (195, 95)
