"""What goes wrong elsewhere, on every store: each a case that a store has been seen to lose."""

import pytest

from ingest.core.deltas import DeltaKind, SnapshotRules
from ingest.core.records import Day
from ingest.core.timestamps import MINUTE_MS
from ingest.errors import Reason
from ingest.replay import deltas_between
from tests.batches import assert_right, batch, counts_of, pipeline_on, sent, totals_of
from tests.core.strategies import NOVEMBER_13
from tests.fakes import RecordingPublisher
from tests.stores.test_contract import event, snapshot

DAY = Day("u1", "2025-11-13")


class World:
    """One store, one publisher, and one pipeline between them."""

    def __init__(self, store):
        self.store, self.publisher = store, RecordingPublisher()
        self.pipeline = pipeline_on(store, self.publisher)

    async def run(self, *rows):
        outcome = await self.pipeline.run(batch(*(sent(row) for row in rows)))
        await assert_right(self.store, self.publisher)
        return counts_of(outcome)

    async def steps(self, day=DAY):
        return (await totals_of(self.store))[day].steps

    async def deltas(self, **options):
        log = self.store.log
        found = await deltas_between(log, "u1", DAY.date, DAY.date, SnapshotRules(), **options)
        return [(delta.kind, delta.steps) for delta in found]


@pytest.fixture
def world(store):
    return World(store)


def counted(minute, steps, **changes):
    """A snapshot `minute` minutes into the day."""
    at = (NOVEMBER_13 + minute) * MINUTE_MS
    return snapshot(steps_total=steps, calories_out_total=steps, **changes)._replace(
        timestamp_ms=at
    )


@pytest.mark.parametrize(
    ("known", "incoming"),
    [
        (event(1), event(1, steps=13)),
        (event(1), event(1, calories_out=35_002)),
        (event(1), event(1, hr_avg=None)),
        (counted(5, 100), counted(5, 101)),
    ],
)
async def test_the_same_time_with_other_values_is_a_conflict_and_no_silent_duplicate(
    world, known, incoming
):
    assert await world.run(known) == {"accepted": 1}
    before = await totals_of(world.store)
    assert await world.run(incoming) == {"rejected": 1}
    (letter,) = world.publisher.dead_letters
    assert letter.refusal.reason is Reason.CONFLICT_DIFFERENT_DATA
    assert letter.message.value == sent(incoming)
    assert await totals_of(world.store) == before


async def test_a_day_with_a_reset_keeps_the_steps_before_the_reset(world):
    await world.run(counted(1, 4_000), counted(2, 5_000))
    await world.run(counted(3, 200))
    assert await world.steps() == 5_200
    await world.run(counted(4, 250))
    assert await world.steps() == 5_250
    assert (await totals_of(world.store))[DAY].resets == 1


async def test_deltas_after_a_time_still_compare_with_what_was_before_it(world):
    await world.run(counted(1, 100), counted(2, 150), counted(3, 175))
    after_ms = (NOVEMBER_13 + 1) * MINUTE_MS
    increments = [(DeltaKind.INCREMENT, 50), (DeltaKind.INCREMENT, 25)]
    assert await world.deltas(after_ms=after_ms) == increments
    assert await world.deltas(after_ms=after_ms - 1) == [(DeltaKind.BOOTSTRAP, 100), *increments]
    assert await world.deltas(after_ms=after_ms + 2 * MINUTE_MS) == []


async def test_batches_of_equal_values_at_other_times_do_not_collide(world):
    for minute in range(4):
        assert await world.run(event(minute), counted(minute, 100, user_id="u2")) == {"accepted": 2}
    assert await world.steps() == 4 * 12
    assert (await totals_of(world.store))[Day("u2", DAY.date)].snapshots_count == 4


async def test_a_late_snapshot_changes_its_own_delta_and_its_successors(world):
    await world.run(counted(1, 100), counted(5, 400))
    assert await world.deltas() == [(DeltaKind.BOOTSTRAP, 100), (DeltaKind.INCREMENT, 300)]
    await world.run(counted(3, 250))
    assert await world.deltas() == [
        (DeltaKind.BOOTSTRAP, 100),
        (DeltaKind.INCREMENT, 150),
        (DeltaKind.INCREMENT, 150),
    ]
    assert await world.steps() == 400


async def test_a_late_first_snapshot_becomes_the_bootstrap(world):
    await world.run(counted(5, 400))
    await world.run(counted(1, 100))
    assert await world.deltas() == [(DeltaKind.BOOTSTRAP, 100), (DeltaKind.INCREMENT, 300)]


async def test_a_late_snapshot_can_show_a_reset(world):
    await world.run(counted(1, 100), counted(5, 400))
    await world.run(counted(3, 900))
    assert await world.deltas() == [
        (DeltaKind.BOOTSTRAP, 100),
        (DeltaKind.INCREMENT, 800),
        (DeltaKind.RESET, 400),
    ]
    assert await world.steps() == 1_300


async def test_a_full_replay_changes_nothing(world):
    rows = [event(1), event(61), event(1500, date="2025-11-14"), counted(1, 9), counted(9, 30)]
    assert await world.run(*rows) == {"accepted": 5}
    before = await totals_of(world.store)
    assert await world.run(*rows) == {"duplicates": 5}
    world.pipeline.cache.clear()
    assert await world.run(*rows[::-1]) == {"duplicates": 5}
    assert await totals_of(world.store) == before


async def test_two_devices_that_take_turns_keep_two_chains(world):
    for minute, (phone, watch) in enumerate([(100, 90), (150, 160), (300, 290)]):
        await world.run(
            counted(minute, phone), counted(minute, watch, device_id="watch", source="GARMIN")
        )
    total = (await totals_of(world.store))[DAY]
    assert {name: device.steps for name, device in total.devices.items()} == {
        "phone": 300,
        "watch": 290,
    }
    assert total.steps == 300
    assert total.resets == 0


async def test_a_zero_between_growing_snapshots_is_a_glitch_and_not_a_reset(world):
    await world.run(counted(1, 500))
    await world.run(counted(2, 0))
    await world.run(counted(3, 520))
    kinds = [(DeltaKind.BOOTSTRAP, 500), (DeltaKind.GLITCH, 0), (DeltaKind.INCREMENT, 20)]
    assert await world.deltas() == kinds
    assert await world.steps() == 520


async def test_a_record_over_a_date_line_counts_for_the_date_it_was_written_with(world):
    before_midnight = event(-30, date="2025-11-13")  # half past eleven in UTC, at +01:00
    await world.run(before_midnight, event(30, device_id="watch", date="2025-11-12"))
    totals = await totals_of(world.store)
    assert {day.date: total.events_count for day, total in totals.items()} == {
        "2025-11-12": 1,
        "2025-11-13": 1,
    }
