"""The producer while its broker is killed and comes back: nothing is lost, and nothing twice."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from ingest.brokers import connection_of, initialise_topics
from ingest.errors import QueueUnavailable
from ingest.queues.kafka import Outgoing, PatientProducer, Producer, dead_letters
from ingest.queues.kafka.dead_letters import HEADERS
from ingest.retries import Patience
from tests.kafka.broker import Broker
from tests.kafka.topics import all_records, loaded, make_topics, put, records_in

Settings = dict[str, str]


@pytest.fixture
def settings(breakable_settings: Settings) -> Settings:
    make_topics(breakable_settings)
    return breakable_settings


@pytest.fixture
def topic(settings: Settings) -> str:
    return settings["TOPIC_ACTIVITY_EVENTS"]


async def is_killed(broker: Broker) -> None:
    await asyncio.to_thread(broker.kill)


async def is_started(broker: Broker) -> None:
    await asyncio.to_thread(broker.start)


async def test_a_broker_killed_among_sends_loses_nothing_and_the_producer_goes_on(
    breakable_broker: Broker, settings: Settings, topic: str
) -> None:
    producer = Producer(connection_of(loaded(settings)))
    sent = 0

    async def send_all() -> None:
        nonlocal sent
        for number in range(0, 6000, 50):
            await producer.send(
                [Outgoing(topic, b"k", b"%d" % (number + place)) for place in range(50)]
            )
            sent += 50

    sending = asyncio.create_task(send_all())
    async with asyncio.timeout(30):
        while sent < 500:  # noqa: ASYNC110 - it counts for nobody
            await asyncio.sleep(0.001)
    await is_killed(breakable_broker)
    assert not sending.done()
    await is_started(breakable_broker)
    await asyncio.wait_for(sending, 30)
    await producer.close()
    values = [record.value for record in await all_records(settings, topic)]
    assert values == [b"%d" % number for number in range(6000)]


async def test_a_cancelled_send_sends_nothing_more(
    breakable_broker: Broker, settings: Settings, topic: str
) -> None:
    producer = Producer(connection_of(loaded(settings)))
    await producer.send([Outgoing(topic, b"k", b"before")])
    await is_killed(breakable_broker)
    sending = asyncio.create_task(
        producer.send([Outgoing(topic, b"%d" % number, b"old") for number in range(100)])
    )
    await asyncio.sleep(0.5)  # it tries in vain
    sending.cancel()
    with suppress(asyncio.CancelledError):
        await sending
    await is_started(breakable_broker)
    await producer.send([Outgoing(topic, b"k", b"after")])
    await producer.close()
    values = [record.value for record in await all_records(settings, topic)]
    assert values == [b"before", b"after"]


async def test_a_send_that_takes_too_long_fails_and_what_is_left_of_it_is_thrown_away(
    breakable_broker: Broker, settings: Settings, topic: str
) -> None:
    producer = Producer(connection_of(loaded(settings)), send_seconds=1)
    await producer.send([Outgoing(topic, b"k", b"first")])
    await is_killed(breakable_broker)
    async with asyncio.timeout(5):
        with pytest.raises(QueueUnavailable, match="in time"):
            await producer.send([Outgoing(topic, b"k", b"too late")])
    await is_started(breakable_broker)
    async with asyncio.timeout(30):
        while True:
            with suppress(QueueUnavailable):
                await producer.send([Outgoing(topic, b"k", b"again")])
                break
    await producer.close()
    values = [record.value for record in await all_records(settings, topic)]
    assert values[0] == b"first"
    assert {*values[1:]} == {b"again"}


async def test_a_patient_producer_says_that_it_waits_and_gives_up_in_time(
    breakable_broker: Broker, settings: Settings, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.queues.kafka.patience.SAY_SECONDS", 0.5)
    said: list[None] = []
    patience = Patience(timedelta(seconds=1), timedelta(seconds=2))
    producer = PatientProducer(connection_of(loaded(settings)), patience, lambda: said.append(None))
    await producer.send([Outgoing(topic, b"k", b"before")])
    await is_killed(breakable_broker)
    async with asyncio.timeout(5):
        with pytest.raises(QueueUnavailable, match="does not answer"):
            await producer.send([Outgoing(topic, b"k", b"old")])
    assert len(said) == 1
    await producer.close()
    await is_started(breakable_broker)
    assert [record.value for record in await all_records(settings, topic)] == [b"before"]


def test_reading_dead_letters_ends_when_the_broker_goes_away(
    breakable_broker: Broker, settings: Settings
) -> None:
    topic = settings["TOPIC_DEAD_LETTERS"]
    put(settings, [Outgoing(topic, b"%d" % number, b"x") for number in range(40)])
    assert len({record.partition for record in records_in(settings, topic)}) == 4

    async def read_on_without_a_broker() -> None:
        letters = dead_letters(connection_of(loaded(settings)), topic, silence_ms=1000)
        first = await anext(letters)
        assert first.headers == dict.fromkeys(HEADERS, "")
        await is_killed(breakable_broker)
        try:
            with pytest.raises(QueueUnavailable, match="does not answer in time"):
                async for _ in letters:
                    pass
        finally:
            await is_started(breakable_broker)

    asyncio.run(asyncio.wait_for(read_on_without_a_broker(), 30))


def test_looking_for_topics_makes_none_even_where_a_broker_would(
    breakable_settings: Settings,
) -> None:
    def missing() -> list[str]:
        done = asyncio.run(initialise_topics(loaded(breakable_settings), dry_run=True))
        assert done.differing == []
        return [*done.made]

    assert len(missing()) == 4
    assert len(missing()) == 4
    make_topics(breakable_settings)
    assert missing() == []
