"""The pipeline as it runs in one process, from bytes in the queue to acknowledged totals."""

import os
from asyncio import TaskGroup
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import islice
from typing import Final, Literal, NamedTuple

from benchmarks.measuring import Spent, spending
from benchmarks.streams import START, Stream, first_of_each_user
from ingest.core.totals import Rules
from ingest.embedded import drain
from ingest.outcome import Outcome
from ingest.pipeline import Pipeline
from ingest.ports import Message, Publisher, Store
from ingest.queues.memory import MemoryQueue, MemoryTopics
from ingest.retries import Patience
from ingest.stores.documents import EVENTS, SNAPSHOTS, TOTALS
from ingest.stores.memory import memory_store
from ingest.stores.mongo import Connection, Wanted, opened, opened_to_write

BATCH_SIZE_MAX: Final = 1000
DATABASE: Final = f"ingest_benchmark_{os.getpid()}"
NOW: Final = START + timedelta(days=10_000)
SKEW_MAX: Final = timedelta(hours=24)
WANTED: Final = Wanted(timedelta(days=7), None)


class Backend(NamedTuple):
    """A store: in memory where there is no `uri`, else on the server there."""

    uri: str | None = None
    driver: Literal["pymongo", "motor"] = "pymongo"

    @property
    def label(self) -> str:
        """The name that the report shows."""
        return {None: "InMemory"}.get(self.uri) or {
            "pymongo": "MongoDB, PyMongo asyncio",
            "motor": "MongoDB, Motor",
        }[self.driver]

    @property
    def connection(self) -> Connection:
        """A connection with time for a slow server."""
        assert self.uri is not None  # noqa: S101 - the caller's mistake
        return Connection(self.uri, DATABASE, self.driver, min_pool_size=0, timeout_seconds=300)


@asynccontextmanager
async def empty_store(backend: Backend) -> AsyncIterator[Store]:
    """A store with nothing in it.

    In a database there is an index that a mongod has no use for: the test server finds a user's
    range of `_id` by no other.
    """
    if backend.uri is None:
        yield memory_store(WANTED.idempotency_ttl)
        return
    async with opened(backend.connection) as database:
        await database.client.drop_database(database.name)
    async with opened_to_write(backend.connection, WANTED) as store:
        async with opened(backend.connection) as database:
            for name in (EVENTS, SNAPSHOTS, TOTALS):
                await database[name].create_index("user_id")
        yield store


def pipeline_of(store: Store, publisher: Publisher, day_cache_size: int = 50_000) -> Pipeline:
    """A pipeline with the default rules, at a time when every record is in the past."""
    return Pipeline(
        store,
        publisher,
        rules=Rules(),
        now=lambda: NOW,
        future_skew_max=SKEW_MAX,
        day_cache_size=day_cache_size,
    )


async def measure_pipeline(store: Store, stream: Stream, spent: Spent) -> None:
    """Run a stream through, each user's first day being known from one earlier record.

    Raises `SystemExit` if a record is in no total, or in one twice.
    """
    topics = MemoryTopics(on_dead_letter=print)
    pipeline = pipeline_of(store, topics)
    await pipeline.run([*as_messages(first_of_each_user(stream.users))])
    with spending(spent, "pipeline"):
        outcomes = await run(pipeline, stream.messages)
    counts = sum(own.records for own in outcomes), sum(own.accepted for own in outcomes)
    totalled = sum(total.events_count for total in topics.totals.values()) - stream.users
    if (*counts, totalled) != (stream.records, stream.distinct, stream.distinct):
        raise SystemExit(f"{stream.label}: {counts}, {totalled} in totals, not {stream[3:]}")


async def run(
    pipeline: Pipeline, messages: Iterable[bytes], batch_size_max: int = BATCH_SIZE_MAX
) -> Sequence[Outcome]:
    """Bring messages from the queue to their outcomes."""
    queue = MemoryQueue()
    outcomes: list[Outcome] = []
    patience = Patience(timedelta(seconds=1), timedelta(seconds=1))
    options = {"batch_size_max": batch_size_max, "patience": patience}
    async with TaskGroup() as tasks:
        tasks.create_task(_fill(queue, messages))
        tasks.create_task(drain(queue, pipeline, **options, on_outcome=outcomes.append))
    return outcomes


def as_messages(values: Iterable[bytes]) -> Iterator[Message]:
    """Messages as `ingest.replay` makes them."""
    new = tuple.__new__
    return (new(Message, (value, None, "bench", 0, i, None)) for i, value in enumerate(values))


async def _fill(queue: MemoryQueue, values: Iterable[bytes]) -> None:
    rest = as_messages(values)
    while chunk := list(islice(rest, 1000)):
        await queue.put(chunk)
    await queue.close()
