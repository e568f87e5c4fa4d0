"""Looking and mending while others write, and how much of a log is held meanwhile."""

from functools import partial

import pytest

from ingest.core.records import Day
from ingest.core.timestamps import FIRST_DATE, MINUTES_PER_DAY, neighbouring_dates
from ingest.core.totals import Rules
from ingest.errors import BatchRetryable
from ingest.stores.memory import memory_store
from ingest.verify import RACES_MAX, differences, mend
from tests.batches import TTL, assert_totals_are_those_of_the_log, sent, totals_of
from tests.core.folding import LATER
from tests.core.strategies import NOVEMBER_13
from tests.fakes import Meanwhile, store_through
from tests.stores.contents import event, run, snapshot
from tests.stores.tampering import DAY, replace_total

HIDDEN = 600  # the minute of an event that no batch touches


async def found_in(store, on_day=lambda: None):
    told = differences(
        store, Rules(), user_id=None, first_date=FIRST_DATE, now=LATER, on_day=on_day
    )
    return [difference async for difference in told]


async def wrong_store(store):
    """A day whose total lacks an event that is in the log; the difference."""
    await run(store, sent(event(1)), sent(snapshot(1)))
    await store.log.append_events([event(HIDDEN, steps=5)])
    (difference,) = await found_in(store)
    return difference


async def assert_right(store) -> None:
    assert await found_in(store) == []
    await assert_totals_are_those_of_the_log(store, Rules())


async def revision_of(store) -> int:
    return (await totals_of(store))[DAY].revision


async def test_mending_that_loses_to_a_writer_who_left_it_wrong_mends_what_came_of_it(store):
    difference = await wrong_store(store)
    meanwhile = Meanwhile("save", [partial(run, store, sent(event(2, steps=7)))])
    await mend(store_through(store, meanwhile), Rules(), difference, LATER)
    assert meanwhile.done == 1
    await assert_right(store)
    assert (await totals_of(store))[DAY].events_count == 3
    assert await revision_of(store) == 3


async def test_mending_that_loses_to_a_writer_who_put_it_right_saves_nothing(store):
    difference = await wrong_store(store)
    meanwhile = Meanwhile("save", [partial(run, store, sent(event(HIDDEN + 1)))])
    await mend(store_through(store, meanwhile), Rules(), difference, LATER)
    await assert_right(store)
    assert await revision_of(store) == 2


async def test_two_that_mend_at_once_end_with_one_revision(store):
    difference = await wrong_store(store)
    meanwhile = Meanwhile("save", [partial(mend, store, Rules(), difference, LATER)])
    await mend(store_through(store, meanwhile), Rules(), difference, LATER)
    await assert_right(store)
    assert await revision_of(store) == 2


async def test_mending_a_day_without_a_total_loses_to_the_first_who_saves_one(store):
    await store.log.append_events([event(1), event(2)])
    (difference,) = await found_in(store)
    meanwhile = Meanwhile("save", [partial(run, store, sent(event(1)), sent(event(200)))])
    await mend(store_through(store, meanwhile), Rules(), difference, LATER)
    await assert_right(store)


async def test_mending_a_total_without_a_record_loses_to_the_first_who_writes_one(store):
    """What is saved then is not the total of nothing that was meant to be."""
    await run(store, sent(event(1)))
    await store.log.erase("u1")
    (difference,) = await found_in(store)
    meanwhile = Meanwhile("save", [partial(run, store, sent(event(2, steps=7)))])
    await mend(store_through(store, meanwhile), Rules(), difference, LATER)
    await assert_right(store)
    assert (await totals_of(store))[DAY].steps == 7


async def test_a_day_that_never_stops_changing_is_given_up_and_can_be_mended_later():
    store = memory_store(TTL)
    difference = await wrong_store(store)
    batches = [partial(run, store, sent(event(minute))) for minute in range(2, 2 + RACES_MAX)]
    meanwhile = Meanwhile("save", batches)
    with pytest.raises(BatchRetryable, match=f"{RACES_MAX} attempts"):
        await mend(store_through(store, meanwhile), Rules(), difference, LATER)
    (difference,) = await found_in(store)
    await mend(store, Rules(), difference, LATER)
    await assert_right(store)


async def test_a_day_that_loses_all_races_but_the_last_is_mended():
    store = memory_store(TTL)
    difference = await wrong_store(store)
    batches = [partial(run, store, sent(event(minute))) for minute in range(2, 1 + RACES_MAX)]
    meanwhile = Meanwhile("save", batches)
    await mend(store_through(store, meanwhile), Rules(), difference, LATER)
    assert meanwhile.done == RACES_MAX - 1
    await assert_right(store)


async def test_a_batch_that_is_done_before_the_second_look_is_no_difference(store):
    """It was scanned between the log and the total."""
    await run(store, sent(event(1)))
    await store.log.append_events([event(2)])
    meanwhile = Meanwhile("load", [partial(run, store, sent(event(2)))])
    assert await found_in(store_through(store, meanwhile)) == []
    assert meanwhile.done == 1


async def test_a_total_that_is_deleted_meanwhile_is_told_of_as_it_is_then(store):
    await run(store, sent(event(1)))
    await store.log.append_events([event(2)])
    meanwhile = Meanwhile("load", [partial(replace_total, store, DAY, lambda _: None)])
    (difference,) = await found_in(store_through(store, meanwhile))
    assert difference.stored is None
    await mend(store, Rules(), difference, LATER)
    await assert_right(store)


class WatchedLog:
    """A log that remembers every day of which a scan has handed out a record."""

    def __init__(self, log) -> None:
        self._log = log
        self.days: set[Day] = set()

    def __getattr__(self, name):
        return getattr(self._log, name)

    async def scan_events(self, scope):
        async for page in self._log.scan_events(scope):
            yield self._seen(page)

    async def scan_snapshots(self, scope):
        async for page in self._log.scan_snapshots(scope):
            yield self._seen(page)

    def _seen(self, page):
        self.days |= {Day(row.user_id, row.date) for row in page}
        return page


@pytest.mark.parametrize("user_ids", [["u1"], ["u1", "u1-", "u2"]], ids=len)
async def test_a_scan_is_never_more_than_a_few_days_ahead_of_the_day_it_looks_at(user_ids):
    """Events and snapshots of a hundred days, and events at night that have the other dates."""
    store = memory_store(TTL)
    for user_id in user_ids:
        await store.log.append_events([*nights_of(user_id, 100)])
        await store.log.append_snapshots([*evenings_of(user_id, 100)])
    watched = WatchedLog(store.log)
    told, ahead = 0, []

    def on_day():
        nonlocal told
        told += 1
        ahead.append(len(watched.days) - told)

    await found_in(store._replace(log=watched), on_day)
    assert told == len(watched.days) >= 100 * len(user_ids)
    assert max(ahead) <= 5  # the three that a minute can have, and the first of what comes next


def nights_of(user_id, days):
    for day in range(days):
        for minute, step in ((0, -1), (1, 0), (1438, 0), (1439, 1)):
            at = day * MINUTES_PER_DAY + minute
            yield event(at, user_id=user_id, date=date_of(day + step))


def evenings_of(user_id, days):
    for day in range(days):
        yield snapshot(day * MINUTES_PER_DAY + 1200, user_id=user_id, date=date_of(day))


def date_of(day: int) -> str:
    return neighbouring_dates(NOVEMBER_13 + day * MINUTES_PER_DAY)[1]
