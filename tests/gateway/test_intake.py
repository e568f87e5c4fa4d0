"""What an intake says of itself while its service is away, and after."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from ingest.core.records import Kind
from ingest.errors import QueueUnavailable
from ingest.gateway.intake import PROBLEM_SECONDS, Intake
from ingest.outcome import Verdicts
from ingest.ports import Message
from ingest.retries import Patience

AT_ONCE = Patience(timedelta(seconds=1), timedelta(0))


class Away:
    """A way on that is away, until it is not."""

    is_away = True

    async def __call__(self, messages: Sequence[Message]) -> list[Verdicts]:
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
