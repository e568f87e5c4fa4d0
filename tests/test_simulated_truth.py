"""Everything wrong at once, and every total right: replays of simulated devices, to the last digit.

The truth is worked out from what the devices did (`ingest.simulation.oracle`), the totals from the
messages that came of it, through the queue and the pipeline in batches of any size.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any

import pytest

from ingest.core.documents import total_message
from ingest.core.merge import DeviceMerge
from ingest.core.totals import Rules
from ingest.outcome import Outcome
from ingest.pipeline import Pipeline
from ingest.ports import Message, Scope, Store
from ingest.queues.memory import MemoryTopics
from ingest.replay import totals_of
from ingest.simulation import Plan, messages, truth
from ingest.stores.memory import memory_store

NOW = datetime(2025, 12, 1, tzinfo=UTC)
SEEDS = range(100)
SOME_SEEDS = range(0, 100, 17)
DEVICES = (2, 3, 2, 3, 1)
BATCH_SIZES = (1, 7, 50, 1000)
MERGES = ("sum", "prefer:GARMIN,APPLE_HEALTH", "prefer:NO_SUCH_SOURCE")
REVISED = {"revision", "updated_at"}
RATES = {"duplicates": 0.3, "late": 0.3, "resets": 0.5, "corrections": 0.3, "malformed": 0.3}


def plan_of(seed: int) -> Plan:
    return Plan(users=2, days=2, devices=DEVICES[seed % len(DEVICES)], seed=seed, **RATES)


@cache
def lines_of(seed: int) -> Sequence[bytes]:
    return [*messages(plan_of(seed))]


def pipeline_of(store: Store, topics: MemoryTopics, *, merge: str, days: int) -> Pipeline:
    return Pipeline(
        store,
        topics,
        rules=Rules(merge=DeviceMerge.of(merge)),
        now=lambda: NOW,
        future_skew_max=timedelta(hours=24),
        day_cache_size=days,
    )


def fields_of(message: dict[str, Any]) -> list[tuple[str, Any]]:
    """The fields in their order, without those that depend on how the records arrived."""
    fields = [(name, value) for name, value in message.items() if name not in REVISED]
    return [(name, [*v.items()] if isinstance(v, dict) else v) for name, v in fields]


class Replayed:
    """A store, and what came out of it, after messages went through in batches."""

    def __init__(self, merge: str = "max", *, days: int = 1000) -> None:
        self.store = memory_store(timedelta(days=7))
        self.dead_letters = Counter[str]()
        self.topics = MemoryTopics(
            lambda letter: self.dead_letters.update({letter.refusal.reason: letter.refusal.records})
        )
        self.pipeline = pipeline_of(self.store, self.topics, merge=merge, days=days)

    async def run(self, lines: Sequence[bytes], batch_size: int) -> list[Outcome]:
        batches = (lines[i : i + batch_size] for i in range(0, len(lines), batch_size))
        return [
            await self.pipeline.run([Message(line, None, "f", 0, i) for i, line in enumerate(b)])
            for b in batches
        ]

    async def stored(self) -> list[list[tuple[str, Any]]]:
        pages = self.store.totals.scan(Scope())
        users = {total.day.user_id async for page in pages for total in page}
        return [fields_of(total_message(total)) async for total in totals_of(users, self.store)]

    def published(self) -> Iterator[list[tuple[str, Any]]]:
        for _, total in sorted(self.topics.totals.items()):
            if total.devices:
                yield fields_of(total_message(total))


def told_by(seed: int, merge: str = "max") -> list[list[tuple[str, Any]]]:
    return [fields_of(total) for total in truth(plan_of(seed), DeviceMerge.of(merge))]


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_is_stored_and_published_is_the_truth(seed: int) -> None:
    replayed = Replayed()
    outcomes = await replayed.run(lines_of(seed), BATCH_SIZES[seed % len(BATCH_SIZES)])
    told = told_by(seed)
    assert len(told) == 4
    assert await replayed.stored() == told
    assert [*replayed.published()] == told
    for outcome in outcomes:
        assert outcome.records == (
            outcome.accepted
            + outcome.duplicates
            + outcome.corrected
            + outcome.stale
            + outcome.rejected
        )
    stored = sum(dict(total)["events_count"] + dict(total)["snapshots_count"] for total in told)
    assert sum(outcome.accepted for outcome in outcomes) == stored
    rejected = sum(outcome.rejected for outcome in outcomes)
    assert rejected == replayed.dead_letters.total() > 0
    assert sum(outcome.conflicts for outcome in outcomes) == 0
    assert sum(outcome.messages for outcome in outcomes) == len(lines_of(seed))


@pytest.mark.parametrize("merge", MERGES)
@pytest.mark.parametrize("seed", SOME_SEEDS)
async def test_it_is_the_truth_under_every_device_merge(seed: int, merge: str) -> None:
    replayed = Replayed(merge)
    await replayed.run(lines_of(seed), 100)
    assert await replayed.stored() == told_by(seed, merge)


@pytest.mark.parametrize("seed", SOME_SEEDS)
async def test_it_is_the_truth_with_a_cache_of_one_day(seed: int) -> None:
    replayed = Replayed(days=1)
    await replayed.run(lines_of(seed), 3)
    assert len(replayed.pipeline.cache) == 1
    assert await replayed.stored() == told_by(seed)


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
@pytest.mark.parametrize("seed", SOME_SEEDS[:2])
async def test_it_is_the_truth_in_any_order_however_often(seed: int, batch_size: int) -> None:
    lines = [*lines_of(seed), *lines_of(seed)]
    Random(seed).shuffle(lines)  # noqa: S311 - a test's order, no secret
    replayed = Replayed()
    await replayed.run(lines, batch_size)
    assert await replayed.stored() == told_by(seed)
    assert [*replayed.published()] == told_by(seed)


@pytest.mark.parametrize("seed", SOME_SEEDS)
async def test_the_verdicts_are_the_same_in_batches_of_any_size(seed: int) -> None:
    verdicts = set()
    for batch_size in BATCH_SIZES:
        outcomes = await Replayed().run(lines_of(seed), batch_size)
        verdicts.add(tuple(map(sum, zip(*(outcome[:8] for outcome in outcomes), strict=True))))
    assert len(verdicts) == 1


def test_the_seeds_bring_up_everything_that_can_go_wrong() -> None:
    told = [dict(total) for seed in SEEDS for total in told_by(seed)]
    assert {total["basis"] for total in told} == {"events", "mixed"}
    assert {total["resets"] for total in told} >= {0, 1}
    assert any(told_by(seed) != told_by(seed, merge) for seed in SOME_SEEDS for merge in MERGES)
