"""The lean floor: aiokafka and PyMongo alone. Read a batch, insert it unordered, commit."""

import asyncio
import os
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer
from pymongo import AsyncMongoClient

MESSAGES_MAX = 1000
WAIT_MS = 200


async def store() -> None:
    """Store every event of the topic, for ever."""
    consumer = AIOKafkaConsumer(
        os.environ["TOPIC"],
        bootstrap_servers=os.environ["KAFKA_BROKERS"],
        group_id=os.environ["KAFKA_GROUP"],
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with AsyncMongoClient(os.environ["MONGODB_URI"]) as client, consumer:
        events = client[os.environ["MONGODB_DATABASE"]].events
        while True:
            found = await consumer.getmany(timeout_ms=WAIT_MS, max_records=MESSAGES_MAX)
            if messages := [message for batch in found.values() for message in batch]:
                documents = [one for message in messages for one in documents_of(message.value)]
                await events.insert_many(documents, ordered=False)
                await consumer.commit()


def documents_of(value: bytes) -> list[dict[str, Any]]:
    """The documents of a message: of its events, or of itself."""
    sync = orjson.loads(value)
    events = sync.pop("events", None)
    return [sync] if events is None else [{**sync, **event} for event in events]


if __name__ == "__main__":
    asyncio.run(store())
