"""Crashes, corrections that move an event, and writers of one day at once (DESIGN section 7)."""

from functools import partial

import pytest

from ingest.core.records import Day, Event
from ingest.errors import BatchRetryable
from ingest.pipeline import RACES_MAX
from tests.batches import assert_right, batch, counts_of, log_of, pipeline_on, sent, totals_of
from tests.fakes import Calls, Failure, Meanwhile, Mode, store_through, through
from tests.test_pipeline import DAY, World, event, snapshot

BEFORE, AFTER = Day("u1", "2025-11-12"), Day("u1", "2025-11-14")


async def test_a_redelivered_batch_changes_nothing_and_publishes_its_days_again():
    world = World()
    values = sent(event(1), event(700, date=AFTER.date)), sent(snapshot(10, 100))
    await world.run(*values)
    before, totals = [*world.publisher.published], await totals_of(world.store)
    outcome = await world.run(*values)
    assert counts_of(outcome) == {"duplicates": 3}
    assert await totals_of(world.store) == totals
    again = world.publisher.published[len(before) :]
    assert {total.day: total for total in again} == totals


@pytest.mark.parametrize(
    "other",
    [
        event(2),
        event(61),
        event(2, date=AFTER.date),
        event(1, user_id="u2"),
        event(1, device_id="watch"),
    ],
)
async def test_a_batch_that_was_only_appended_is_settled_whole_when_it_is_redelivered(other):
    """However alike the days and hours of its records are."""
    world = World()
    values = sent(event(1)), sent(other), sent(event(1)), sent(other)
    failing = through(world.store, world.publisher, Failure({2: Mode.BEFORE}))
    with pytest.raises(BatchRetryable, match="load"):
        await pipeline_on(*failing).run(batch(*values))
    assert counts_of(await world.run(*values)) == {"duplicates": 4}
    assert len(await log_of(world.store)) == 2


DATES = [day.date for day in (BEFORE, DAY, AFTER)]
MOVES = [(a, b) for a in DATES for b in DATES if a != b]


@pytest.mark.parametrize(("date", "other"), MOVES)
async def test_a_correction_to_another_date_repairs_both_dates(date, other):
    world = World()
    await world.run(sent(event(1, date=date), event(2, date=date)))
    await world.run(sent(event(1, date=other, version=1, steps=7)))
    assert (await world.total(Day("u1", date))).steps == 10
    assert (await world.total(Day("u1", other))).steps == 7


@pytest.mark.parametrize(("date", "other"), MOVES)
async def test_so_does_one_that_comes_behind_a_duplicate_of_its_new_date_and_hour(date, other):
    world = World()
    await world.run(sent(event(1, date=date)), sent(event(2, date=other)))
    outcome = await world.run(sent(event(2, date=other), event(1, date=other, version=1, steps=7)))
    assert counts_of(outcome) == {"duplicates": 1, "corrected": 1}
    assert (await world.total(Day("u1", date))).steps == 0
    assert (await world.total(Day("u1", other))).steps == 17


@pytest.mark.parametrize(("date", "other"), MOVES)
@pytest.mark.parametrize("step", ["correct_events", "load", "events_in_hours", "save"])
@pytest.mark.parametrize("is_restarted", [False, True])
async def test_the_redelivered_correction_does_so_too_after_a_crash(
    date, other, step, is_restarted
):
    """It is a duplicate by then, which no longer shows where the event was."""
    world = World()
    await world.run(sent(event(1, date=date), event(2, date=date)))
    correction = batch(sent(event(1, date=other, version=1, steps=7)))
    names = ["append_events", "correct_events", "load", "events_in_hours", "save"]
    mode = Mode.AFTER if step == "correct_events" else Mode.BEFORE
    failing = through(world.store, world.publisher, Failure({names.index(step) + 1: mode}))
    with pytest.raises(BatchRetryable, match=step):
        await pipeline_on(*failing).run(correction)
    pipeline = pipeline_on(world.store, world.publisher) if is_restarted else world.pipeline
    assert counts_of(await pipeline.run(correction)) == {"duplicates": 1}
    await assert_right(world.store, world.publisher)
    assert (await world.total(Day("u1", date))).steps == 10


async def test_a_day_whose_last_event_moved_away_keeps_a_total_of_nothing():
    world = World()
    await world.run(sent(event(1)))
    await world.run(sent(event(1, date=AFTER.date, version=1)))
    total = await world.total()
    assert (total.steps, total.events_count, total.devices, total.state) == (0, 0, {}, {})
    assert total.revision == 2
    assert world.publisher.latest[DAY] == total
    await world.run(sent(event(1, version=2)))
    assert (await world.total()).revision == 3
    assert (await world.total(AFTER)).state == {}


async def test_an_unchanged_neighbouring_date_gets_no_total_of_nothing():
    world = World()
    await world.run(sent(event(1)))
    await world.run(sent(event(1, version=1, steps=11)))
    assert {*await totals_of(world.store)} == {DAY}


class Raced(World):
    """A world whose pipeline finds, before each save, that another writer saved the day."""

    def __init__(self, races):
        super().__init__()
        self.other = pipeline_on(self.store, self.publisher)
        own_hours = [event(60 * n) for n in range(1, races + 1)]
        things = [partial(self.other.run, batch(sent(row))) for row in own_hours]
        self.meanwhile = Meanwhile("save", things)
        self.calls = Calls()
        store = store_through(store_through(self.store, self.calls), self.meanwhile)
        self.pipeline = pipeline_on(store, self.publisher)


@pytest.mark.parametrize("races", [1, 2, RACES_MAX - 1])
async def test_a_lost_race_of_a_cold_day_is_read_again_and_ends_right(races):
    world = Raced(races)
    outcome = await world.run(sent(event(1)))
    assert (world.meanwhile.done, outcome.races, outcome.reread) == (races, races, 1)
    assert (await world.total()).steps == 10 * (races + 1)
    assert world.pipeline.cache.get(DAY) == await world.total()


@pytest.mark.parametrize("races", [1, 2, RACES_MAX])
async def test_so_is_a_lost_race_of_a_day_that_was_folded(races):
    world = Raced(races)
    world.pipeline.cache.put((await world.other.run(batch(sent(event(1))))).totals)
    outcome = await world.run(sent(event(2)))
    assert (world.meanwhile.done, outcome.races) == (races, races)
    assert (outcome.folded, outcome.reread) == (0, 1)
    assert "events_in_hours" in world.calls.names
    assert (await world.total()).steps == 10 * (races + 2)
    assert world.pipeline.cache.get(DAY) == await world.total()


async def test_a_loser_whose_records_the_winner_already_read_saves_nothing_and_publishes():
    world = Raced(0)
    winner = partial(world.other.run, batch(sent(event(2))))
    store = store_through(world.store, Meanwhile("save", [winner]))
    outcome = await pipeline_on(store, world.publisher).run(batch(sent(event(1))))
    await assert_right(world.store, world.publisher)
    assert (outcome.races, outcome.totals) == (1, [await world.total()])
    assert ((await world.total()).steps, (await world.total()).revision) == (20, 1)


async def test_a_day_that_lost_its_race_takes_no_other_day_with_it():
    world = Raced(1)
    outcome = await world.run(sent(event(1)), sent(event(1, user_id="u2")))
    assert (outcome.races, outcome.reread) == (1, 2)
    saved = [
        [total.day.user_id for total in rows] for name, rows in world.calls.made if name == "save"
    ]
    assert [sorted(users) for users in saved] == [["u1", "u2"], ["u1"]]
    assert {*world.publisher.latest} == {DAY, Day("u2", DAY.date)}


async def test_a_race_lost_too_often_retries_the_batch_which_then_ends_right():
    world = Raced(RACES_MAX)
    message = batch(sent(event(1), key="k"))
    with pytest.raises(BatchRetryable, match=f"1 days .* {RACES_MAX} attempts"):
        await world.pipeline.run(message)
    assert world.meanwhile.done == RACES_MAX
    assert not await world.is_known("u1", "k")
    assert counts_of(await world.pipeline.run(message)) == {"duplicates": 1}
    await assert_right(world.store, world.publisher)
    assert len(await log_of(world.store)) == RACES_MAX + 1


async def test_a_total_whose_save_failed_is_not_folded_upon_at_the_revision_it_would_have_had():
    """As where a worker lost its partition in between, and another saved that revision."""
    world = World()
    failure = Failure({})
    pipeline = pipeline_on(*through(world.store, world.publisher, failure))
    await pipeline.run(batch(sent(event(1))))
    failure.at = {failure.calls + 2: Mode.BEFORE}
    with pytest.raises(BatchRetryable, match="save"):
        await pipeline.run(batch(sent(event(2))))
    await world.pipeline.run(batch(sent(event(200))))
    await pipeline.run(batch(sent(event(300))))
    await pipeline.run(batch(sent(event(2))))
    await assert_right(world.store, world.publisher)
    assert (await world.total()).steps == 40


@pytest.mark.parametrize("refused", [event(1), event(1, version=1), snapshot(10, 100)])
async def test_records_that_a_key_refuses_are_counted_if_an_attempt_that_failed_wrote_them(refused):
    """Two topics are not always read in the same order: simulated seeds 6351 and 8676."""
    world = World()
    failing = through(world.store, world.publisher, Failure({3: Mode.BEFORE}))
    with pytest.raises(BatchRetryable, match="load"):
        await pipeline_on(*failing).run(batch(sent(refused, key="k")))
    await world.pipeline.run(batch(sent(event(90), key="k")))
    outcome = await world.pipeline.run(batch(sent(refused, key="k")))
    assert counts_of(outcome) == {"rejected": 1}
    await assert_right(world.store, world.publisher)
    assert len(await log_of(world.store)) == 2


@pytest.mark.parametrize("first", [snapshot(10, 100), event(1, steps=100)])
async def test_a_writer_that_knows_only_one_of_two_corrections_cannot_save_what_the_other_undid(
    first,
):
    """It was frozen before its save, and the second took the day back: simulated seed 780."""
    world = World()
    await world.run(sent(first))
    field = "steps" if isinstance(first, Event) else "steps_total"
    changed = sent(first._replace(version=1, **{field: 120}))
    undone = sent(first._replace(version=2))
    meanwhile = partial(pipeline_on(world.store, world.publisher).run, batch(changed, undone))
    store = store_through(world.store, Meanwhile("save", [meanwhile]))
    await pipeline_on(store, world.publisher).run(batch(changed))
    await assert_right(world.store, world.publisher)
