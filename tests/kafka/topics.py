"""What a test does with topics: make them, put messages into them, and read all there is."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from ingest.brokers import connection_of, initialise_topics
from ingest.queues.kafka import Outgoing, Producer
from ingest.settings import Settings

SILENCE_MS = 10_000


def loaded(settings: Mapping[str, str]) -> Settings:
    """The settings of this environment."""
    return Settings(**{name.lower(): value for name, value in settings.items()})


def make_topics(settings: Mapping[str, str]) -> None:
    asyncio.run(initialise_topics(loaded(settings), dry_run=False))


def put(settings: Mapping[str, str], messages: Iterable[Outgoing]) -> None:
    """Write these messages."""

    async def putting() -> None:
        producer = Producer(connection_of(loaded(settings)))
        try:
            await producer.send([*messages])
        finally:
            await producer.close()

    asyncio.run(putting())


def records_in(settings: Mapping[str, str], topic: str) -> list[ConsumerRecord]:
    """Every record of a topic, partition by partition."""
    return asyncio.run(all_records(settings, topic))


def pairs_in(settings: Mapping[str, str], topic: str) -> list[tuple[bytes | None, bytes | None]]:
    """Key and value of every record of a topic, sorted."""
    pairs = [(record.key, record.value) for record in records_in(settings, topic)]
    return sorted(pairs, key=lambda pair: (pair[0] or b"", pair[1] or b""))


async def all_records(settings: Mapping[str, str], topic: str) -> Sequence[ConsumerRecord]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings["KAFKA_BROKERS"], auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        numbers = await consumer._client._wait_on_metadata(topic)
        places = [TopicPartition(topic, number) for number in sorted(numbers)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        await consumer.seek_to_beginning(*places)
        found: dict[TopicPartition, list[ConsumerRecord]] = {place: [] for place in places}
        while sum(map(len, found.values())) < sum(ends.values()):
            records = await consumer.getmany(timeout_ms=SILENCE_MS)
            assert records, "nothing more came"
            for place, own in records.items():
                found[place] += own
        return [record for own in found.values() for record in own]
    finally:
        await consumer.stop()
