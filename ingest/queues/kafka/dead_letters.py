"""Dead letters in Kafka: the refused bytes as the value, and in the headers why and where from."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from ingest.ports import DeadLetter
from ingest.queues.kafka.connection import Connection, reach, translated
from ingest.queues.kafka.producer import Headers

HEADERS: Final = ("reason", "field", "topic", "partition", "offset", "time", "records")
WAIT_MS: Final = 1000


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
    connection: Connection, topic: str, on_count: Callable[[int], None] = lambda _: None
) -> AsyncIterator[StoredDeadLetter]:
    """Every dead letter that is there now, partition by partition, the oldest first.

    `on_count` is told first how many there are at most. Raises `QueueUnavailable` or
    `QueueUnusable`.
    """
    await reach(connection)
    consumer = AIOKafkaConsumer(**connection.options(), enable_auto_commit=False)
    with translated():
        try:
            await consumer.start()
            await consumer._client._wait_on_metadata(topic)
            partitions = consumer.partitions_for_topic(topic) or ()
            places = [TopicPartition(topic, number) for number in sorted(partitions)]
            first = await consumer.beginning_offsets(places)
            ends = await consumer.end_offsets(places)
            on_count(sum(ends[place] - first[place] for place in places))
            for place in places:
                async for letter in _of_partition(consumer, place, first[place], ends[place]):
                    yield letter
        finally:
            await consumer.stop()


async def _of_partition(
    consumer: AIOKafkaConsumer, place: TopicPartition, first: int, end: int
) -> AsyncIterator[StoredDeadLetter]:
    consumer.assign([place])
    consumer.seek(place, first)
    while await consumer.position(place) < end:
        found = await consumer.getmany(place, timeout_ms=WAIT_MS)
        for record in found.get(place, ()):
            if record.offset < end:
                headers = {name: value.decode(errors="replace") for name, value in record.headers}
                yield StoredDeadLetter(
                    (place.partition, record.offset),
                    record.key,
                    record.value or b"",
                    {name: headers.get(name, "") for name in HEADERS},
                )
