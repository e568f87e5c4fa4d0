"""`db verify` finds exactly the days that are wrong, and mending makes them right (DESIGN 9)."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.core.records import Day, day_id
from ingest.core.retention import whole_from
from ingest.core.timestamps import FIRST_DATE, MINUTES_PER_DAY, neighbouring_dates
from ingest.core.totals import Rules
from ingest.stores.memory import memory_store
from ingest.verify import differences, mend
from tests.batch_strategies import sent_batches, thorough, values_of
from tests.batches import (
    TTL,
    assert_totals_are_those_of_the_log,
    batch,
    pipeline_on,
    sent,
    totals_of,
)
from tests.core.folding import LATER
from tests.core.messages import NOW
from tests.core.strategies import NOVEMBER_13, identity, rules
from tests.fakes import RecordingPublisher
from tests.stores.contents import ALIKE, DATE, MOVED, event, fill, lines_in, run
from tests.stores.tampering import DAY, WAYS, a_total_has_other_steps, replace_total

scattered_events = st.builds(
    lambda user_id, minute, step: event(minute, user_id=user_id, date=neighbours(minute)[step]),
    st.sampled_from(["u1", *ALIKE]),
    st.integers(0, 4 * MINUTES_PER_DAY),
    st.integers(0, 2),
)


def neighbours(minute):
    return neighbouring_dates(NOVEMBER_13 + minute)


async def found_in(store, by=Rules(), user_id=None, first_date=FIRST_DATE, on_day=lambda: None):  # noqa: B008 - a value that cannot change
    """The days that differ, in the order they are told of."""
    told = differences(store, by, user_id=user_id, first_date=first_date, now=LATER, on_day=on_day)
    return [difference async for difference in told]


def days_of(found) -> list[Day]:
    return [difference.day for difference in found]


async def test_nothing_differs_in_a_store_full_of_everything(store):
    await fill(store)
    assert await found_in(store) == []


async def test_nothing_differs_in_an_empty_store(store):
    assert await found_in(store) == []


async def test_every_day_is_looked_at_once(store):
    await fill(store)
    days: list[None] = []
    await found_in(store, on_day=lambda: days.append(None))
    assert len(days) == len(await totals_of(store)) > 9


@settings(thorough, max_examples=50)
@given(st.lists(sent_batches(4), min_size=1, max_size=3), rules)
async def test_nothing_differs_after_any_batches(batches, by):
    store = memory_store(TTL)
    pipeline = pipeline_on(store, RecordingPublisher(), rules=by)
    for messages in batches:
        await pipeline.run(batch(*values_of(messages)))
        assert await found_in(store, by) == []


@settings(thorough, max_examples=50)
@given(st.lists(scattered_events, max_size=40, unique_by=identity))
async def test_days_without_a_total_are_each_found_once_and_in_order(events):
    """Whatever their users are called, and whichever dates their offsets gave them."""
    store = memory_store(TTL)
    await store.log.append_events(events)
    days = {Day(event.user_id, event.date) for event in events}
    assert days_of(await found_in(store)) == sorted(days, key=day_id)


@settings(thorough, max_examples=30)
@given(st.lists(sent_batches(4), min_size=1, max_size=3), rules, rules)
async def test_after_the_rules_changed_mending_gives_the_totals_of_the_new_ones(batches, was, by):
    store = memory_store(TTL)
    pipeline = pipeline_on(store, RecordingPublisher(), rules=was)
    for messages in batches:
        await pipeline.run(batch(*values_of(messages)))
    for difference in await found_in(store, by):
        await mend(store, by, difference, LATER)
    assert await found_in(store, by) == []
    await assert_totals_are_those_of_the_log(store, by)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_exactly_the_days_that_are_wrong_are_found_and_mended(store, way):
    await fill(store)
    wrong = await way(store)
    before = await totals_of(store)
    found = await found_in(store)
    assert days_of(found) == sorted(wrong, key=day_id)
    for difference in found:
        assert difference.stored == before.get(difference.day)
        await mend(store, Rules(), difference, LATER)
    assert await found_in(store) == []
    after = await totals_of(store)
    for day in {*before, *after}:
        was = before[day].revision if day in before else 0
        assert after[day].revision == was + (day in wrong)
    await assert_totals_are_those_of_the_log(store, Rules())


@pytest.mark.parametrize("user_id", ["u1", "u", "u1-"])
async def test_one_user_is_looked_at_alone_whatever_the_others_are_called(store, user_id):
    await fill(store)
    wrong = {Day(own, DATE) for own in ("u1", *ALIKE)}
    for day in wrong:
        await replace_total(store, day, lambda total: total._replace(steps=1_234))
    assert days_of(await found_in(store, user_id=user_id)) == [Day(user_id, DATE)]
    assert {*days_of(await found_in(store))} == wrong


async def test_a_user_nobody_knows_has_no_days(store):
    await fill(store)
    days: list[None] = []
    assert await found_in(store, user_id="u1|", on_day=lambda: days.append(None)) == []
    assert days == []


async def test_looking_changes_nothing(store):
    await fill(store)
    await a_total_has_other_steps(store)
    before = await lines_in(store)
    await found_in(store)
    assert await lines_in(store) == before


async def test_a_total_of_nothing_is_right_where_there_is_no_record(store):
    await fill(store)
    assert (await totals_of(store))[MOVED].devices == {}
    assert MOVED not in days_of(await found_in(store))


async def test_days_before_the_first_date_are_not_told_of(store):
    await fill(store)
    for date in ("2025-11-12", "2025-11-13", "2025-11-14"):
        await replace_total(store, Day("u1", date), lambda total: total._replace(steps=1_234))
    found = await found_in(store, first_date="2025-11-13")
    assert days_of(found) == [Day("u1", "2025-11-13"), Day("u1", "2025-11-14")]


async def test_with_a_retention_what_the_server_may_have_deleted_is_not_missed(store):
    """Fourteen days kept: a day is told of only while no record of it can be gone."""
    retention, now = timedelta(days=14), NOW + timedelta(days=20)
    total = (await total_of_one_event(store))._replace(revision=1)
    days = [Day("u1", f"2025-11-{date}") for date in (22, 23, 24)]
    await store.totals.restore([total._replace(day=day) for day in days])
    first_date = whole_from(now, retention)
    assert first_date == "2025-11-23"
    assert days_of(await found_in(store, first_date=first_date)) == days[1:]


async def total_of_one_event(store):
    await run(store, sent(event()))
    return (await totals_of(store))[DAY]


@pytest.mark.parametrize(
    ("stored", "right"),
    [(None, 10), (7, 10), (7, None)],
    ids=["no total", "another total", "no record"],
)
async def test_a_difference_says_what_is_stored_and_what_is_right(stored, right):
    store = memory_store(TTL)
    total = await total_of_one_event(store)
    await replace_total(store, DAY, lambda t: None if stored is None else t._replace(steps=stored))
    if right is None:
        await store.log.erase("u1")
    (difference,) = await found_in(store)
    document = difference.document()
    assert (document["user_id"], document["date"]) == DAY
    assert document["differs"]["steps"] == [stored, right]
    expected = {"steps"} if None not in (stored, right) else {*total._fields} & HELD_FIELDS
    assert {*document["differs"]} == expected


HELD_FIELDS = {"steps", "calories_out", "hr_avg", "basis", "devices", "events_count"} | {
    "snapshots_count",
    "resets",
}


async def test_a_difference_of_the_hidden_state_alone_is_told_of_as_one():
    store = memory_store(TTL)
    await fill(store)
    (way,) = (way for way in WAYS if "state_only" in way.__name__)
    await way(store)
    (difference,) = await found_in(store)
    assert [*difference.document()["differs"]] == ["state"]
