"""What cannot be left out: the same bytes through the libraries alone.

pydantic validates DESIGN section 2's types and ranges straight from bytes, `ts` as an aware
datetime, into dicts: no rows, no units, no reason codes. bson encodes each event's document. The
driver sends them, already encoded, as one unordered bulk, as durable as the store's own. Nothing is
judged, nothing read, no total saved.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import bson
from bson.raw_bson import RawBSONDocument
from pydantic import AwareDatetime, Field
from pymongo import InsertOne
from pymongo.errors import BulkWriteError

from benchmarks.embedded import BATCH_SIZE_MAX, NOW, SKEW_MAX, Backend, empty_store
from benchmarks.measuring import Spent, spending
from benchmarks.streams import Stream
from ingest.core.codec import decode
from ingest.core.retention import window_of
from ingest.core.schema import Envelope, EventFields, validator_of
from ingest.stores.documents import EVENTS, Document, event_documents
from ingest.stores.mongo import opened
from ingest.stores.mongo.collection import WRITES_MAX, slices


class TimedEvent(EventFields):
    """An event whose time pydantic parses too."""

    ts: AwareDatetime  # type: ignore[misc]  # narrowed for the floor only


class TimedMessage(Envelope):
    """A message of such events."""

    events: Annotated[list[TimedEvent], Field(min_length=1, max_length=10_000)]


class TimedInline(Envelope, TimedEvent):
    """A message of one."""


def validate(stream: Stream, spent: Spent) -> None:
    """Validate every message."""
    validator = validator_of(TimedInline if stream.size == 1 else TimedMessage)
    with spending(spent, "pydantic"):
        for message in stream.messages:
            validator.validate_json(message)


async def send(backend: Backend, stream: Stream, spent: Spent) -> None:
    """Encode every event's document and send it to an empty database."""
    async with empty_store(backend), opened(backend.connection) as database:
        for batch in slices(stream.messages, BATCH_SIZE_MAX):
            documents = documents_of(batch)
            with spending(spent, "bson"):
                encoded = [bson.encode(document) for document in documents]
            for chunk in slices([*map(RawBSONDocument, encoded)], WRITES_MAX):
                with spending(spent, "driver"), suppress(BulkWriteError):
                    await database[EVENTS].bulk_write([*map(InsertOne, chunk)], ordered=False)


def documents_of(messages: Sequence[bytes]) -> list[Document]:
    """The documents of the events in these messages."""
    window = window_of(NOW, SKEW_MAX, None)
    return event_documents(row for m in messages for row in decode(m, None, window).rows)
