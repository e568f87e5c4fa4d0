"""How a batch gets there: the order of the steps, the fast path, crashes, lost races (DESIGN 7)."""

from functools import partial

import pytest

from ingest.core.records import Day
from ingest.errors import BatchRetryable
from ingest.pipeline import RACES_MAX, REREAD_DAYS_MAX
from ingest.stores.memory import memory_store
from tests.batches import TTL, assert_right, batch, counts_of, log_of, pipeline_on, sent, totals_of
from tests.core.messages import event_text
from tests.fakes import (
    Calls,
    Failure,
    FailingPort,
    FailingStore,
    Meanwhile,
    Mode,
    RecordingPublisher,
    store_through,
    through,
)
from tests.test_pipeline import DAY, World, event, snapshot

READS = {"load", "events_in_hours", "snapshots_of_days", "events_between", "snapshots_between"}
BEFORE, AFTER = Day("u1", "2025-11-12"), Day("u1", "2025-11-14")


class Watched(World):
    """A world whose pipeline's calls are seen."""

    def __init__(self, **settings):
        super().__init__()
        self.calls = Calls()
        self.pipeline = pipeline_on(
            *through(self.store, self.publisher, self.calls), now=lambda: self.now, **settings
        )

    async def calls_of(self, *values):
        self.calls.made.clear()
        await self.run(*values)
        return self.calls.names


FULL = [
    *("fingerprints", "append_events", "append_snapshots", "correct_events", "correct_snapshots"),
    *("load", "events_in_hours", "snapshots_of_days", "save"),
    *("publish_totals", "publish_dead_letters", "remember"),
]


async def test_a_batch_with_everything_takes_every_step_once_and_in_order():
    world = Watched()
    await world.run(sent(event()), sent(snapshot(10, 100)))
    corrections = sent(event(steps=11, version=1)), sent(snapshot(10, 90, version=1))
    assert await world.calls_of(*corrections, b"bad", sent(event(2), key="k")) == FULL


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([b"bad"], ["publish_dead_letters"]),
        ([sent(event())], ["append_events", "load", "events_in_hours", "save", "publish_totals"]),
        (
            [sent(snapshot(1, 2))],
            ["append_snapshots", "load", "snapshots_of_days", "save", "publish_totals"],
        ),
        (
            [sent(event(), key="k")],
            [
                *("fingerprints", "append_events", "load", "events_in_hours", "save"),
                *("publish_totals", "remember"),
            ],
        ),
        ([], []),
    ],
)
async def test_a_batch_takes_no_step_it_has_nothing_for(values, expected):
    assert await Watched().calls_of(*values) == expected


@pytest.mark.parametrize("number", range(1, len(FULL) + 1))
@pytest.mark.parametrize("mode", Mode)
async def test_no_step_is_taken_after_one_that_failed(number, mode):
    world = World()
    await world.run(sent(event()), sent(snapshot(10, 100)))
    calls, failure = Calls(), Failure({number: mode})
    store, publisher = through(world.store, world.publisher, calls)
    pipeline = pipeline_on(FailingStore(store, failure), FailingPort(publisher, failure))
    corrections = sent(event(steps=11, version=1)), sent(snapshot(10, 90, version=1))
    with pytest.raises(BatchRetryable, match=FULL[number - 1]):
        await pipeline.run(batch(*corrections, b"bad", sent(event(2), key="k")))
    assert [*dict.fromkeys(calls.names)][: number - 1] == FULL[: number - 1]
    assert failure.calls == number


async def test_what_is_saved_is_published_and_what_is_published_is_what_was_saved():
    world = Watched()
    await world.run(sent(event()), sent(event(user_id="u2")))
    calls = dict(world.calls.made)
    assert calls["publish_totals"] == calls["save"]


@pytest.mark.parametrize(
    "values",
    [
        [sent(event(2))],
        [sent(event(700), event(61))],
        [sent(snapshot(11, 120))],
        [sent(snapshot(11, 20))],
        [sent(snapshot(5, 1, device_id="watch"))],
        [sent(event(2)), sent(snapshot(11, 120)), sent(event(3, device_id="watch"))],
    ],
)
async def test_a_day_that_is_known_and_only_grows_is_folded_without_a_read(values):
    world = Watched()
    await world.run(sent(event(1)), sent(snapshot(10, 100)))
    assert not READS & {*await world.calls_of(*values)}
    assert (await world.total()).revision == 2


@pytest.mark.parametrize(
    ("values", "reads"),
    [
        ([sent(event(1))], {"load", "events_in_hours"}),
        ([sent(event(2), event(1))], {"load", "events_in_hours"}),
        ([sent(event(1, steps=9, version=1))], {"load", "events_in_hours"}),
        ([sent(snapshot(10, 100))], {"load", "snapshots_of_days"}),
        ([sent(snapshot(9, 90))], {"load", "snapshots_of_days"}),
        ([sent(snapshot(11, 200), snapshot(9, 90))], {"load", "snapshots_of_days"}),
        ([sent(snapshot(10, 90, version=1))], {"load", "snapshots_of_days"}),
        ([sent(event(2)), sent(snapshot(9, 90))], {"load", "events_in_hours", "snapshots_of_days"}),
    ],
)
async def test_a_duplicate_a_correction_or_a_late_snapshot_is_read_again(values, reads):
    world = Watched()
    await world.run(sent(event(1)), sent(snapshot(10, 100)))
    assert READS & {*await world.calls_of(*values)} == reads


@pytest.mark.parametrize("value", [sent(event(1, version=0)), sent(event(1, steps=9, version=1))])
async def test_what_is_stale_or_in_conflict_touches_no_day(value):
    world = Watched()
    await world.run(sent(event(1, version=1)))
    assert not {*READS, "save", "publish_totals"} & {*await world.calls_of(value)}


async def test_a_chain_that_ends_in_a_zero_is_read_again_by_its_next_snapshot():
    world = Watched()
    await world.run(sent(snapshot(10, 100)))
    assert "snapshots_of_days" not in await world.calls_of(sent(snapshot(11, 0)))
    assert "snapshots_of_days" in await world.calls_of(sent(snapshot(12, 100)))
    assert "snapshots_of_days" not in await world.calls_of(sent(snapshot(13, 130)))
    assert (await world.total()).steps == 130


async def test_only_the_hours_that_were_touched_are_read_again():
    world = Watched()
    await world.run(sent(*(event(60 * n) for n in range(5))))
    await world.calls_of(sent(event(120), event(121), event(60)))
    hours = {("u1", event(minute).minute // 60) for minute in (60, 120)}
    assert dict(world.calls.made)["events_in_hours"] == hours


async def test_an_outcome_tells_how_its_days_were_settled():
    world = World()
    cold = await world.run(sent(event(1)), sent(event(1, user_id="u2")))
    warm = await world.run(sent(event(2)), sent(event(1, user_id="u2")))
    assert [(o.folded, o.reread, o.races) for o in (cold, warm)] == [(0, 2, 0), (1, 1, 0)]
    assert [total.day.user_id for total in warm.totals] == ["u1", "u2"]


async def test_the_day_cache_keeps_no_more_days_than_its_size_the_last_used_ones():
    world = Watched(day_cache_size=1)
    other = partial(event, user_id="u2")
    assert "load" in await world.calls_of(sent(event(1)), sent(other(1)))
    assert len(world.pipeline.cache) == 1
    assert "load" not in await world.calls_of(sent(other(2)))
    assert "load" in await world.calls_of(sent(event(2)))
    assert len(world.pipeline.cache) == 1
    assert "load" in await world.calls_of(sent(other(3)))


async def test_the_day_cache_forgets_the_least_recently_used_day_first():
    world = Watched(day_cache_size=2)
    for user_id in ("u1", "u2", "u1", "u3"):
        await world.run(sent(event(len(world.publisher.published), user_id=user_id)))
    assert "load" not in await world.calls_of(sent(event(50, user_id="u1")))
    assert "load" in await world.calls_of(sent(event(50, user_id="u2")))


async def test_a_cache_that_was_cleared_is_cold():
    world = Watched()
    await world.run(sent(event(1)))
    world.pipeline.cache.clear()
    assert len(world.pipeline.cache) == 0
    assert "load" in await world.calls_of(sent(event(2)))


async def test_days_are_read_again_in_bounded_portions():
    world = Watched()
    users = [f"u{n}" for n in range(REREAD_DAYS_MAX + 1)]
    outcome = await world.run(*(sent(event(user_id=user_id)) for user_id in users))
    loads = [len(days) for name, days in world.calls.made if name == "load"]
    assert loads == [REREAD_DAYS_MAX, 1]
    assert world.calls.count()["publish_totals"] == 1
    assert {total.day.user_id for total in outcome.totals} == {*users}


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
@pytest.mark.parametrize("step", ["correct_events", "load", "events_in_hours", "save"])
@pytest.mark.parametrize("is_restarted", [False, True])
async def test_so_does_the_redelivered_correction_after_a_crash(date, other, step, is_restarted):
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


@pytest.mark.parametrize("is_warm", [False, True])
@pytest.mark.parametrize("races", [1, 3, RACES_MAX])
async def test_a_lost_race_is_read_again_and_ends_right(is_warm, races):
    world = World()
    other = pipeline_on(world.store, world.publisher)
    things = [partial(other.run, batch(sent(event(n)))) for n in range(20, 20 + races)]
    meanwhile = Meanwhile("save", things)
    pipeline = pipeline_on(store_through(world.store, meanwhile), world.publisher)
    if is_warm:
        pipeline.cache.put((await world.run(sent(event(1)))).totals)
    elif races == RACES_MAX:
        races -= 1
        things.pop()
        meanwhile = Meanwhile("save", things)
        pipeline = pipeline_on(store_through(world.store, meanwhile), world.publisher)
    outcome = await pipeline.run(batch(sent(event(2))))
    assert (meanwhile.done, outcome.races) == (races, races)
    await assert_right(world.store, world.publisher)
    assert (await world.total()).steps == 10 * (races + 1 + is_warm)
    assert pipeline.cache.get(DAY) == await world.total()


async def test_a_day_that_lost_its_race_takes_no_other_day_with_it():
    world = World()
    other = pipeline_on(world.store, world.publisher)
    meanwhile = Meanwhile("save", [partial(other.run, batch(sent(event(9))))])
    calls = Calls()
    pipeline = pipeline_on(
        store_through(store_through(world.store, calls), meanwhile), world.publisher
    )
    outcome = await pipeline.run(batch(sent(event(1)), sent(event(1, user_id="u2"))))
    assert outcome.races == 1
    saved = [[total.day.user_id for total in rows] for name, rows in calls.made if name == "save"]
    assert [sorted(users) for users in saved] == [["u1", "u2"], ["u1"]]
    await assert_right(world.store, world.publisher)


async def test_a_race_lost_too_often_retries_the_batch_which_then_ends_right():
    world = World()
    other = pipeline_on(world.store, world.publisher)
    things = [partial(other.run, batch(sent(event(n)))) for n in range(20, 20 + RACES_MAX)]
    meanwhile = Meanwhile("save", things)
    pipeline = pipeline_on(store_through(world.store, meanwhile), world.publisher)
    message = batch(sent(event(1), key="k"))
    with pytest.raises(BatchRetryable, match=f"1 days .* {RACES_MAX} attempts"):
        await pipeline.run(message)
    assert meanwhile.done == RACES_MAX
    assert not await world.is_known("u1", "k")
    assert counts_of(await pipeline.run(message)) == {"duplicates": 1}
    await assert_right(world.store, world.publisher)
    assert len(await log_of(world.store)) == RACES_MAX + 1
