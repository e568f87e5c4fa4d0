"""What happens in Kafka now, for who looks on: new totals as they come, and how far workers are."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from ingest.queues.kafka.connection import Connection, administration, translated
from ingest.queues.kafka.dead_letters import closed

POLL_MS: Final = 1_000


async def followed(connection: Connection, topic: str) -> AsyncGenerator[bytes, None]:
    """The value of every message that comes from now on, but for those that delete.

    It belongs to no group and commits nothing. It does not end; raises `QueueUnavailable` or
    `QueueUnusable`, and may then be begun again.
    """
    consumer = AIOKafkaConsumer(
        topic, **connection.options(), enable_auto_commit=False, auto_offset_reset="latest"
    )
    with translated():
        try:
            await consumer.start()
            while True:
                found = await consumer.getmany(timeout_ms=POLL_MS)
                for records in found.values():
                    for record in records:
                        if record.value is not None:
                            yield record.value
        finally:
            await closed(consumer)


async def lag_of(connection: Connection, group: str, topics: Iterable[str]) -> int:
    """How many messages of these topics the group has not done; all, where it has done none.

    Raises `QueueUnavailable` or `QueueUnusable`.
    """
    consumer = AIOKafkaConsumer(*topics, **connection.options(), enable_auto_commit=False)
    async with administration(connection) as client:
        with translated():
            committed = await client.list_consumer_group_offsets(group)
            try:
                await consumer.start()
                places = [
                    TopicPartition(topic, number)
                    for topic in topics
                    for number in consumer.partitions_for_topic(topic) or ()
                ]
                ends, starts = await asyncio.gather(
                    consumer.end_offsets(places), consumer.beginning_offsets(places)
                )
            finally:
                await closed(consumer)
    done = {place: committed[place].offset for place in places if place in committed}
    return sum(ends[place] - max(starts[place], done.get(place, 0)) for place in places)
