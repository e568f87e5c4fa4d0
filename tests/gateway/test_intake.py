"""What an intake says of itself while its service is away, and after; what it keeps."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from ingest.core.records import Kind
from ingest.errors import QueueUnavailable
from ingest.gateway.intake import PROBLEM_SECONDS, Busy, Intake
from ingest.outcome import Verdicts
from ingest.ports import Message
from ingest.queues.memory import QUEUE_MESSAGES_MAX
from ingest.retries import Patience

AT_ONCE = Patience(timedelta(seconds=1), timedelta(0))


class Away:
    """A way on that is away, until it is not."""

    is_away = True
    calls = 0

    async def __call__(self, messages: Sequence[Message]) -> list[Verdicts]:
        self.calls += 1
        if self.is_away:
            raise QueueUnavailable("no broker")
        return [Verdicts(1, 0, 0, 0, 0, 0, ()) for _ in messages]


class Clock:
    """Says what a test wants."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_problem_is_over_with_the_next_message_that_gets_through():
    way = Away()
    intake = Intake(way, 10, AT_ONCE, Clock())
    async with intake.working():
        assert intake.problem is None
        with pytest.raises(QueueUnavailable):
            await intake.offer([b"{}"], Kind.ACTIVITY)
        assert intake.problem == "no broker"
        way.is_away = False
        await intake.offer([b"{}"], Kind.ACTIVITY)
        assert intake.problem is None


async def test_a_problem_is_not_kept_when_no_message_comes_to_find_out_that_it_is_over():
    clock = Clock()
    intake = Intake(Away(), 10, AT_ONCE, clock)
    async with intake.working():
        with pytest.raises(QueueUnavailable):
            await intake.offer([b"{}"], Kind.ACTIVITY)
        clock.now += PROBLEM_SECONDS - 0.1
        assert intake.problem is not None
        clock.now += 0.1
        assert intake.problem is None
        with pytest.raises(QueueUnavailable):
            await intake.offer([b"{}"], Kind.ACTIVITY)
        assert intake.problem is not None


async def test_what_waits_is_given_up_together_with_the_batch_that_was_in_vain():
    way = Away()
    intake = Intake(way, 1, AT_ONCE)
    offers = [asyncio.create_task(intake.offer([b"{}"], Kind.ACTIVITY)) for _ in range(50)]
    await asyncio.sleep(0)
    async with intake.working():
        answers = await asyncio.gather(*offers, return_exceptions=True)
        assert {type(answer) for answer in answers} == {QueueUnavailable}
        assert way.calls == 1
        way.is_away = False
        await intake.offer([b"{}"], Kind.ACTIVITY)
        assert way.calls == 2


async def test_what_was_not_taken_leaves_nothing():
    intake = Intake(Away(), 10, AT_ONCE)
    filling = asyncio.create_task(intake.offer([b"{}"] * QUEUE_MESSAGES_MAX, Kind.ACTIVITY))
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await intake.offer([b"{}"], Kind.ACTIVITY)
    assert len(intake._waiting) == QUEUE_MESSAGES_MAX
    async with intake.working():
        await asyncio.gather(filling, return_exceptions=True)
    assert intake._waiting == {}
