"""A lean agent of Faust: plain JSON, batches by `take`, one unordered insert a batch, no totals."""

import os
from typing import Any

import faust
from pymongo import AsyncMongoClient

TAKE_MAX = 1000
WITHIN_SECONDS = 0.2

app = faust.App(
    os.environ["KAFKA_GROUP"],
    broker=f"kafka://{os.environ['KAFKA_BROKERS']}",
    store="memory://",
    web_enabled=False,
)
syncs = app.topic(os.environ["TOPIC"], value_serializer="json")
database = AsyncMongoClient(os.environ["MONGODB_URI"])[os.environ["MONGODB_DATABASE"]]


@app.agent(syncs)
async def store(stream: Any) -> None:
    """Store the events of a batch."""
    async for batch in stream.take(TAKE_MAX, within=WITHIN_SECONDS):
        documents = [document for sync in batch for document in documents_of(sync)]
        await database.events.insert_many(documents, ordered=False)


def documents_of(sync: dict[str, Any]) -> list[dict[str, Any]]:
    """The documents of a message: of its events, or of itself."""
    events = sync.pop("events", None)
    return [sync] if events is None else [{**sync, **event} for event in events]


if __name__ == "__main__":
    faust.Worker(app, loglevel="info").execute_from_commandline()
