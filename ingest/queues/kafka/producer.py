"""Sending messages so that they are there when `send` returns: acknowledged by all, sent once.

The producer is idempotent: within its life the broker writes a message once and in order, however
often it is sent. What it cannot deliver it keeps trying, so a broker that is away is waited for.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerClosed
from aiokafka.partitioner import DefaultPartitioner

from ingest.queues.kafka.connection import Connection, reach, translated

CLOSE_SECONDS: Final = 5
ABANDON_SECONDS: Final = 1
BATCH_BYTES: Final = 256 * 1024
_partition_of: Final = DefaultPartitioner()

Headers = list[tuple[str, bytes]]


class Outgoing(NamedTuple):
    """A message to send; a value of None deletes its key from a compacted topic."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None


class Producer:
    """One connection to send by; it is made when it is first needed, and anew after an error.

    With `send_seconds` a `send` that takes longer fails, and what of it still waits is thrown away.
    """

    def __init__(self, connection: Connection, send_seconds: float | None = None) -> None:
        self._connection = connection
        self._send_seconds = send_seconds
        self._current: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def send(self, messages: Iterable[Outgoing]) -> None:
        """Return when every message is written by all in-sync replicas.

        Messages with the same key and topic keep their order. Raises `QueueUnavailable` or
        `QueueUnusable` with some of them written; a call that is cancelled sends no more of them.
        """
        with translated():
            async with asyncio.timeout(self._send_seconds):
                await self._send(messages)

    async def _send(self, messages: Iterable[Outgoing]) -> None:
        producer = await self._started()
        try:
            with translated():
                sent = [
                    await producer.send_batch(batch, topic, partition=partition)
                    for (topic, partition), batches in (await _batches(producer, messages)).items()
                    for batch in batches
                ]
                await asyncio.gather(*sent)
        except BaseException:
            await self._discard(producer)
            raise

    async def close(self) -> None:
        """Close the connection; nothing is waiting to be sent once every `send` has returned."""
        producer, self._current = self._current, None
        if producer is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(producer.stop(), CLOSE_SECONDS)

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._current is None:
                await reach(self._connection)
                producer = AIOKafkaProducer(
                    **self._connection.options(),
                    acks="all",
                    enable_idempotence=True,
                    max_batch_size=BATCH_BYTES,
                )
                try:
                    with translated():
                        await producer.start()
                except BaseException:
                    await _abandon(producer)
                    raise
                self._current = producer
            return self._current

    async def _discard(self, producer: AIOKafkaProducer) -> None:
        """Never use it again, and let it send nothing that still waits in it.

        An old total sent late could follow a newer one of another worker.
        """
        if self._current is producer:
            self._current = None
        await _abandon(producer)


async def _batches(
    producer: AIOKafkaProducer, messages: Iterable[Outgoing]
) -> dict[tuple[str, int], list[Any]]:
    """The messages as record batches, in order, by topic and partition.

    A future a batch instead of one a message makes sending several times cheaper.
    """
    batches: dict[tuple[str, int], list[Any]] = {}
    partitions: dict[str, list[int]] = {}
    for topic, key, value, headers in messages:
        if (all_partitions := partitions.get(topic)) is None:
            all_partitions = partitions[topic] = sorted(await producer.partitions_for(topic))
        place = topic, _partition_of(key, all_partitions, all_partitions)
        own = batches.setdefault(place, [])
        fields = {"timestamp": None, "key": key, "value": value, "headers": headers or []}
        if not own or own[-1].append(**fields) is None:
            own.append(producer.create_batch())
            own[-1].append(**fields)
    for own in batches.values():
        for batch in own:
            batch.close()
    return batches


async def _abandon(producer: AIOKafkaProducer) -> None:
    """Close a producer without its last wish: `stop` would first send all that waits in it.

    aiokafka 0.14 has no public way; without this, what a cancelled call left behind would be
    written when the broker is back.
    """
    producer._closed = True
    producer._message_accumulator.fail_all(ProducerClosed())
    if producer._sender.sender_task is not None:
        producer._sender.sender_task.cancel()
    closing = asyncio.ensure_future(producer.client.close())
    await asyncio.wait([closing], timeout=ABANDON_SECONDS)
