"""Erasing while Kafka goes away: nothing before the tombstones are there, and again is enough."""

from collections.abc import Iterable

import pytest

from ingest.core.records import Day
from ingest.erasure import erase_with_tombstones
from ingest.errors import QueueUnavailable
from ingest.stores.memory import memory_store
from tests.batches import TTL, batch, log_of, pipeline_on, totals_of
from tests.fakes import RecordingPublisher
from tests.lines import DATE, event, events


class Topic:
    """A topic that keeps its tombstones, and is away at one of the attempts to send them."""

    def __init__(self, away_at: int) -> None:
        self.tombstones: list[Day] = []
        self._left = away_at

    async def delete_totals(self, days: Iterable[Day]) -> None:
        self._left -= 1
        if self._left == 0:
            raise QueueUnavailable("away")
        self.tombstones += days


@pytest.mark.parametrize("away_at", [1, 2, 3])
async def test_a_broker_that_goes_away_leaves_no_total_without_its_tombstone(away_at: int) -> None:
    store = memory_store(TTL)
    await pipeline_on(store, RecordingPublisher()).run(batch(events(event(0))))
    before = await log_of(store), await totals_of(store)
    topic = Topic(away_at)
    try:
        counts = await erase_with_tombstones(store, topic, "u1")
        assert (counts["activity_events"], counts["tombstones"]) == (1, 1)
    except QueueUnavailable:
        if not topic.tombstones:
            assert (await log_of(store), await totals_of(store)) == before
        await erase_with_tombstones(store, topic, "u1")
    assert Day("u1", DATE) in topic.tombstones
    assert (await log_of(store), await totals_of(store)) == ([], {})


async def test_tombstones_go_over_what_was_published_meanwhile() -> None:
    store = memory_store(TTL)
    await pipeline_on(store, RecordingPublisher()).run(batch(events(event(0))))
    topic = Topic(away_at=0)
    await erase_with_tombstones(store, topic, "u1")
    assert topic.tombstones == [Day("u1", DATE)] * 2
