"""How the cost of a record grows: with what is stored, users, snapshots a day, duplicates, workers.

Nothing may grow faster than the logarithm of what it is measured against.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson

from benchmarks.embedded import (
    BATCH_SIZE_MAX,
    Backend,
    as_messages,
    empty_store,
    pipeline_of,
    run,
)
from benchmarks.floors import documents_of
from benchmarks.measuring import Spent, in_child, peak_mib, spending
from benchmarks.plan import Plan
from benchmarks.servers import Ground
from benchmarks.streams import (
    HOUR,
    START,
    USERS,
    event_at,
    first_of_each_user,
    messages_of,
    snapshots_of,
    stream_of,
)
from ingest.pipeline import Pipeline
from ingest.queues.memory import MemoryTopics
from ingest.stores.documents import EVENTS
from ingest.stores.mongo import opened
from ingest.stores.mongo.collection import slices

MINUTE_RECORDS: Final = 10_000  # of a round by users
USERS_CACHED: Final = 5_000  # days at hand there, so that both sides of the step are seen
SNAPSHOT_USERS: Final = 20
SNAPSHOTS_AT_ONCE: Final = 5  # of a user in a batch
DUPLICATES_OF: Final = 120_000
LATE: Final = 0.05
PUT_AT_ONCE: Final = 5_000
Row = dict[str, Any]


def scale(plan: Plan, ground: Ground) -> Iterator[Row]:
    """A row for each series and size: seconds of each round, and how many records that were."""
    for stored in plan.stored:
        yield _row("records stored, in memory", stored, in_child(_by_stored, stored, plan.rounds))
    for stored in plan.stored_mongo:
        rounds = in_child(_by_stored_in_mongodb, Backend(ground.mongodb), stored, plan.rounds)
        yield _row("records stored, MongoDB", stored, rounds)
    for users in plan.users:
        yield _row("users", users, in_child(_by_users, users, plan.rounds))
    for late, name in ((0.0, "snapshots a day, in order"), (LATE, "snapshots a day, 5% late")):
        for each in plan.snapshots:
            yield _row(name, each, in_child(_by_snapshots, each, late, plan.rounds))
    for percent in plan.duplicates:
        yield _row("duplicates, %", percent, in_child(_by_duplicates, percent / 100, plan.rounds))


def _row(series: str, size: int, rounds: list[Spent]) -> Row:
    return {"series": series, "size": size, "rounds": rounds}


def _by_stored(stored: int, rounds: int) -> list[Spent]:
    """The next hours of all users, when so many records are stored in memory."""

    async def measure() -> list[Spent]:
        pipeline = await _in_memory()
        hours = -(-stored // HOUR)
        for hour in range(hours):
            await run(pipeline, messages_of(HOUR, size=60, first_hour=hour))
        return [
            await _timed(pipeline, messages_of(10 * HOUR, size=60, first_hour=hours + 10 * again))
            for again in range(rounds)
        ]

    return asyncio.run(measure())


def _by_stored_in_mongodb(backend: Backend, stored: int, rounds: int) -> list[Spent]:
    """The next hours of all users, when so many records of earlier days are stored in MongoDB.

    Those are put there by the driver alone, and the day that is measured is known.
    """

    async def measure() -> list[Spent]:
        async with empty_store(backend) as store, opened(backend.connection) as database:
            for hours in range(24, 24 + -(-stored // HOUR)):
                earlier = messages_of(HOUR, size=60, first_hour=-hours)
                for documents in slices(documents_of(earlier), PUT_AT_ONCE):
                    await database[EVENTS].insert_many(documents, ordered=False)
            pipeline = pipeline_of(store, MemoryTopics(on_dead_letter=print))
            await pipeline.run([*as_messages(first_of_each_user(USERS))])
            return [
                await _timed(pipeline, messages_of(HOUR, size=60, first_hour=again))
                for again in range(rounds)
            ]

    return asyncio.run(measure())


def _by_users(users: int, rounds: int) -> list[Spent]:
    """A minute of each of so many users, when each has a minute before it.

    A round has the same number of records, whoever has sent them: of few users several minutes, of
    many only some of them.
    """

    async def measure() -> list[Spent]:
        pipeline = await _in_memory(USERS_CACHED)
        rng = random.Random(17)
        batches = -(-MINUTE_RECORDS // users)
        await run(pipeline, (_minute(rng, user, 0) for user in range(users)))
        found = []
        for again in range(rounds):
            first = 1 + again * batches
            minutes = (
                _minute(rng, (again * MINUTE_RECORDS + user) % users, first + minute)
                for minute in range(batches)
                for user in range(min(users, MINUTE_RECORDS))
            )
            found.append(await _timed(pipeline, [*minutes]))
        return found

    return asyncio.run(measure())


def _minute(rng: random.Random, user: int, minute: int) -> bytes:
    event = event_at(rng, START.replace(hour=minute // 60 % 24, minute=minute % 60))
    day = event["ts"][:8] + f"{3 + minute // 1440:02d}" + event["ts"][10:]  # type: ignore[index]
    head = {"user_id": f"user-{user:07d}", "device_id": "watch", "source": "FITBIT"}
    return orjson.dumps(head | event | {"ts": day})


def _by_snapshots(each: int, late: float, rounds: int) -> list[Spent]:
    """A day of so many snapshots of each user, one a message, a few of each user in a batch."""
    snapshots = snapshots_of(SNAPSHOT_USERS, each, late=late)
    batch = SNAPSHOT_USERS * SNAPSHOTS_AT_ONCE

    async def measure() -> Spent:
        return await _timed(await _in_memory(), snapshots, batch)

    return [asyncio.run(measure()) for _ in range(rounds)]


def _by_duplicates(share: float, rounds: int) -> list[Spent]:
    """A stream in which this share of the messages has come before."""
    stream = stream_of(DUPLICATES_OF, size=60, duplicates=share / (1 - share))

    async def measure() -> Spent:
        return await _timed(await _in_memory(), stream.messages)

    return [asyncio.run(measure()) for _ in range(rounds)]


async def _in_memory(day_cache_size: int = 50_000) -> Pipeline:
    async with empty_store(Backend()) as store:
        return pipeline_of(store, MemoryTopics(on_dead_letter=print), day_cache_size)


async def _timed(
    pipeline: Pipeline, messages: Sequence[bytes], batch_size_max: int = BATCH_SIZE_MAX
) -> Spent:
    spent: Spent = {}
    with spending(spent, "pipeline"):
        outcomes = await run(pipeline, messages, batch_size_max)
    rejected = sum(own.rejected for own in outcomes)
    if rejected:
        raise SystemExit(f"{rejected} records were refused")
    records = sum(own.records for own in outcomes)
    return {**spent, "records": records, "peak_mib": peak_mib()}
