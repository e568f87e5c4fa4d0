"""What is run, what is acknowledged, and what is left to another worker."""

import asyncio
from contextlib import suppress

import pytest

from ingest.errors import BatchRetryable, StoreUnavailable, WorkerStopped
from ingest.stores.memory import memory_store
from ingest.worker.batches import Place
from tests.batches import TTL
from tests.fakes import Calls, PortThrough, RecordingPublisher, store_through
from tests.worker.taking import (
    EVENTS,
    SNAPSHOTS,
    Taking,
    day,
    delivery,
    places,
    steps,
    total,
    until,
)


class Gate:
    """Stops a method of a store until it is opened, or raises there what it is told to."""

    def __init__(self, method: str = "append_events", *, partition_user: str | None = None) -> None:
        self._method = method
        self._user = partition_user
        self.opened = asyncio.Event()
        self.reached = 0
        self.error: Exception | None = None

    async def __call__(self, name, method, *arguments):
        if name == self._method and self._is_for(arguments[0]):
            self.reached += 1
            if self.error is not None:
                raise self.error
            await self.opened.wait()
        return await method(*arguments)

    def _is_for(self, rows) -> bool:
        return self._user is None or any(row.user_id == self._user for row in rows)


def gated(**options) -> tuple[Taking, Gate]:
    gate = Gate(**options)
    return Taking(store_through(memory_store(TTL), gate)), gate


async def test_a_batch_moves_the_position_of_each_topic_and_partition_behind_its_last_message():
    taking = Taking()
    await taking.run(
        delivery(steps("u1", 5), 0, 40),
        delivery(steps("u1", 6, minute=1), 0, 41),
        delivery(total("u2", 9), 3, 7, topic=SNAPSHOTS),
    )
    assert taking.batches.positions == {Place(EVENTS, 0): 42, Place(SNAPSHOTS, 3): 8}
    assert sorted(taking.published) == [day("u1", 11), day("u2", 9)]


async def test_both_topics_of_a_partition_are_one_lot():
    calls = Calls()
    taking = Taking(store_through(memory_store(TTL), calls))
    await taking.run(
        delivery(steps("u1", 5), 2, 0), delivery(total("u1", 9), 2, 0, topic=SNAPSHOTS)
    )
    assert calls.count()["save"] == 1
    assert taking.published == [day("u1", 9)]


async def test_no_position_moves_before_the_pipeline_has_returned():
    taking, gate = gated()
    running = asyncio.create_task(taking.run(delivery(steps("u1", 5), 0, 0)))
    await until(lambda: gate.reached == 1)
    assert taking.batches.positions == {}
    gate.opened.set()
    await running
    assert taking.batches.positions == {Place(EVENTS, 0): 1}


async def test_partitions_do_not_wait_for_each_other():
    taking, gate = gated(partition_user="u1")
    running = asyncio.create_task(
        taking.run(delivery(steps("u1", 5), 0, 0), delivery(steps("u2", 6), 1, 0))
    )
    await until(lambda: taking.batches.positions == {Place(EVENTS, 1): 1})
    assert not running.done()
    gate.opened.set()
    await running
    assert taking.batches.positions == {Place(EVENTS, 0): 1, Place(EVENTS, 1): 1}


async def test_while_the_store_is_away_a_lot_is_tried_again_and_says_why():
    taking, gate = gated()
    gate.error = StoreUnavailable("MongoDB does not answer")
    running = asyncio.create_task(taking.run(delivery(steps("u1", 5), 3, 0)))
    await until(lambda: gate.reached > 2)
    assert taking.batches.waiting == {3: "MongoDB does not answer"}
    assert taking.batches.positions == {}
    gate.error = None
    gate.opened.set()
    await running
    assert taking.batches.waiting == {}
    assert taking.published == [day("u1", 5)]
    assert taking.metric("ingest_retries_total", error="StoreUnavailable") >= 3


async def test_what_was_lost_before_it_could_be_published_is_neither_published_nor_acknowledged():
    taking = Taking()
    taking.group.on_confirm = lambda: taking.group.lost.add(Place(EVENTS, 0))
    await taking.run(delivery(steps("u1", 5), 0, 0))
    assert (taking.published, taking.batches.positions) == ([], {})
    assert taking.metric("ingest_dropped_batches_total") == 1


async def test_a_generation_that_passed_meanwhile_is_lost_too():
    taking = Taking()

    def rebalance() -> None:
        taking.group.generation = 2

    taking.group.on_confirm = rebalance
    await taking.run(delivery(steps("u1", 5), 0, 0))
    assert (taking.published, taking.batches.positions) == ([], {})


async def test_dead_letters_of_what_was_lost_are_not_published_either():
    taking = Taking()
    taking.group.on_confirm = lambda: taking.group.lost.add(Place(EVENTS, 0))
    await taking.run(delivery(b"nonsense", 0, 0))
    assert taking.publisher.dead_letters == []


async def test_without_an_answer_to_whether_it_is_owned_it_is_asked_again():
    taking = Taking()
    answers = iter([BatchRetryable("no answer"), BatchRetryable("no answer")])

    def answer() -> None:
        for error in answers:
            raise error

    taking.group.on_confirm = answer
    await taking.run(delivery(steps("u1", 5), 0, 0))
    assert taking.group.confirmed == 3
    assert taking.published == [day("u1", 5)]


async def test_nothing_follows_a_dropped_lot_in_its_partition():
    taking = Taking()
    taking.group.lost.add(Place(EVENTS, 0))
    await taking.run(delivery(steps("u1", 5), 0, 0), delivery(steps("u2", 6), 1, 0))
    taking.group.lost.clear()  # as after a commit that was refused for a moment
    await taking.run(delivery(steps("u1", 7, minute=1), 0, 1), delivery(steps("u2", 8), 1, 1))
    assert taking.batches.positions == {Place(EVENTS, 1): 2}


async def test_a_partition_that_is_assigned_again_goes_on():
    taking = Taking()
    taking.group.lost.add(Place(EVENTS, 0))
    await taking.run(delivery(steps("u1", 5), 0, 0))
    taking.group.lost.clear()
    taking.group.generation = 2
    taking.batches.assign(places((EVENTS, 0)), 2)
    await taking.run(delivery(steps("u1", 5), 0, 0, generation=2))
    assert taking.batches.positions == {Place(EVENTS, 0): 1}


async def test_a_group_that_counts_its_generations_anew_goes_on():
    taking = Taking()
    taking.group.generation = 7
    taking.group.lost.add(Place(EVENTS, 0))
    await taking.run(delivery(steps("u1", 5), 0, 0, generation=7))
    await taking.batches.settle(7, seconds=1)
    taking.group.lost.clear()
    taking.group.generation = 1
    taking.batches.assign(places((EVENTS, 0)), 1)
    await taking.run(delivery(steps("u1", 5), 0, 0))
    assert taking.batches.positions == {Place(EVENTS, 0): 1}


async def test_what_is_lost_already_is_not_even_written():
    calls = Calls()
    taking = Taking(store_through(memory_store(TTL), calls))
    taking.group.lost.add(Place(EVENTS, 0))
    await taking.run(delivery(steps("u1", 5), 0, 0))
    assert calls.made == []


async def test_what_is_lost_while_it_is_published_is_not_acknowledged():
    taking = Taking()

    async def losing(_, method, *arguments):
        await method(*arguments)
        taking.group.lost.add(Place(EVENTS, 0))

    taking.publisher = PortThrough(RecordingPublisher(), losing)
    await taking.run(delivery(steps("u1", 5), 0, 0))
    assert taking.batches.positions == {}
    assert taking.metric("ingest_messages_total") == 0


async def test_an_assignment_forgets_positions_and_the_days_of_other_partitions():
    taking = Taking()
    await taking.run(delivery(steps("u1", 5), 0, 0), delivery(steps("u2", 6), 1, 0))
    assert (len(taking.partitions), taking.partitions.cached_days) == (2, 2)
    taking.batches.assign(places((EVENTS, 1), (SNAPSHOTS, 1)), 2)
    assert (len(taking.partitions), taking.partitions.cached_days) == (1, 1)
    assert taking.batches.positions == {}


async def test_what_is_given_back_is_not_committed_any_more():
    """It would set back what another worker committed meanwhile: simulated seed 1359."""
    taking = Taking()
    await taking.run(delivery(steps("u1", 5), 0, 0))
    await taking.batches.settle(1, seconds=1)
    taking.batches.release()
    assert taking.batches.positions == {}


async def test_what_runs_may_finish_before_a_rebalance():
    taking, gate = gated()
    running = asyncio.create_task(taking.run(delivery(steps("u1", 5), 0, 0)))
    await until(lambda: gate.reached == 1)
    settling = asyncio.create_task(taking.batches.settle(1, seconds=5))
    await asyncio.sleep(0)
    assert not settling.done()
    gate.opened.set()
    await settling
    await running
    assert taking.batches.positions == {Place(EVENTS, 0): 1}


async def test_what_does_not_finish_in_time_is_dropped():
    taking, gate = gated()
    running = asyncio.create_task(taking.run(delivery(steps("u1", 5), 0, 0)))
    await until(lambda: gate.reached == 1)
    await taking.batches.settle(1, seconds=0.01)
    await running
    assert (taking.published, taking.batches.positions) == ([], {})
    assert taking.failures == []


async def test_a_settled_generation_starts_nothing_more_and_the_next_one_does():
    taking = Taking()
    await taking.batches.settle(1, seconds=1)
    await taking.run(delivery(steps("u1", 5), 0, 0))
    assert (taking.published, taking.batches.positions) == ([], {})
    taking.group.generation = 2
    await taking.run(delivery(steps("u1", 5), 0, 0, generation=2))
    assert taking.batches.positions == {Place(EVENTS, 0): 1}


async def test_of_two_generations_in_a_batch_only_the_newer_is_run():
    taking = Taking()
    taking.group.generation = 2
    await taking.run(
        delivery(steps("u1", 5), 0, 8, generation=1), delivery(steps("u1", 5), 0, 3, generation=2)
    )
    assert taking.batches.positions == {Place(EVENTS, 0): 4}


async def test_a_bug_stops_everything_with_nothing_acknowledged():
    taking, gate = gated(partition_user="u1")
    gate.error = ZeroDivisionError("in a test")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await taking.batches.run([delivery(steps("u1", 5), 0, 0)])
    assert [type(error) for error in taking.failures] == [ZeroDivisionError]
    assert taking.batches.positions == {}
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await taking.batches.run([delivery(steps("u2", 5), 1, 0)])
    assert taking.published == []


async def test_a_stopped_worker_starts_nothing_and_lets_nothing_follow():
    taking = Taking()
    taking.batches.stop()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await taking.batches.run([delivery(steps("u1", 5), 0, 0)])
    assert (taking.published, taking.batches.positions) == ([], {})


async def test_an_agent_that_is_cancelled_takes_its_lots_along():
    taking, gate = gated()
    running = asyncio.create_task(taking.batches.run([delivery(steps("u1", 5), 0, 0)]))
    await until(lambda: gate.reached == 1)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    gate.opened.set()
    await asyncio.sleep(0)
    assert (taking.published, taking.batches.positions) == ([], {})


async def test_when_nearly_all_is_refused_it_stops_before_the_dead_letters_are_sent():
    taking = Taking(consecutive_max=3)
    await taking.run(*(delivery(b"nonsense", 0, offset) for offset in range(3)))
    assert len(taking.publisher.dead_letters) == 3
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await taking.batches.run([delivery(b"nonsense", 0, 3)])
    (stopped,) = taking.failures
    assert isinstance(stopped, WorkerStopped)
    assert "4 records in a row were refused" in str(stopped)
    assert len(taking.publisher.dead_letters) == 3
    assert taking.batches.positions == {Place(EVENTS, 0): 3}


async def test_large_messages_are_run_in_parts_that_are_bounded_in_bytes():
    calls = Calls()
    taking = Taking(store_through(memory_store(TTL), calls))
    filler = b" " * 900_000
    await taking.run(*(delivery(steps("u1", 5, minute=at) + filler, 0, at) for at in range(40)))
    assert calls.count()["append_events"] == 3
    assert taking.batches.positions == {Place(EVENTS, 0): 40}
    assert taking.publisher.latest
    assert taking.published[-1] == day("u1", 200)


async def test_offsets_that_were_not_delivered_are_counted():
    taking = Taking()
    await taking.run(delivery(steps("u1", 5), 0, 10))
    await taking.run(delivery(steps("u1", 6, minute=1), 0, 15))
    assert taking.metric("ingest_skipped_offsets_total") == 4
    assert taking.batches.positions == {Place(EVENTS, 0): 16}


async def test_a_message_with_another_key_than_its_user_is_done_and_counted():
    taking = Taking()
    right = delivery(steps("u1", 5), 0, 0)
    wrong = right._replace(message=right.message._replace(key=b"", offset=1))
    await taking.run(right, wrong)
    assert taking.metric("ingest_misplaced_messages_total") == 1
    assert taking.batches.positions == {Place(EVENTS, 0): 2}
