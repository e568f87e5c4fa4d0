"""The agent: takes batches off the stream and hands them on. It decides nothing."""

from collections.abc import Mapping
from typing import Any

import faust

from ingest.core.records import Kind
from ingest.ports import Message
from ingest.settings import Settings
from ingest.worker.batches import Batches, Delivery


def add_agent(
    app: faust.App, kinds: Mapping[str, Kind], batches: Batches, settings: Settings
) -> None:
    """One agent over all topics of `kinds`, so that no day is raced inside this process."""
    topic = app.topic(*kinds, key_type=bytes, value_type=bytes, acks=False, allow_empty=True)

    @app.agent(topic, name="ingest")
    async def _ingest(stream: Any) -> None:
        wait = settings.batch_wait_seconds
        async for events in stream.noack_take(settings.batch_size_max, within=wait):
            await batches.run([_delivery(event.message, kinds) for event in events])


def _delivery(read: Any, kinds: Mapping[str, Kind]) -> Delivery:
    """A message as Faust read it; one without a value or a key has an empty one."""
    message = Message(
        *(read.value or b"", kinds[read.topic], read.topic),
        *(read.partition, read.offset, read.key or b""),
    )
    return Delivery(message, read.generation_id)
