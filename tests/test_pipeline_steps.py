"""How a batch gets there: the order of the steps, the fast path, crashes, lost races (DESIGN 7)."""

from functools import partial

import pytest

from ingest.errors import BatchRetryable
from ingest.pipeline import REREAD_DAYS_MAX
from tests.batches import assert_right, batch, pipeline_on, sent
from tests.fakes import (
    Calls,
    FailingPort,
    FailingStore,
    Failure,
    Mode,
    through,
)
from tests.test_pipeline import World, event, snapshot

READS = {"load", "count_in_hours", "events_in_hours", "snapshots_of_days"}


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
        ([sent(event(1))], {"load", "count_in_hours"}),
        ([sent(event(2), event(1))], {"load", "count_in_hours", "events_in_hours"}),
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
    world.pipeline.cache.put([await world.total()])  # without the snapshots that it counts
    assert READS & {*await world.calls_of(*values)} == reads


@pytest.mark.parametrize(
    ("values", "reads"),
    [
        ([sent(snapshot(9, 90))], set()),
        ([sent(snapshot(11, 200), snapshot(9, 90))], set()),
        ([sent(event(2)), sent(snapshot(9, 90))], set()),
        ([sent(snapshot(9, 90)), sent(snapshot(9, 90))], set()),
        ([sent(snapshot(10, 100)), sent(snapshot(9, 90))], set()),
        ([sent(snapshot(10, 100)), sent(event(2))], set()),
        ([sent(snapshot(10, 100))], {"load"}),
        ([sent(snapshot(10, 90, version=1))], {"load", "snapshots_of_days"}),
        ([sent(snapshot(10, 100)), sent(event(1))], {"load", "count_in_hours"}),
    ],
)
async def test_a_late_or_repeated_snapshot_is_not_where_those_counted_are_at_hand(values, reads):
    world = Watched()
    await world.run(sent(event(1)), sent(snapshot(10, 100)))
    assert READS & {*await world.calls_of(*values)} == reads


async def test_snapshots_are_still_at_hand_after_what_did_not_touch_them():
    world = Watched()
    await world.run(sent(event(1)), sent(snapshot(10, 100)))
    await world.run(sent(event(2)))  # folded
    await world.run(sent(event(2)))  # read again
    assert not READS & {*await world.calls_of(sent(snapshot(9, 90)))}


@pytest.mark.parametrize("value", [sent(event(1, version=0)), sent(event(1, steps=9, version=1))])
async def test_what_is_stale_or_in_conflict_touches_no_day(value):
    world = Watched()
    await world.run(sent(event(1, version=1)))
    assert not {*READS, "save", "publish_totals"} & {*await world.calls_of(value)}


async def test_a_chain_that_ends_in_a_zero_is_read_again_by_its_next_snapshot():
    world = Watched()
    await world.run(sent(snapshot(10, 100)))
    assert "snapshots_of_days" not in await world.calls_of(sent(snapshot(11, 0)))
    world.pipeline.cache.put([await world.total()])  # without the snapshots that it counts
    assert "snapshots_of_days" in await world.calls_of(sent(snapshot(12, 100)))
    assert "snapshots_of_days" not in await world.calls_of(sent(snapshot(13, 130)))
    assert (await world.total()).steps == 130


async def test_only_hours_that_changed_are_read_again_and_only_repeated_ones_counted():
    world = Watched()
    await world.run(sent(*(event(60 * n) for n in range(5))))
    await world.calls_of(sent(event(120), event(121), event(60), event(181)))
    calls = dict(world.calls.made)
    assert calls["count_in_hours"] == {("u1", event(minute).minute // 60) for minute in (60, 120)}
    assert calls["events_in_hours"] == {("u1", event(minute).minute // 60) for minute in (120, 180)}


async def test_a_repeated_hour_whose_total_misses_an_event_is_read_again():
    """As after a crash: one of its events was appended, by a batch that is not redelivered yet."""
    world = Watched()
    await world.run(sent(event(1), event(60)))
    await world.store.log.append_events([event(2)])
    world.calls.made.clear()
    await world.pipeline.run(batch(sent(event(1), event(60))))
    assert dict(world.calls.made)["events_in_hours"] == {("u1", event(1).minute // 60)}
    await assert_right(world.store, world.publisher)
    assert (await world.total()).steps == 30


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
