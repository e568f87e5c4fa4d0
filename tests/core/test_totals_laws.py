"""Totals are a function of the set of records: any order, any batches, any repair (DESIGN P2)."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.core.records import Day
from ingest.core.totals import Rules, is_same, recompute, repair
from tests.core.folding import LATER, NOW, by_day, folded, plain_total, reread_of
from tests.core.strategies import DATES, distinct_records, few_snapshots, rules

DAY = Day("u1", DATES[0])


def batches_of(data: st.DataObject, records):
    """The records in any order, in batches of any size, each with a warm or a cold cache."""
    left, batches = [*data.draw(st.permutations(records))], []
    while left:
        size = data.draw(st.integers(1, len(left)))
        batches.append((left[:size], data.draw(st.booleans())))
        del left[:size]
    return batches


@settings(max_examples=250)
@given(distinct_records, rules, st.booleans(), st.data())
def test_any_order_and_any_batches_come_to_the_total_of_all_records(records, by, keeps, data):
    totals = folded(batches_of(data, records), by, keeps_snapshots=keeps)
    days = by_day(records)
    assert {*totals} == {*days}
    for day, total in totals.items():
        assert is_same(total, recompute(day, *days[day], by, NOW))


@given(
    st.lists(few_snapshots, min_size=1, max_size=9, unique_by=lambda s: s.timestamp_ms),
    rules,
    st.booleans(),
    st.data(),
)
def test_snapshots_of_one_chain_fold_in_any_order(snapshots, by, keeps, data):
    chain = [s._replace(user_id="u1", device_id="phone", date=DAY.date) for s in snapshots]
    total = folded(batches_of(data, chain), by, keeps_snapshots=keeps)[DAY]
    assert is_same(total, recompute(DAY, [], chain, by, NOW))


@given(distinct_records.filter(bool), rules)
def test_repairing_a_right_total_gives_the_very_same_object(records, by):
    for day, (events, snapshots) in by_day(records).items():
        total = recompute(day, events, snapshots, by, NOW)
        hours = {e.minute // 60 for e in events}
        everything = reread_of(records, day, hours, has_snapshots=True)
        assert repair(total, day, everything, by, LATER) is total
        nothing = reread_of([], day, set(), has_snapshots=False)
        assert repair(total, day, nothing, by, LATER) is total


@given(distinct_records.filter(bool), distinct_records, rules)
def test_repair_brings_any_total_to_the_total_of_the_log_and_stays_there(known, log, by):
    """Whatever was known, records that went away included, once all its hours are read again."""
    days = by_day(log)
    for day, (events, snapshots) in by_day(known).items():
        total = recompute(day, events, snapshots, by, NOW)
        hours = {record.minute // 60 for record in (*events, *days.get(day, ([], []))[0])}
        everything = reread_of(log, day, hours, has_snapshots=True)
        repaired = repair(total, day, everything, by, LATER)
        assert is_same(repaired, recompute(day, *days.get(day, ([], [])), by, NOW))
        assert repair(repaired, day, everything, by, NOW) is repaired


@settings(max_examples=200)
@given(distinct_records.filter(bool))
def test_the_total_of_a_day_is_what_plain_arithmetic_says(records):
    for day, (events, snapshots) in by_day(records).items():
        total = recompute(day, events, snapshots, Rules(), NOW)
        said = total._asdict()
        said["devices"] = {device_id: tuple(device) for device_id, device in total.devices.items()}
        expected = plain_total(events, snapshots)
        assert {name: said[name] for name in expected} == expected
        assert (total.day, total.revision, total.updated_at) == (day, 0, NOW)
