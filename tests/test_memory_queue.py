"""The in-process queue: bounded, in order, and nothing leaves it unacknowledged."""

import asyncio
from datetime import timedelta

import pytest
import pytest_asyncio

from ingest.core.records import Day
from ingest.core.refusals import Refusal
from ingest.core.totals import Rules, recompute
from ingest.embedded import drain
from ingest.errors import BatchRetryable, Reason
from ingest.ports import DeadLetter, Message
from ingest.queues.memory import BATCH_BYTES_MAX, MemoryQueue, MemoryTopics
from ingest.retries import Patience
from ingest.stores.memory import memory_store
from tests.batches import TTL, assert_right, batch, counts_of, pipeline_on, sent
from tests.fakes import Failure, Mode, RecordingPublisher, through
from tests.test_pipeline import event

DEADLINE_SECONDS = 10
AT_ONCE = Patience(timedelta(seconds=1), timedelta())  # a batch that raises is not tried again


class PromptQueue(MemoryQueue):
    """The queue, on which nobody waits for ever: a test that would hang fails instead."""

    async def put(self, messages):
        async with asyncio.timeout(DEADLINE_SECONDS):
            await super().put(messages)

    async def take(self, size_max, bytes_max=BATCH_BYTES_MAX):
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await super().take(size_max, bytes_max)


def numbered(*sizes: int, first: int = 0) -> list[Message]:
    """Messages of these sizes in bytes, one offset after the other."""
    return [Message(b"x" * size, None, "f", 0, first + n) for n, size in enumerate(sizes)]


async def turns(count: int = 20) -> None:
    """Lets every other task run until it waits."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest_asyncio.fixture
async def started():
    """Starts coroutines beside the test, and waits until each is done when the test is."""
    tasks = []

    def start(coro):
        tasks.append(asyncio.ensure_future(coro))
        return tasks[-1]

    yield start
    await asyncio.gather(*tasks)


async def test_messages_come_out_in_the_order_they_went_in():
    queue = PromptQueue()
    messages = numbered(*[1] * 9)
    for own in (messages[:1], messages[1:5], [], messages[5:]):
        await queue.put(own)
    assert len(queue) == 9
    taken = []
    for size_max in (2, 3, 100):
        taken += (own := await queue.take(size_max))
        await queue.acknowledge(len(own))
    assert taken == messages
    assert len(queue) == 0


async def test_what_was_taken_and_not_acknowledged_is_taken_again():
    queue = PromptQueue()
    messages = numbered(1, 1, 1)
    await queue.put(messages)
    assert await queue.take(2) == messages[:2]
    assert await queue.take(3) == messages
    await queue.acknowledge(1)
    assert await queue.take(2) == messages[1:]
    assert len(queue) == 2


@pytest.mark.parametrize(
    ("size_max", "bytes_max", "expected"),
    [
        (1, 100, 1),
        (3, 100, 3),
        (9, 100, 4),
        (9, 18, 4),
        (9, 17, 3),
        (9, 9, 3),
        (9, 8, 2),
        (9, 4, 1),
        (9, 2, 1),
        (9, 1, 1),
        (2, 17, 2),
    ],
)
async def test_a_batch_respects_both_bounds_and_is_never_empty(size_max, bytes_max, expected):
    queue = PromptQueue()
    messages = numbered(2, 4, 3, 9)
    await queue.put(messages)
    assert await queue.take(size_max, bytes_max) == messages[:expected]


async def test_a_message_of_no_bytes_is_a_message():
    queue = PromptQueue(messages_max=2, bytes_max=1)
    await queue.put(numbered(0, 0))
    assert await queue.take(9, 0) == numbered(0, 0)


async def test_a_consumer_waits_for_the_first_message_and_for_no_more(started):
    queue = PromptQueue()
    taking = started(queue.take(5))
    await turns()
    assert not taking.done()
    await queue.put(numbered(1))
    assert await taking == numbered(1)


@pytest.mark.parametrize(
    ("messages_max", "bytes_max", "sizes", "room"),
    [
        (3, 100, [1] * 5, 3),
        (1, 100, [1] * 3, 1),
        (100, 6, [2] * 5, 3),
        (100, 7, [2] * 5, 3),
        (100, 5, [2, 3, 1], 2),
        (2, 5, [2, 2, 1], 2),
        (100, 5, [0, 9, 1], 1),
    ],
)
async def test_a_producer_waits_while_the_queue_is_full(
    started, messages_max, bytes_max, sizes, room
):
    queue = PromptQueue(messages_max, bytes_max)
    messages = numbered(*sizes)
    putting = started(queue.put(messages))
    await turns()
    assert not putting.done()
    assert await queue.take(100, 100) == messages[:room]
    taken = []
    while len(taken) < len(messages):
        assert len(queue) <= messages_max
        own = await queue.take(100, 100)
        assert len(own) == 1 or sum(len(message.value) for message in own) <= bytes_max
        await queue.acknowledge(1)
        taken += own[:1]
    assert taken == messages


async def test_taking_makes_no_room_but_acknowledging_does(started):
    queue = PromptQueue(messages_max=1)
    putting = started(queue.put(numbered(1, 1)))
    await turns()
    await queue.take(1)
    await turns()
    assert not putting.done()
    await queue.acknowledge(1)
    await putting
    assert await queue.take(9) == numbered(1, 1)[1:]


@pytest.mark.parametrize("before", [[], [1], [1, 1]])
async def test_a_message_larger_than_all_room_goes_in_alone(started, before):
    queue = PromptQueue(messages_max=10, bytes_max=4)
    messages = numbered(*before, 9, 1)
    putting = started(queue.put(messages))
    for count in (len(before), 1, 1):
        await turns()
        assert len(queue) == (count or 1)
        if count:
            await queue.acknowledge(count)
    await putting
    assert len(queue) == 0


async def test_bytes_are_given_back_when_their_messages_are_acknowledged(started):
    queue = PromptQueue(messages_max=100, bytes_max=10)
    for _ in range(5):
        await queue.put(numbered(4, 6))
        putting = started(queue.put(numbered(1)))
        await turns()
        assert not putting.done()
        await queue.acknowledge(2)
        await putting
        await queue.acknowledge(1)


async def test_several_producers_all_get_in_each_in_its_own_order(started):
    queue = PromptQueue(messages_max=2)
    producers = [numbered(*[1] * 5, first=100 * n) for n in range(3)]
    for messages in producers:
        started(queue.put(messages))
    taken = []
    while len(taken) < 15:
        taken += (own := await queue.take(9))
        await queue.acknowledge(len(own))
    for messages in producers:
        assert [message for message in taken if message in messages] == messages


async def test_a_closed_queue_gives_what_it_holds_and_then_nothing():
    queue = PromptQueue()
    await queue.put(numbered(1, 1))
    await queue.close()
    assert await queue.take(1) == numbered(1)
    assert await queue.take(9) == numbered(1, 1)
    await queue.acknowledge(2)
    assert await queue.take(9) == []
    assert await queue.take(9) == []


async def test_closing_wakes_a_waiting_consumer(started):
    queue = PromptQueue()
    taking = started(queue.take(1))
    await turns()
    assert not taking.done()
    await queue.close()
    assert await taking == []


async def test_draining_runs_and_acknowledges_every_batch_in_order(started):
    queue, store, publisher = PromptQueue(messages_max=2), memory_store(TTL), RecordingPublisher()
    outcomes = []

    async def produce():
        await queue.put(batch(*(sent(event(n)) for n in range(1, 6))))
        await queue.close()

    started(produce())
    await drain(
        queue,
        pipeline_on(store, publisher),
        batch_size_max=2,
        patience=AT_ONCE,
        on_outcome=outcomes.append,
    )
    assert sum(outcome.accepted for outcome in outcomes) == 5
    assert max(outcome.messages for outcome in outcomes) <= 2
    assert len(queue) == 0
    await assert_right(store, publisher)


async def test_a_batch_that_failed_stays_in_the_queue_and_is_drained_again():
    queue, store, publisher = PromptQueue(), memory_store(TTL), RecordingPublisher()
    await queue.put(batch(sent(event(1)), sent(event(2))))
    await queue.close()
    pipeline = pipeline_on(*through(store, publisher, Failure({4: Mode.AFTER})))
    outcomes = []
    with pytest.raises(BatchRetryable):
        await drain(queue, pipeline, batch_size_max=9, patience=AT_ONCE, on_outcome=outcomes.append)
    assert (len(queue), outcomes) == (2, [])
    await drain(queue, pipeline, batch_size_max=9, patience=AT_ONCE, on_outcome=outcomes.append)
    assert (len(queue), counts_of(outcomes[0])) == (0, {"duplicates": 2})
    await assert_right(store, publisher)


DAY = Day("u1", "2025-11-13")


def total(revision, steps=0, user_id="u1"):
    rows = [event(steps=steps, user_id=user_id)]
    known = recompute(Day(user_id, DAY.date), rows, [], Rules(), None)
    return known._replace(revision=revision)


@pytest.mark.parametrize(
    "revisions", [(1, 2, 3), (3, 2, 1), (2, 3, 1), (3, 1, 2), (3, 3, 1), (1, 3, 3)]
)
async def test_topics_keep_the_highest_revision_of_a_day_whatever_the_order(revisions):
    together, apart = MemoryTopics([].append), MemoryTopics([].append)
    totals = [total(revision, steps=revision) for revision in revisions]
    await together.publish_totals(totals)
    for own in totals:
        await apart.publish_totals([own])
    assert together.totals == apart.totals == {DAY: total(3, steps=3)}


async def test_topics_keep_each_day_by_itself():
    topics = MemoryTopics([].append)
    totals = [total(1), total(5, user_id="u2"), total(2)]
    await topics.publish_totals(totals)
    assert topics.totals == {DAY: totals[2], totals[1].day: totals[1]}


async def test_topics_hand_every_dead_letter_on_in_order():
    seen = []
    message = batch(b"{}")[0]
    letters = [
        DeadLetter(Refusal(Reason.MALFORMED_MESSAGE, "message", None, 1, b"%d" % n), message)
        for n in range(3)
    ]
    topics = MemoryTopics(seen.append)
    await topics.publish_dead_letters(letters[:2])
    await topics.publish_dead_letters(letters[2:])
    assert seen == letters


async def test_an_offer_is_taken_whole_or_not_at_all():
    queue = PromptQueue(messages_max=3, bytes_max=10)
    assert await queue.offer(numbered(2, 2))
    assert not await queue.offer(numbered(2, 2, first=2))
    assert not await queue.offer(numbered(7, first=2))
    assert await queue.offer(numbered(6, first=2))
    assert [message.offset for message in await queue.take(10)] == [0, 1, 2]
    await queue.acknowledge(3)
    assert await queue.offer(numbered(9, 9, 9, 9))
    assert not await queue.offer(numbered(1, first=4))


async def test_what_waits_for_room_goes_in_whole_and_leaves_nothing_if_it_goes():
    queue = PromptQueue(messages_max=2)
    assert await queue.offer(numbered(1, 1))
    gone = asyncio.create_task(queue.put_whole(numbered(1, 1, first=2)))
    waiting = asyncio.create_task(queue.put_whole(numbered(1, 1, first=4)))
    await turns()
    gone.cancel()
    await queue.acknowledge(1)
    await turns()
    assert [message.offset for message in await queue.take(10)] == [1]
    await queue.acknowledge(1)
    await asyncio.wait_for(waiting, DEADLINE_SECONDS)
    assert [message.offset for message in await queue.take(10)] == [4, 5]
