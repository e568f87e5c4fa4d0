"""Quix Streams: messages expanded into events, upserted by its MongoDB sink at each checkpoint.

By default the sink upserts by the key of the message, so that a user would be one document. For
events its documentation has "a custom `_id`": here user, device and time, so that an event read
again replaces itself. Checkpoints come every 5 seconds, as they do by default.
"""

import os
from typing import Any

from quixstreams import Application
from quixstreams.sinks.base.item import SinkItem
from quixstreams.sinks.community.mongodb import MongoDBSink


def events_of(sync: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a message, or itself."""
    events = sync.pop("events", None)
    return [sync] if events is None else [{**sync, **event} for event in events]


def identity_of(item: SinkItem) -> dict[str, Any]:
    """What finds the document of an event."""
    event = item.value
    return {"_id": f"{event['user_id']}|{event['device_id']}|{event['ts']}"}


def main() -> None:
    """Sink the topic until it is stopped."""
    app = Application(
        broker_address=os.environ["KAFKA_BROKERS"],
        consumer_group=os.environ["KAFKA_GROUP"],
        auto_offset_reset="earliest",
    )
    sink = MongoDBSink(
        host=os.environ["MONGODB_URI"].removeprefix("mongodb://"),
        db=os.environ["MONGODB_DATABASE"],
        collection="events",
        document_matcher=identity_of,
    )
    syncs = app.dataframe(app.topic(os.environ["TOPIC"], value_deserializer="json"))
    syncs.apply(events_of, expand=True).sink(sink)
    app.run()


if __name__ == "__main__":
    main()
