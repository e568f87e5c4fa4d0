"""Republishing beside a worker: what is last in the topic is what is stored, or nothing."""

from collections.abc import Iterable, Sequence

from ingest.core.records import Day
from ingest.core.totals import DailyTotal
from ingest.ports import Scope
from ingest.republish import republish
from ingest.stores.memory import memory_store
from tests.batches import TTL, batch, pipeline_on, totals_of
from tests.fakes import RecordingPublisher
from tests.lines import event, events


class Topic:
    """The last value of each day; `meanwhile` runs once, right after the next totals came."""

    def __init__(self, meanwhile) -> None:
        self.last: dict[Day, DailyTotal | None] = {}
        self._meanwhile = [meanwhile]

    async def publish_totals(self, totals: Sequence[DailyTotal]) -> None:
        meanwhile = self._meanwhile.pop() if self._meanwhile else None
        if meanwhile is not None:
            await meanwhile()
        self.last |= {total.day: total for total in totals}

    async def delete_totals(self, days: Iterable[Day]) -> None:
        self.last |= dict.fromkeys(days)


async def left_in_the_topic(meanwhile) -> tuple[dict, dict]:
    """What a topic holds in the end, and what is stored, of a republish beside something else."""
    store = memory_store(TTL)
    pipeline = pipeline_on(store, RecordingPublisher())
    await pipeline.run(batch(events(event(0)), events(event(1), user="u2")))

    async def happens() -> None:
        await meanwhile(store, pipeline)

    topic = Topic(happens)
    sent = await republish(store.totals, topic, Scope(), since=None, on_totals=lambda _: None)
    assert sent == 2
    return topic.last, await totals_of(store)


async def test_a_total_saved_meanwhile_is_what_stays_in_the_topic() -> None:
    async def saved(_, pipeline) -> None:
        await pipeline.run(batch(events(event(2))))

    last, stored = await left_in_the_topic(saved)
    assert last == stored
    assert {total.revision for total in last.values()} == {1, 2}


async def test_a_user_erased_meanwhile_does_not_come_back() -> None:
    async def erased(store, _) -> None:
        await store.totals.erase("u1")

    last, stored = await left_in_the_topic(erased)
    deleted = [day for day, total in last.items() if total is None]
    assert [day.user_id for day in deleted] == ["u1"]
    assert {day: total for day, total in last.items() if total} == stored
