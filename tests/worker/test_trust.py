"""When the broker is asked whether this worker is a member, and when its answer is good."""

import pytest

from ingest.errors import QueueUnavailable
from ingest.worker.trust import Heard, Trust

PUT_OUT_SECONDS = 30


class Broker:
    """Says what a test wants; an answer takes some seconds."""

    def __init__(self, *, seconds: float = 0) -> None:
        self.now = 0.0
        self.heard = Heard.MEMBER
        self.asked = 0
        self._seconds = seconds

    async def __call__(self) -> Heard:
        self.asked += 1
        self.now += self._seconds
        return self.heard


def trust_in(broker: Broker) -> Trust:
    return Trust(PUT_OUT_SECONDS, lambda: broker.now)


async def test_an_answer_is_good_for_a_third_of_the_time_it_takes_to_be_put_out():
    broker = Broker()
    trust = trust_in(broker)
    for at, asked in ((0, 1), (9.9, 1), (10, 2), (19, 2), (100, 3)):
        broker.now = at
        await trust.confirm(broker)
        assert broker.asked == asked


async def test_time_counts_from_the_question_not_from_the_answer():
    broker = Broker(seconds=6)
    trust = trust_in(broker)
    await trust.confirm(broker)
    broker.now = 10
    await trust.confirm(broker)
    assert broker.asked == 2


async def test_an_answer_that_was_on_its_way_for_as_long_is_none():
    broker = Broker(seconds=10)
    with pytest.raises(QueueUnavailable, match="in time"):
        await trust_in(broker).confirm(broker)


async def test_no_answer_is_no_confirmation():
    broker = Broker()
    broker.heard = Heard.NOTHING
    with pytest.raises(QueueUnavailable, match="in time"):
        await trust_in(broker).confirm(broker)


@pytest.mark.parametrize("heard", [Heard.REBALANCING, Heard.PUT_OUT])
async def test_what_may_change_at_any_moment_is_asked_each_time(heard):
    broker = Broker()
    broker.heard = heard
    trust = trust_in(broker)
    await trust.confirm(broker)
    await trust.confirm(broker)
    assert broker.asked == 2
