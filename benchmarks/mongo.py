"""What a record costs this process on MongoDB, against the least that any such program must spend.

Run it with `python -m benchmarks.mongo` (about three minutes; `--records 144000 --rounds 5` for
figures to quote). CPU time of this process, user and system, median of the rounds; floor and
pipeline take turns, each on a fresh database; no server's CPU time is in it.

Every user's day is known before the clock starts, by one earlier record; "days unknown" shows what
the first batch of a day costs, where the log is read. The floor is what cannot be left out:
pydantic validating the same bytes as in `benchmarks.core`, `bson.encode` of each document, and the
driver's own unordered bulk of the documents so encoded, in batches of the same size and as durable.
It judges nothing, reads nothing and saves no total. The pipeline goes from bytes in the queue to
saved and published totals.
"""

import argparse
import asyncio
import os
import platform
import resource
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from itertools import islice
from statistics import median
from typing import Any, NamedTuple

import bson
import motor
import pydantic
import pymongo
from bson.raw_bson import RawBSONDocument
from pymongo import InsertOne
from pymongo.errors import BulkWriteError

from benchmarks import core
from benchmarks.core import START, USERS, live_order, messages_of, repeated_late
from benchmarks.servers import connection_to, server
from ingest.core.codec import decode
from ingest.core.retention import window_of
from ingest.core.schema import SchemaValidator, validator_of
from ingest.core.totals import Rules
from ingest.embedded import collect_garbage_rarely, drain
from ingest.outcome import Outcome
from ingest.pipeline import Pipeline
from ingest.ports import Message, Store
from ingest.queues.memory import MemoryQueue, MemoryTopics
from ingest.retries import Patience
from ingest.stores.documents import EVENTS, Document, event_documents
from ingest.stores.mongo import Connection, Wanted, opened, opened_to_write
from ingest.stores.mongo.client import Collection
from ingest.stores.mongo.collection import WRITES_MAX, Inserts, slices

DATABASE = f"ingest_benchmark_{os.getpid()}"
WANTED = Wanted(timedelta(days=7), None)
NOW = START + timedelta(days=10_000)
SKEW_MAX = timedelta(hours=24)
PATIENCE = Patience(timedelta(seconds=1), timedelta(seconds=1))
DAYS, DAYS_CACHED = 20, 100  # of a user and remembered, where memory is measured

Spent = dict[str, float]  # CPU seconds by what they went into


class Stream(NamedTuple):
    """Messages, their validator in the floor, how many records, new ones, and known days."""

    name: str
    messages: Sequence[bytes]
    validator: SchemaValidator
    records: int
    new: int
    known: int = USERS


def streams_of(records: int) -> list[Stream]:
    """Large and single messages, as a backlog and as they come live."""
    large, single = validator_of(core.TimedMessage), validator_of(core.TimedInline)
    minutes = messages_of(records, size=1)
    return [
        Stream("60 a message", messages_of(records, size=60), large, records, records),
        Stream("1 a message, backlog", minutes, single, records, records),
        Stream("1 a message, live", live_order(minutes), single, records, records),
    ]


def slow_streams_of(records: int) -> list[Stream]:
    """Those for which the log is read: days not known, and messages that come again later."""
    large, single = validator_of(core.TimedMessage), validator_of(core.TimedInline)
    hours = messages_of(records, size=60)
    live = live_order(messages_of(records, size=1))[: records // 5]
    return [
        Stream("60, days unknown", hours, large, records, records, 0),
        Stream("60, all twice", repeated_late(hours), large, 2 * records, records),
        Stream("1, live, all twice", repeated_late(live), single, 2 * len(live), len(live)),
    ]


@asynccontextmanager
async def fresh(connection: Connection) -> AsyncIterator[Store]:
    """The store in a database that has nothing but its collections."""
    await drop(connection)
    async with opened_to_write(connection, WANTED) as store:
        yield store


async def drop(connection: Connection) -> None:
    """Drop the benchmark's database."""
    async with opened(connection) as database:
        await database.client.drop_database(database.name)


async def floor_of(connection: Connection, stream: Stream, batch_size_max: int) -> Spent:
    """CPU seconds of validating, encoding and sending the events, and nothing else."""
    spent: Spent = {}
    async with fresh(connection), opened(connection) as database:
        for batch in slices(stream.messages, batch_size_max):
            with _cpu(spent, "validate"):
                for message in batch:
                    stream.validator.validate_json(message)
            documents = documents_of(batch)
            with _cpu(spent, "encode"):
                encoded = [bson.encode(document) for document in documents]
            for chunk in slices([*map(RawBSONDocument, encoded)], WRITES_MAX):
                with _cpu(spent, "bulk"):
                    await by_bulk_write(database[EVENTS], chunk)
    return spent


async def pipeline_of(connection: Connection, stream: Stream, batch_size_max: int) -> float:
    """CPU seconds from bytes in the queue to acknowledged, saved and published totals."""
    spent: Spent = {}
    outcomes: list[Outcome] = []
    topics = MemoryTopics(on_dead_letter=print)
    async with fresh(connection) as store:
        pipeline = _pipeline(store, topics, 50_000)
        if earlier := _earlier(stream.known):
            await pipeline.run(earlier)
        with _cpu(spent, "pipeline"):
            await _run(pipeline, stream.messages, batch_size_max, outcomes.append)
    counts = sum(o.records for o in outcomes), sum(o.accepted for o in outcomes)
    totalled = sum(total.events_count for total in topics.totals.values())
    if (*counts, totalled) != (stream.records, stream.new, stream.new + stream.known):
        raise SystemExit(f"{stream.name}: {counts}, {totalled} in totals, not {stream[3:]}")
    return spent["pipeline"]


async def inserts_of(connection: Connection, documents: Sequence[Document]) -> Spent:
    """CPU seconds of each way to insert one bulk of documents, and of doing it again."""
    spent: Spent = {}
    for insert in (by_bulk_write, by_insert_many, by_one_request):
        async with fresh(connection), opened(connection) as database:
            for turn in ("new", "duplicates"):
                with _cpu(spent, f"{insert.__name__}, {turn}"):
                    await insert(database[EVENTS], documents)
    return spent


async def by_bulk_write(collection: Collection, documents: Sequence[Any]) -> None:
    """An unordered bulk of inserts; those that are there already stay."""
    with suppress(BulkWriteError):
        await collection.bulk_write([InsertOne(d) for d in documents], ordered=False)


async def by_insert_many(collection: Collection, documents: Sequence[Any]) -> None:
    """As `by_bulk_write`."""
    with suppress(BulkWriteError):
        await collection.insert_many(documents, ordered=False)


async def by_one_request(collection: Collection, documents: Sequence[Any]) -> None:
    """As the store does it."""
    with suppress(BulkWriteError):
        await collection.bulk_write([Inserts(documents)], ordered=False)  # type: ignore[list-item]


def documents_of(messages: Sequence[bytes]) -> list[Document]:
    """The documents of the events in these messages."""
    window = window_of(NOW, SKEW_MAX, None)
    return event_documents(row for m in messages for row in decode(m, None, window).rows)


async def peaks_of(connection: Connection, records: int) -> tuple[float, float]:
    """This process's peak MiB after half of the records and after all, each hour of another day.

    A batch is one user's; the index lets a test server find a user's range without reading all.
    """
    peaks: list[tuple[int, float]] = [(0, 0)]
    topics = MemoryTopics(on_dead_letter=print)

    def note(outcome: Outcome) -> None:
        topics.totals.clear()  # a real broker keeps them
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        peaks.append((peaks[-1][0] + outcome.records, peak))

    async with fresh(connection) as store, opened(connection) as database:
        await database[EVENTS].create_index("user_id")
        await _run(_pipeline(store, topics, DAYS_CACHED), _days(records), DAYS, note)
    return next(peak for done, peak in peaks if done >= records / 2), peaks[-1][1]


def main() -> None:
    """Measure memory first, while nothing else fills it, then every stream and way to insert."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--records", type=int, default=12_000, help="at most a day's, 144000")
    parser.add_argument("--records-slow", type=int, default=6_000, help="where the log is read")
    parser.add_argument("--records-memory", type=int, default=12_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size-max", type=int, default=1000)
    options = parser.parse_args()
    options.records = min(options.records, 24 * 60 * USERS)
    collect_garbage_rarely()
    with server() as running:
        print(
            f"{running.label}\n{platform.machine()}, Python {platform.python_version()}, pydantic "
            f"{pydantic.VERSION}, pymongo {pymongo.version}, motor {motor.version}; {USERS} users, "
            f"batches of {options.batch_size_max} messages, median of {options.rounds} rounds"
        )
        connections = [connection_to(running, DATABASE, driver) for driver in ("pymongo", "motor")]
        try:
            for connection in connections:
                _print_memory(connection, options.records_memory)
            _print_streams(connections, options)
            for connection in connections:
                _print_inserts(connection, options.rounds)
        finally:
            if running.is_mongod:  # a server of our own ends with its folder
                asyncio.run(drop(connections[0]))


def _print_memory(connection: Connection, records: int) -> None:
    half, end = asyncio.run(peaks_of(connection, records))
    print(
        f"{connection.driver}: peak memory {half:.0f} MiB after {records // 2:,} records, "
        f"{end:.0f} after {records:,}; {records // 60:,} days touched, {DAYS_CACHED} remembered",
        flush=True,
    )


def _print_streams(connections: Sequence[Connection], options: argparse.Namespace) -> None:
    print(
        f"us of CPU a record\n{'stream':22}{'records':>9} {'driver':8}{'validate':>9}{'encode':>8}"
        f"{'bulk':>7}{'= floor':>9}{'pipeline':>10}{'ratio':>7}{'min-max':>12}"
    )
    for stream in streams_of(options.records):
        for connection in connections:
            _print_stream(connection, stream, options.rounds, options.batch_size_max)
    for stream in slow_streams_of(options.records_slow):
        _print_stream(connections[0], stream, 1, options.batch_size_max)


def _print_stream(connection: Connection, stream: Stream, turns: int, size: int) -> None:
    warm_up = stream._replace(messages=stream.messages[:size])
    asyncio.run(floor_of(connection, warm_up, size))
    rounds = []
    for _ in range(turns):
        spent = asyncio.run(floor_of(connection, stream, size))
        spent["floor"] = sum(spent.values())
        spent["pipeline"] = asyncio.run(pipeline_of(connection, stream, size))
        rounds.append(spent)
    middle = {part: median(spent[part] for spent in rounds) for part in rounds[0]}
    ratios = [spent["pipeline"] / spent["floor"] for spent in rounds]
    validate, encode, bulk, floor, pipeline = (s / stream.records * 1e6 for s in middle.values())
    print(
        f"{stream.name:22}{stream.records:9} {connection.driver:8}"
        f"{validate:9.2f}{encode:8.2f}{bulk:7.2f}{floor:9.2f}"
        f"{pipeline:10.2f}{median(ratios):7.2f}{min(ratios):7.2f}-{max(ratios):.2f}",
        flush=True,
    )


def _print_inserts(connection: Connection, rounds: int) -> None:
    documents = documents_of(messages_of(60 * USERS, size=60))
    spent = [asyncio.run(inserts_of(connection, documents)) for _ in range(rounds + 1)][1:]
    for way in spent[0]:
        costs = [own[way] / len(documents) * 1e6 for own in spent]
        print(
            f"{way:32}{connection.driver:8}{median(costs):9.2f}{min(costs):9.2f}-{max(costs):.2f}",
            flush=True,
        )


@contextmanager
def _cpu(spent: Spent, part: str) -> Iterator[None]:
    started = time.process_time()
    yield
    spent[part] = spent.get(part, 0) + time.process_time() - started


def _earlier(users: int) -> list[Message]:
    """A record of each user's first day, of the minute before midnight in UTC."""
    ts = (START + timedelta(minutes=59)).isoformat().replace("+00:00", "+01:00")
    text = '{"user_id":"user-%04d","device_id":"watch","source":"FITBIT","ts":"%s","steps":1}'
    return [Message((text % (user, ts)).encode(), None, "bench", 0, user) for user in range(users)]


def _days(records: int) -> Iterator[bytes]:
    hour = messages_of(60 * USERS, size=60)[0]
    for place in range(records // 60):
        user, day = divmod(place, DAYS)
        date = (START + timedelta(days=day)).date().isoformat()
        own = hour.replace(b"user-0000", b"user-%04d" % user)
        yield own.replace(START.date().isoformat().encode(), date.encode())


def _pipeline(store: Store, topics: MemoryTopics, day_cache_size: int) -> Pipeline:
    return Pipeline(
        store,
        topics,
        rules=Rules(),
        now=lambda: NOW,
        future_skew_max=SKEW_MAX,
        day_cache_size=day_cache_size,
    )


async def _run(
    pipeline: Pipeline,
    messages: Iterable[bytes],
    batch_size_max: int,
    on_outcome: Callable[[Outcome], None],
) -> None:
    queue = MemoryQueue()
    options = {"batch_size_max": batch_size_max, "patience": PATIENCE, "on_outcome": on_outcome}
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_fill(queue, messages))
        tasks.create_task(drain(queue, pipeline, **options))


async def _fill(queue: MemoryQueue, messages: Iterable[bytes]) -> None:
    numbered = enumerate(messages)
    while chunk := [Message(m, None, "bench", 0, i) for i, m in islice(numbered, 1000)]:
        await queue.put(chunk)
    await queue.close()


if __name__ == "__main__":
    main()
