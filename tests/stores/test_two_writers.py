"""Two writers of one day on every store, in both orders at every point where they can meet (P2).

A schedule says whose call of a port comes next; between two calls of one writer come any number
of the other's. What is left when the schedule ends is done in the order it comes.
"""

import asyncio
from itertools import combinations, count

import pytest

from ingest.core.totals import Rules, is_same, recompute
from ingest.ports import Scope
from tests.batches import batch, pipeline_on, run_until_done, sent
from tests.core.folding import by_day
from tests.core.messages import NOW
from tests.fakes import RecordingPublisher, through
from tests.stores.test_contract import event, snapshot

RULES = Rules()
MOVED = {"date": "2025-11-12", "version": 1, "steps": 7}
ZERO = {"steps_total": 0, "calories_out_total": 0}
MEETINGS = {
    "minutes of one hour": ([event(1)], [event(2)]),
    "the same minute": ([event(1)], [event(1)]),
    "a conflict": ([event(1)], [event(1, steps=13)]),
    "a correction": ([event(1)], [event(1, version=1, steps=13)]),
    "a correction that moves an event": ([event(1)], [event(1, **MOVED)]),
    "snapshots in order and late": ([snapshot(2)], [snapshot(1, steps_total=40)]),
    "a zero and what shows it a glitch": ([snapshot(2, **ZERO)], [snapshot(3)]),
    "events and a snapshot of two devices": ([event(1)], [snapshot(1, device_id="watch")]),
}
_USERS = count(1)


def schedules(calls: int) -> list[str]:
    """Every order of so many calls of each writer."""
    places = range(2 * calls)
    return [
        "".join("a" if place in own else "b" for place in places)
        for own in combinations(places, calls)
    ]


class Turns:
    """Lets two writers call their ports as a schedule says, one call at a time."""

    def __init__(self, schedule: str) -> None:
        self._turns = [*schedule]
        self._finished: set[str] = set()
        self._changed = asyncio.Condition()

    def of(self, writer: str):
        async def at_its_turn(_name, method, *args):
            async with self._changed:
                await self._changed.wait_for(lambda: self._next in (writer, None))
                if self._next is not None:
                    self._turns.remove(writer)
                try:
                    return await method(*args)
                finally:
                    self._changed.notify_all()

        return at_its_turn

    async def finish(self, writer: str) -> None:
        async with self._changed:
            self._finished.add(writer)
            self._changed.notify_all()

    @property
    def _next(self) -> str | None:
        return next((turn for turn in self._turns if turn not in self._finished), None)


@pytest.mark.parametrize("meeting", MEETINGS)
async def test_two_writers_of_a_new_day_end_in_the_total_of_its_records(store, meeting):
    """Each appends, reads the total, reads the log and saves."""
    for schedule in schedules(4):
        await assert_meeting_ends_right(store, RecordingPublisher(), meeting, schedule)


@pytest.mark.parametrize("meeting", MEETINGS)
async def test_two_writers_of_a_day_they_know_end_in_the_total_of_its_records(store, meeting):
    """Each appends and saves, where the records are new; else it reads as of a new day."""
    for schedule in schedules(3):
        publisher, user_id = RecordingPublisher(), f"known{next(_USERS)}"
        await pipeline_on(store, publisher).run(batch(sent(event(30, user_id=user_id))))
        await assert_meeting_ends_right(store, publisher, meeting, schedule, user_id)


async def assert_meeting_ends_right(store, publisher, meeting, schedule, user_id=None):
    user_id = user_id or f"new{next(_USERS)}"
    known, turns, writing = [*publisher.published], Turns(schedule), []
    for name, rows in zip("ab", MEETINGS[meeting], strict=True):
        pipeline = pipeline_on(*through(store, publisher, turns.of(name)))
        pipeline.cache.put(known)
        own = [row._replace(user_id=user_id) for row in rows]
        writing.append(write(turns, name, pipeline, sent(*own)))
    outcomes = await asyncio.gather(*writing)
    assert [outcome.records for outcome in outcomes] == [1, 1]
    await assert_user_right(store, publisher, user_id, schedule)


async def write(turns, name, pipeline, value):
    try:
        return await run_until_done(pipeline, [value])
    finally:
        await turns.finish(name)


async def assert_user_right(store, publisher, user_id, schedule):
    scope = Scope(user_id)
    records = [row async for page in store.log.scan_events(scope) for row in page]
    records += [row async for page in store.log.scan_snapshots(scope) for row in page]
    totals = {total.day: total async for page in store.totals.scan(scope) for total in page}
    days = by_day(records)
    assert days
    for day in {*days, *totals}:
        expected = recompute(day, *days.get(day, ([], [])), RULES, NOW)
        assert is_same(totals.get(day), expected), (schedule, day)
    assert publisher.latest == totals
