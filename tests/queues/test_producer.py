"""The producer on a real broker: what it sent is there, in order, and once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ingest.brokers import connection_of
from ingest.errors import QueueUnusable
from ingest.queues.kafka import Outgoing, Producer
from tests.kafka.topics import all_records, loaded, make_topics

MIB = 1024 * 1024

Settings = dict[str, str]


@pytest.fixture
def settings(kafka_settings: Settings) -> Settings:
    make_topics(kafka_settings)
    return kafka_settings


@pytest.fixture
def topic(settings: Settings) -> str:
    return settings["TOPIC_ACTIVITY_EVENTS"]


@pytest.fixture
async def producer(settings: Settings) -> AsyncIterator[Producer]:
    producer = Producer(connection_of(loaded(settings)))
    yield producer
    await producer.close()


async def values_in(settings: Settings, topic: str) -> list[bytes | None]:
    return [record.value for record in await all_records(settings, topic)]


async def test_what_is_sent_is_there_when_send_returns(
    producer: Producer, settings: Settings, topic: str
) -> None:
    other = settings["TOPIC_HEALTH_SNAPSHOTS"]
    values = [b"%d" % number for number in range(500)]
    await producer.send(
        [Outgoing(name, value, value) for value in values for name in (topic, other)]
    )
    assert sorted(await values_in(settings, topic)) == sorted(values)
    assert sorted(await values_in(settings, other)) == sorted(values)


async def test_messages_of_a_key_keep_their_order_over_many_batches(
    producer: Producer, settings: Settings, topic: str
) -> None:
    keys = [b"user%d" % number for number in range(7)]
    for start in range(0, 3000, 1000):
        await producer.send(
            Outgoing(topic, keys[number % 7], b"%d %b" % (number, bytes(1000)))
            for number in range(start, start + 1000)
        )
    seen: dict[bytes | None, list[int]] = {}
    for record in await all_records(settings, topic):
        seen.setdefault(record.key, []).append(int((record.value or b"").split()[0]))
    assert seen == {key: list(range(place, 3000, 7)) for place, key in enumerate(keys)}


async def test_a_key_goes_to_the_partition_where_every_client_looks_for_it(
    producer: Producer, settings: Settings, topic: str
) -> None:
    hashes = {b"21": -973932308, b"foobar": -790332482, b"abc": 479470107}  # UtilsTest of Kafka
    await producer.send([Outgoing(topic, key, key) for key in hashes])
    places = {record.key: record.partition for record in await all_records(settings, topic)}
    assert places == {key: (murmur2 & 0x7FFFFFFF) % 4 for key, murmur2 in hashes.items()}


async def test_null_values_and_headers_arrive_as_they_are(
    producer: Producer, settings: Settings, topic: str
) -> None:
    headers = [("reason", b"x"), ("field", b"\xff")]
    await producer.send([Outgoing(topic, b"a", None), Outgoing(topic, None, b"b", headers)])
    records = {record.key: record for record in await all_records(settings, topic)}
    assert (records[b"a"].value, records[b"a"].headers) == (None, ())
    assert (records[None].value, records[None].headers) == (b"b", tuple(headers))


async def test_a_message_larger_than_its_topic_is_refused_and_the_producer_goes_on(
    producer: Producer, settings: Settings, topic: str
) -> None:
    with pytest.raises(QueueUnusable, match="larger than its topic takes"):
        await producer.send([Outgoing(topic, b"a", bytes(4 * MIB))])
    await producer.send([Outgoing(topic, b"a", b"next"), Outgoing(topic, b"a", bytes(2 * MIB))])
    assert await values_in(settings, topic) == [b"next", bytes(2 * MIB)]


async def test_sends_at_once_all_arrive(producer: Producer, settings: Settings, topic: str) -> None:
    sends = [
        producer.send([Outgoing(topic, b"%d" % key, b"%d" % number) for number in range(50)])
        for key in range(20)
    ]
    await asyncio.gather(*sends)
    seen: dict[bytes | None, list[bytes | None]] = {}
    for record in await all_records(settings, topic):
        seen.setdefault(record.key, []).append(record.value)
    assert seen == {b"%d" % key: [b"%d" % number for number in range(50)] for key in range(20)}
