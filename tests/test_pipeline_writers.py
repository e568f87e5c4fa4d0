"""Two writers of the same days, interleaved at every call, end in the totals of the log (P2).

A call of the memory store is atomic, so a schedule of calls is every way in which two can meet.
"""

from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from types import coroutine
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.stores.memory import memory_store
from tests.batch_strategies import sent_batches, thorough, values_of, written
from tests.batches import (
    TTL,
    adds_up,
    assert_right,
    log_of,
    messages_of,
    pipeline_on,
    run_until_done,
)
from tests.core.strategies import distinct_records, identity, rules
from tests.fakes import RecordingPublisher, through


@coroutine
def turn() -> Iterator[None]:
    """Lets whoever drives this coroutine take another first."""
    yield


async def at_a_turn(_name: str, method: Any, *args: Any) -> Any:
    await turn()
    return await method(*args)


async def write(pipeline, batches: Sequence[Sequence[bytes]]) -> None:
    for values in batches:
        assert adds_up(await run_until_done(pipeline, values))


def in_turns(writers: Sequence[Coroutine[Any, Any, None]], data: st.DataObject) -> None:
    """Drive each coroutine from call to call, in any order, until all are done."""
    running = [*writers]
    try:
        while running:
            writer = running[data.draw(st.integers(0, len(running) - 1))]
            try:
                writer.send(None)
            except StopIteration:
                running.remove(writer)
    finally:
        for writer in running:  # where hypothesis gave up drawing
            writer.close()


@settings(thorough, max_examples=120)
@given(
    st.lists(sent_batches(2), min_size=1, max_size=3),
    st.lists(sent_batches(2), min_size=1, max_size=3),
    st.integers(0, 2),
    rules,
    st.data(),
)
async def test_two_writers_of_the_same_days_end_in_the_totals_of_the_log(
    own, others, shared, by, data
):
    """Some batches go to both, as when a worker wakes up that no longer owns the partition."""
    store, publisher = memory_store(TTL), RecordingPublisher()
    writers = []
    for batches in (own, own[:shared] + others):
        pipeline = pipeline_on(*through(store, publisher, at_a_turn), rules=by)
        writers.append(write(pipeline, [values_of(messages) for messages in batches]))
    in_turns(writers, data)
    await assert_right(store, publisher, by)


@settings(thorough, max_examples=100)
@given(distinct_records.filter(bool), st.data())
async def test_two_writers_that_share_the_records_of_a_day_lose_none(records, data):
    days = {"user_id": "u1", "device_id": "phone", "source": "MANUAL"}
    alike = {identity(r): r for r in (written(r)._replace(**days) for r in records)}
    store, publisher = memory_store(TTL), RecordingPublisher()
    sides = data.draw(st.lists(st.integers(0, 2), min_size=len(alike), max_size=len(alike)))
    writers = []
    for side in (0, 1):  # 2 is both
        own = [r for r, to in zip(alike.values(), sides, strict=True) if to in (side, 2)]
        batches = [messages_of([record]) for record in own]
        writers.append(write(pipeline_on(*through(store, publisher, at_a_turn)), batches))
    in_turns(writers, data)
    assert Counter(await log_of(store)) == Counter(alike.values())
    await assert_right(store, publisher)
