"""The agent of Faust's documentation: models, one insert an event, `$inc` of the day's total."""

import os
from typing import Any, Optional

import faust
from pymongo import AsyncMongoClient

TOPIC = os.environ["TOPIC"]


class Event(faust.Record):
    """A minute."""

    ts: str
    steps: int = 0
    calories_out: Optional[float] = None  # noqa: UP045 - Faust reads it so
    hr_avg: Optional[float] = None  # noqa: UP045


class Sync(faust.Record, serializer="json"):
    """A message: events, or the fields of one."""

    user_id: str
    device_id: str
    source: str
    events: Optional[list[Event]] = None  # noqa: UP045
    ts: Optional[str] = None  # noqa: UP045
    steps: int = 0
    calories_out: Optional[float] = None  # noqa: UP045
    hr_avg: Optional[float] = None  # noqa: UP045

    def all_events(self) -> list[Event]:
        """The events of either form."""
        if self.events is not None:
            return self.events
        return [Event(self.ts, self.steps, self.calories_out, self.hr_avg)]


app = faust.App(
    os.environ["KAFKA_GROUP"],
    broker=f"kafka://{os.environ['KAFKA_BROKERS']}",
    store="memory://",
    web_enabled=False,
)
syncs = app.topic(TOPIC, value_type=Sync)
database = AsyncMongoClient(os.environ["MONGODB_URI"])[os.environ["MONGODB_DATABASE"]]


@app.agent(syncs)
async def store(stream: Any) -> None:
    """Store every event, and add it to its day."""
    async for sync in stream:
        for event in sync.all_events():
            await database.events.insert_one(document_of(sync, event))
            await database.daily_totals.update_one(
                {"_id": f"{sync.user_id}|{event.ts[:10]}"},
                {"$inc": {"steps": event.steps, "events": 1}},
                upsert=True,
            )


def document_of(sync: Sync, event: Event) -> dict[str, Any]:
    """The document of an event."""
    return {
        "user_id": sync.user_id,
        "device_id": sync.device_id,
        "source": sync.source,
        **event.asdict(),
    }


if __name__ == "__main__":
    faust.Worker(app, loglevel="info").execute_from_commandline()
