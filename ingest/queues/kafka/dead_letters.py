"""Dead letters in Kafka: the refused bytes as the value, and in the headers why and where from."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from ingest.errors import QueueUnavailable
from ingest.ports import DeadLetter
from ingest.queues.kafka.connection import Connection, administration, translated
from ingest.queues.kafka.producer import Headers
from ingest.queues.kafka.topics import require

HEADERS: Final = ("reason", "field", "topic", "partition", "offset", "time", "records")
SILENCE_MS: Final = 30_000


class StoredDeadLetter(NamedTuple):
    """A dead letter as it is in its topic; a header that is missing is an empty text.

    `place` is its own partition and offset, `headers` are those of `HEADERS`.
    """

    place: tuple[int, int]
    key: bytes | None
    value: bytes
    headers: Mapping[str, str]


def headers_of(letter: DeadLetter, now: datetime) -> Headers:
    """Why it was refused, where it came from, and when."""
    refusal, message = letter
    values = (
        *(refusal.reason, refusal.field, message.origin, str(message.partition)),
        *(str(message.offset), now.isoformat(timespec="milliseconds"), str(refusal.records)),
    )
    return [(name, value.encode()) for name, value in zip(HEADERS, values, strict=True)]


async def dead_letters(
    connection: Connection,
    topic: str,
    on_count: Callable[[int], None] = lambda _: None,
    *,
    silence_ms: int = SILENCE_MS,
) -> AsyncGenerator[StoredDeadLetter, None]:
    """Every dead letter that is there now, partition by partition, the oldest first.

    `on_count` is told first how many there are at most. Raises `QueueUnavailable`, also where no
    more comes for `silence_ms`, or `QueueUnusable`.
    """
    async with administration(connection) as client:
        await require(client, [topic])
    consumer = AIOKafkaConsumer(
        **connection.options(), enable_auto_commit=False, auto_offset_reset="earliest"
    )
    with translated():
        try:
            await consumer.start()
            numbers = await consumer._client._wait_on_metadata(topic)
            places = [TopicPartition(topic, number) for number in sorted(numbers)]
            first = await consumer.beginning_offsets(places)
            ends = await consumer.end_offsets(places)
            on_count(sum(ends[place] - first[place] for place in places))
            for place in places:
                consumer.assign([place])
                consumer.seek(place, first[place])
                async for letter in _until(consumer, place, ends[place], silence_ms):
                    yield letter
        finally:
            await closed(consumer)


async def _until(
    consumer: AIOKafkaConsumer, place: TopicPartition, end: int, silence_ms: int
) -> AsyncIterator[StoredDeadLetter]:
    position = await consumer.position(place)
    while position < end:
        found = await consumer.getmany(place, timeout_ms=silence_ms)
        if not found:  # the consumer would wait for ever for a broker that is away
            raise QueueUnavailable("Kafka does not answer in time")
        for record in found[place]:
            position = record.offset + 1
            if record.offset < end:
                yield _letter_of(record)


async def closed(consumer: AIOKafkaConsumer) -> None:
    """Close it; without a broker, `stop` of aiokafka 0.14 is cancelled by what it cancels."""
    await asyncio.gather(consumer.stop(), return_exceptions=True)
    await consumer._client.close()


def _letter_of(record: ConsumerRecord) -> StoredDeadLetter:
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    return StoredDeadLetter(
        (record.partition, record.offset),
        record.key,
        record.value or b"",
        {name: headers.get(name, "") for name in HEADERS},
    )
