"""The ways to insert a bulk of documents with the driver, new ones and ones that are there."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, Literal

from pymongo import InsertOne
from pymongo.errors import BulkWriteError

from benchmarks.embedded import Backend, empty_store
from benchmarks.floors import documents_of
from benchmarks.measuring import Spent, in_child, spending
from benchmarks.plan import Plan
from benchmarks.servers import Ground
from benchmarks.streams import messages_of
from ingest.stores.documents import EVENTS, Document
from ingest.stores.mongo import opened
from ingest.stores.mongo.collection import Inserts

USERS: Final = 10
Row = dict[str, Any]


def inserts(plan: Plan, ground: Ground) -> Iterator[Row]:
    """A row for each driver and way: CPU seconds of each round, of new documents and of known."""
    drivers: tuple[Literal["pymongo", "motor"], ...] = ("pymongo", "motor")
    for driver in drivers:
        backend = Backend(ground.mongodb, driver)
        yield from in_child(_measure, backend, plan.inserted, plan.rounds)


def _measure(backend: Backend, count: int, rounds: int) -> list[Row]:
    documents = documents_of(messages_of(count, size=60, users=USERS))
    found: dict[str, list[Spent]] = {name: [] for name in WAYS}
    for _ in range(rounds + 1):
        for name in WAYS:
            found[name].append(asyncio.run(_round(backend, name, documents)))
    return [
        {"backend": backend.label, "way": name, "records": len(documents), "rounds": own[1:]}
        for name, own in found.items()
    ]


async def _round(backend: Backend, name: str, documents: Sequence[Document]) -> Spent:
    spent: Spent = {}
    async with empty_store(backend), opened(backend.connection) as database:
        for turn in ("new", "known"):
            with spending(spent, turn), suppress(BulkWriteError):
                await WAYS[name](database[EVENTS], documents)
    return spent


async def _insert_ones(collection: Any, documents: Sequence[Document]) -> None:
    await collection.bulk_write([InsertOne(document) for document in documents], ordered=False)


async def _insert_many(collection: Any, documents: Sequence[Document]) -> None:
    await collection.insert_many(documents, ordered=False)


async def _one_request(collection: Any, documents: Sequence[Document]) -> None:
    await collection.bulk_write([Inserts(documents)], ordered=False)


WAYS: Final = {
    "bulk_write of an InsertOne each": _insert_ones,
    "insert_many": _insert_many,
    "bulk_write of one request, as the store does": _one_request,
}
