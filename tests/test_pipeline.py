"""What a batch comes to: verdicts, keys, dead letters and totals (DESIGN sections 3 and 7)."""

from datetime import timedelta

import pytest
import pytest_asyncio

from ingest.core.dedupe import KeyRef
from ingest.core.records import Day, Event, Snapshot
from ingest.errors import BatchRetryable, Reason
from ingest.stores.memory import memory_store
from tests.batches import (
    TTL,
    assert_right,
    batch,
    counts_of,
    log_of,
    pipeline_on,
    sent,
    totals_of,
)
from tests.core.messages import NOW, activity, event_text, health, snapshot_text
from tests.core.strategies import MINUTE_MS, NOVEMBER_13
from tests.fakes import Calls, Failure, Mode, RecordingPublisher, through

DAY = Day("u1", "2025-11-13")


def event(minute=1, **changes):
    row = Event("u1", "phone", "FITBIT", NOVEMBER_13 + minute, DAY.date, 10, None, None, 0)
    return row._replace(**changes)


def snapshot(minute, steps, **changes):
    at = (NOVEMBER_13 + minute) * MINUTE_MS
    row = Snapshot("u1", "phone", "FITBIT", DAY.date, at, steps, steps * 100, None, 0)
    return row._replace(**changes)


class World:
    """One store, one publisher, and one pipeline between them."""

    def __init__(self):
        self.store = memory_store(TTL)
        self.publisher = RecordingPublisher()
        self.now = NOW
        self.pipeline = pipeline_on(self.store, self.publisher, now=lambda: self.now)

    async def run(self, *values, first_offset=0):
        outcome = await self.pipeline.run(batch(*values, first_offset=first_offset))
        await assert_right(self.store, self.publisher)
        return outcome

    async def total(self, day=DAY):
        return (await totals_of(self.store)).get(day)

    async def is_known(self, user_id, key):
        return await self.store.keys.fingerprints([KeyRef(user_id, key)], self.now) != {}


@pytest_asyncio.fixture
async def world():
    return World()


async def test_an_empty_batch_does_nothing_and_counts_nothing(world):
    outcome = await world.run()
    assert (outcome.messages, outcome.records, counts_of(outcome)) == (0, 0, {})
    assert (outcome.totals, outcome.dead_letters) == ([], [])


VERDICTS = [
    (event(), {"accepted": 1}),
    (event(2, steps=12), {"duplicates": 1}),
    (event(2, steps=12, source="GARMIN"), {"duplicates": 1}),
    (event(2, version=9), {"corrected": 1}),
    (event(3, version=4), {"stale": 1}),
    (event(3, version=5, steps=11), {"rejected": 1}),
    (snapshot(1, 70), {"accepted": 1}),
    (snapshot(2, 100), {"duplicates": 1}),
    (snapshot(2, 101, version=1), {"corrected": 1}),
    (snapshot(3, 1), {"stale": 1}),
    (snapshot(3, 1, version=5), {"rejected": 1}),
]
KNOWN = [event(2, steps=12), event(3, version=5)], [snapshot(2, 100), snapshot(3, 200, version=5)]


@pytest.mark.parametrize(("record", "expected"), VERDICTS)
async def test_a_record_of_each_verdict_is_counted_as_it(world, record, expected):
    await world.run(*(sent(*rows) for rows in KNOWN))
    outcome = await world.run(sent(record))
    assert (outcome.messages, outcome.records) == (1, 1)
    assert counts_of(outcome) == expected
    assert outcome.conflicts == expected.get("rejected", 0)


async def test_the_verdicts_of_a_batch_of_all_kinds_add_up_to_its_records(world):
    await world.run(*(sent(*rows) for rows in KNOWN))
    bad = activity(event_text(steps="-1"), event_text()), b"\xff", health("{}", "[]")
    outcome = await world.run(*(sent(record) for record, _ in VERDICTS), *bad)
    assert (outcome.messages, outcome.records) == (14, 16)
    assert counts_of(outcome) == {
        "accepted": 3,
        "duplicates": 3,
        "corrected": 2,
        "stale": 2,
        "rejected": 6,
    }
    assert outcome.conflicts == 2
    assert len(outcome.dead_letters) == 6
    assert [*outcome.dead_letters] == world.publisher.dead_letters


async def test_a_message_of_many_bad_records_that_is_refused_whole_counts_them_all(world):
    outcome = await world.run(activity(*["{}"] * 10_001), event_text().encode())
    assert outcome.records == 10_002
    assert counts_of(outcome) == {"rejected": 10_002}
    assert len(outcome.dead_letters) == 2


async def test_within_a_batch_a_record_is_judged_by_what_came_before_it(world):
    rows = [event(steps=n, version=v) for n, v in ((1, 0), (1, 0), (2, 1), (3, 1), (1, 0), (4, 2))]
    outcome = await world.run(sent(*rows[:2]), sent(*rows[2:]))
    assert counts_of(outcome) == {
        "accepted": 1,
        "duplicates": 1,
        "corrected": 2,
        "rejected": 1,
        "stale": 1,
    }
    assert await log_of(world.store) == [rows[-1]]
    assert (await world.total()).steps == 4


async def test_the_same_key_with_the_same_message_is_all_duplicates_and_the_log_not_touched(world):
    message = activity(event_text(), event_text(steps="-1"), idempotency_key='"k"')
    assert counts_of(await world.run(message)) == {"accepted": 1, "rejected": 1}
    calls = Calls()
    seen = RecordingPublisher()
    outcome = await pipeline_on(*through(world.store, seen, calls)).run(batch(message))
    assert counts_of(outcome) == {"duplicates": 2}
    assert calls.names == ["fingerprints"]
    assert (outcome.totals, outcome.dead_letters) == ([], [])


async def test_the_same_key_with_another_message_is_refused_whole(world):
    await world.run(sent(event(1), key="k"))
    other = sent(event(2), event(3), key="k")
    outcome = await world.run(sent(event(4)), other, first_offset=20)
    assert counts_of(outcome) == {"accepted": 1, "rejected": 2}
    assert outcome.conflicts == 2
    ((refusal, message),) = world.publisher.dead_letters
    assert (refusal.reason, refusal.original) == (Reason.IDEMPOTENCY_CONFLICT, other)
    assert (refusal.records, message.value, message.offset) == (2, other, 21)
    assert await log_of(world.store) == [event(1), event(4)]


async def test_a_key_twice_in_one_batch_speaks_for_its_first_message(world):
    message, other = sent(event(1), event(2), key="k"), sent(event(3), key="k")
    outcome = await world.run(message, message, other)
    assert counts_of(outcome) == {"accepted": 2, "duplicates": 2, "rejected": 1}
    assert outcome.conflicts == 1
    assert await log_of(world.store) == [event(1), event(2)]


async def test_a_key_speaks_for_its_user_alone(world):
    others = sent(event(user_id="u2"), key="k")
    assert counts_of(await world.run(sent(event(), key="k"), others)) == {"accepted": 2}


STEPS = ["fingerprints", "append_events", "load", "events_in_hours", "save"]
STEPS += ["publish_totals", "publish_dead_letters", "remember"]


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("step", STEPS)
async def test_a_key_is_remembered_only_when_all_is_published(world, step, mode):
    message = activity(event_text(), event_text(steps="-1"), idempotency_key='"k"')
    failing = through(world.store, world.publisher, Failure({STEPS.index(step) + 1: mode}))
    with pytest.raises(BatchRetryable, match=f"{step}, failed"):
        await pipeline_on(*failing).run(batch(message))
    is_done = step == "remember" and mode is Mode.AFTER
    assert await world.is_known("u1", "k") is is_done
    is_stored = await log_of(world.store) != []
    outcome = counts_of(await world.run(message))
    again = {"duplicates": 1, "rejected": 1} if is_stored else {"accepted": 1, "rejected": 1}
    assert outcome == ({"duplicates": 2} if is_done else again)
    assert await world.is_known("u1", "k")
    assert len(world.publisher.dead_letters) >= 1


async def test_when_its_key_has_expired_a_message_is_still_deduplicated_by_identity(world):
    await world.run(sent(event(), key="k"))
    world.now += TTL - timedelta(seconds=1)
    assert counts_of(await world.run(sent(event(2), key="k"))) == {"rejected": 1}
    world.now += timedelta(seconds=1)
    assert not await world.is_known("u1", "k")
    assert counts_of(await world.run(sent(event(), event(2), key="k"))) == {
        "accepted": 1,
        "duplicates": 1,
    }
    assert await world.is_known("u1", "k")


def conflicting(n):
    return event_text(ts=f'"2025-11-13T00:0{n}:00Z"', steps="77", note=f'"{n}"')


async def test_a_conflict_is_dead_lettered_with_its_own_bytes_and_its_messages_origin(world):
    """Whatever was refused beside it, and whichever messages of both kinds stand around it."""
    await world.run(sent(event(1), event(2), event(3)), sent(snapshot(600, 100)))
    bad, head = event_text(steps="-1"), {"device_id": '"phone"', "source": '"FITBIT"'}
    values = [
        activity(conflicting(1), device_id='"phone"'),
        health(snapshot_text(steps_total="-1"), snapshot_text(steps_total="7"), **head),
        b"no json",
        activity(bad, conflicting(2), bad, event_text(), conflicting(3), bad, **head),
        activity(bad, event_text(ts='"2025-11-13T00:09:00Z"')),
    ]
    outcome = await world.run(*values, first_offset=40)
    assert counts_of(outcome) == {"accepted": 2, "rejected": 10}
    assert outcome.conflicts == 4
    one = '{{"user_id":"u1","device_id":"phone","source":"FITBIT","{}":[{}]}}'
    found = [
        (refusal.place, refusal.original, message)
        for refusal, message in world.publisher.dead_letters
        if refusal.reason is Reason.CONFLICT_DIFFERENT_DATA
    ]
    messages = batch(*values, first_offset=40)
    assert found == [
        (0, values[0], messages[0]),
        (1, one.format("events", conflicting(2)).encode(), messages[3]),
        (4, one.format("events", conflicting(3)).encode(), messages[3]),
        (1, one.format("snapshots", snapshot_text(steps_total="7")).encode(), messages[1]),
    ]


async def test_a_bad_record_is_dead_lettered_and_costs_its_neighbours_nothing(world):
    bad = event_text(steps="-1", note='"mine"')
    value = activity(event_text(), bad, event_text(ts='"2025-11-13T00:31:00Z"'))
    outcome = await world.run(b"{}", value)
    assert counts_of(outcome) == {"accepted": 2, "rejected": 2}
    (whole, empty), (refusal, message) = world.publisher.dead_letters
    assert (whole.place, whole.original, empty.offset) == (None, b"{}", 0)
    assert (refusal.reason, refusal.place) == (Reason.NEGATIVE_VALUE, 1)
    assert bad.encode() in refusal.original
    assert message == batch(b"{}", value)[1]
    assert (await world.total()).steps == 24


async def test_a_record_from_too_far_ahead_is_refused_by_the_pipelines_clock(world):
    late, ahead = event_text(ts='"2025-11-14T12:00:00Z"'), event_text(ts='"2025-11-14T12:01:00Z"')
    outcome = await world.run(activity(late, ahead))
    assert counts_of(outcome) == {"accepted": 1, "rejected": 1}
    assert world.publisher.dead_letters[0].refusal.reason is Reason.FUTURE_TIMESTAMP


async def test_the_heart_rate_of_a_day_is_the_mean_of_its_events(world):
    rates = [250_000, 250_001, 1_000_000]
    for n, rate in enumerate(rates):
        await world.run(sent(event(n, hr_avg=rate, steps=None)))
    await world.run(sent(event(9)))
    assert (await world.total()).hr_avg == 500_000  # of 500,000.33


async def test_equal_values_at_different_times_are_different_records(world):
    for n in range(3):
        rows = [event(n * 10 + m) for m in range(1, 5)]
        assert counts_of(await world.run(sent(*rows))) == {"accepted": 4}
    for n in (1, 2):
        assert counts_of(await world.run(sent(snapshot(n, 40)))) == {"accepted": 1}
    assert (await world.total()).events_count == 12


async def test_a_late_snapshot_changes_its_own_delta_and_its_successors(world):
    for minute, steps in ((10, 100), (30, 50), (40, 60)):
        await world.run(sent(snapshot(minute, steps)))
    assert ((await world.total()).steps, (await world.total()).resets) == (160, 1)
    await world.run(sent(snapshot(20, 40)))
    assert ((await world.total()).steps, (await world.total()).resets) == (160, 1)
    await world.run(sent(snapshot(15, 500)))
    assert ((await world.total()).steps, (await world.total()).resets) == (560, 1)


async def test_a_zero_is_a_reset_until_a_later_batch_shows_it_was_a_glitch(world):
    for minute, steps in ((10, 100), (20, 0)):
        await world.run(sent(snapshot(minute, steps)))
    assert ((await world.total()).steps, (await world.total()).resets) == (100, 1)
    await world.run(sent(snapshot(30, 120)))
    assert ((await world.total()).steps, (await world.total()).resets) == (120, 0)


async def test_devices_whose_snapshots_come_in_turns_keep_their_own_chains(world):
    for minute in range(1, 7):
        watch = {} if minute % 2 else {"device_id": "watch"}
        await world.run(sent(snapshot(minute, 100 * minute, **watch)))
    total = await world.total()
    assert {name: device.steps for name, device in total.devices.items()} == {
        "phone": 500,
        "watch": 600,
    }
    assert (total.steps, total.resets, total.snapshots_count) == (600, 0, 6)
