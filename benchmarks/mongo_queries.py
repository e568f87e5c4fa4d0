"""How long the queries of a user's day take on MongoDB, and by which plan the server answers them.

Run it with `python -m benchmarks.mongo_queries --events 1000000`. The events go in through the
pipeline, so the totals are real ones. Then each query runs for random users and days, one after
another. A plan is the server's own `explain` of the command that the driver sent, as a listener saw
it. Ends with 1 where a mongod reads a whole collection for one. On a test server the events are
few, an index on `user_id` lets the run end, and the latencies say nothing of MongoDB.
"""

import argparse
import asyncio
import os
import platform
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import timedelta
from statistics import quantiles
from typing import Any, NamedTuple

import orjson
import pymongo
from pymongo import monitoring

from benchmarks.servers import Server, connection_to, server
from benchmarks.streams import START, event_at
from ingest.core.deltas import SnapshotRules
from ingest.core.records import Day
from ingest.core.timestamps import MINUTES_PER_DAY, MINUTES_PER_HOUR, first_minute
from ingest.core.totals import Rules
from ingest.embedded import collect_garbage_rarely
from ingest.pipeline import Pipeline
from ingest.ports import Message, Store
from ingest.queues.memory import MemoryTopics
from ingest.replay import deltas_between
from ingest.stores.documents import EVENTS, SNAPSHOTS, TOTALS
from ingest.stores.mongo import Connection, Wanted, opened, opened_to_write

DATABASE = f"ingest_benchmark_{os.getpid()}"
WANTED = Wanted(timedelta(days=7), None)
DAYS, EVENTS_A_DAY, SNAPSHOTS_A_DAY = 10, 100, 10
TEST_SERVER_EVENTS = 20_000
FULL_SCAN = "COLLSCAN"

Query = Callable[[Store, str, str], Awaitable[Any]]


class Plan(NamedTuple):
    """The stages of a winning plan, and whether each index in it is read within bounds."""

    stages: list[str]
    is_bounded: bool


async def totals(store: Store, user_id: str, day: str) -> None:
    """`ingest totals` of a day."""
    await store.totals.totals_between(user_id, day, day)


async def deltas(store: Store, user_id: str, day: str) -> None:
    """`ingest deltas` of a day."""
    await deltas_between(store.log, user_id, day, day, SnapshotRules())


async def events(store: Store, user_id: str, day: str) -> None:
    """`ingest events` of a day."""
    first = first_minute(day)
    await store.log.events_between(user_id, first, first + MINUTES_PER_DAY - 1)


async def load_total(store: Store, user_id: str, day: str) -> None:
    """What the worker reads of a total it does not remember."""
    await store.totals.load([Day(user_id, day)])


async def reread_events(store: Store, user_id: str, day: str) -> None:
    """What the worker reads again of two hours."""
    hour = first_minute(day) // MINUTES_PER_HOUR
    await store.log.events_in_hours([(user_id, hour), (user_id, hour + 2)])


async def count_events(store: Store, user_id: str, day: str) -> None:
    """What the worker counts of two hours that came again."""
    hour = first_minute(day) // MINUTES_PER_HOUR
    await store.log.count_in_hours([(user_id, hour), (user_id, hour + 2)])


async def reread_snapshots(store: Store, user_id: str, day: str) -> None:
    """What the worker reads of a chain that does not grow at its end."""
    await store.log.snapshots_of_days([Day(user_id, day)])


READERS: tuple[Query, ...] = (totals, deltas, events)
WORKERS: tuple[Query, ...] = (load_total, reread_events, count_events, reread_snapshots)


def messages_of_user(user_id: str) -> Iterator[bytes]:
    """A user's days: a message of the first minutes of each and one of its snapshots."""
    rng = random.Random(user_id)
    head = {"user_id": user_id, "device_id": "watch", "source": "FITBIT"}
    for day in range(DAYS):
        start = START + timedelta(days=day)
        minutes = (start + timedelta(minutes=minute) for minute in range(EVENTS_A_DAY))
        yield orjson.dumps(head | {"events": [event_at(rng, minute) for minute in minutes]})
        snapshots = [
            {
                "date": start.date().isoformat(),
                "timestamp": (start + timedelta(hours=hour)).isoformat(),
                "steps_total": 500 * hour,
                "calories_out_total": 70.5 * hour,
            }
            for hour in range(1, SNAPSHOTS_A_DAY + 1)
        ]
        yield orjson.dumps(head | {"snapshots": snapshots})


async def fill(store: Store, users: list[str]) -> None:
    """Every user's days through the pipeline, five users a batch; raises where one is missing."""
    pipeline = Pipeline(
        store,
        MemoryTopics(on_dead_letter=print),
        rules=Rules(),
        now=lambda: START + timedelta(days=365),
        future_skew_max=timedelta(hours=24),
        day_cache_size=100,
    )
    accepted = 0
    for first in range(0, len(users), 5):
        texts = [text for user in users[first : first + 5] for text in messages_of_user(user)]
        batch = [Message(text, None, "bench", 0, place) for place, text in enumerate(texts)]
        accepted += (await pipeline.run(batch)).accepted
        print(f"\r{accepted:,} records", end="", file=sys.stderr, flush=True)
    if accepted != len(users) * DAYS * (EVENTS_A_DAY + SNAPSHOTS_A_DAY):
        raise SystemExit(f"{accepted} records were stored")


async def latencies_of(query: Query, store: Store, users: list[str], seconds: float) -> list[float]:
    """Milliseconds of each of at most 2,000 queries, for at most this long."""
    rng, taken = random.Random(5), []
    deadline = time.monotonic() + seconds
    while len(taken) < 10 or (len(taken) < 2000 and time.monotonic() < deadline):
        user_id, day = rng.choice(users), START + timedelta(days=rng.randrange(DAYS))
        started = time.perf_counter()
        await query(store, user_id, day.date().isoformat())
        taken.append((time.perf_counter() - started) * 1e3)
    return taken


class Sent(monitoring.CommandListener):
    """The reading commands that the driver sent."""

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """Keep what tells the plan; the rest is the session's."""
        if event.command_name in ("find", "aggregate"):
            kept = (event.command_name, "filter", "projection", "sort", "pipeline", "cursor")
            self.commands.append({k: event.command[k] for k in kept if k in event.command})

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Nothing."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Nothing."""


async def plans_of(connection: Connection, user_id: str) -> dict[str, Plan]:
    """The server's plan for each query of a reader and of the worker."""
    sent, day = Sent(), START.date().isoformat()
    monitoring.register(sent)
    plans = {}
    async with opened_to_write(connection, WANTED) as store, opened(connection) as database:
        for query in (*READERS, *WORKERS):
            sent.commands.clear()
            await query(store, user_id, day)
            (command,) = sent.commands
            told = await database.command({"explain": command, "verbosity": "queryPlanner"})
            plans[query.__name__] = plan_in(told)
    return plans


def plan_in(explained: Mapping[str, Any]) -> Plan:
    """The plan in an answer to `explain`, of a server or of each shard."""
    stages: list[str] = []
    bounds: list[Any] = []
    for winning in _found(explained, "winningPlan"):
        stages += [stage for stage in _found(winning, "stage") if isinstance(stage, str)]
        bounds += [ranges for own in _found(winning, "indexBounds") for ranges in own.values()]
    is_open = any("MinKey" in text and "MaxKey" in text for own in bounds for text in map(str, own))
    is_point = any(stage in ("IDHACK", "EXPRESS_IXSCAN") for stage in stages)
    return Plan(stages, (bool(bounds) or is_point) and not is_open and FULL_SCAN not in stages)


def _found(document: Any, key: str) -> Iterator[Any]:
    """Every value of a key, at whatever depth; plans that were rejected are left out."""
    if isinstance(document, Mapping):
        for name, value in document.items():
            if name == key:
                yield value
            if name not in ("rejectedPlans", "command"):
                yield from _found(value, key)
    elif isinstance(document, list):
        for value in document:
            yield from _found(value, key)


async def run(running: Server, options: argparse.Namespace) -> dict[str, Plan]:
    """Fill a database, print latencies and plans, and drop it."""
    connection = connection_to(running, DATABASE)
    users = [f"user-{place:05d}" for place in range(options.events // (DAYS * EVENTS_A_DAY))]
    async with opened_to_write(connection, WANTED) as store, opened(connection) as database:
        try:
            if not running.is_mongod:
                for name in (EVENTS, SNAPSHOTS, TOTALS):
                    await database[name].create_index("user_id")
            await fill(store, users)
            print(f"\r{await store.log.count():,} records, {await store.totals.count():,} totals")
            for query in READERS:
                taken = await latencies_of(query, store, users, options.seconds)
                print(_line(query.__name__, taken), flush=True)
            plans = await plans_of(connection, users[0])
        finally:
            if running.is_mongod:  # a server of our own ends with its folder
                await database.client.drop_database(DATABASE)
    return plans


def _line(name: str, taken: list[float]) -> str:
    cuts = quantiles(taken, n=100)
    return f"{name:18}p50 {cuts[49]:8.2f} ms  p99 {cuts[98]:8.2f} ms  of {len(taken):,} queries"


def main() -> None:
    """Print the server, the latencies, the plans; 1 where a mongod reads a whole collection."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--events", type=int, help="1000000; 20000 on a test server")
    parser.add_argument("--seconds", type=float, default=20, help="at most, for each query")
    options = parser.parse_args()
    collect_garbage_rarely()
    with server() as running:
        options.events = options.events or (1_000_000 if running.is_mongod else TEST_SERVER_EVENTS)
        print(f"{running.label}; {platform.machine()}, pymongo {pymongo.version}")
        plans = asyncio.run(run(running, options))
        for name, plan in plans.items():
            bounds = "index range" if plan.is_bounded else "NO INDEX RANGE"
            print(f"{name:18}{bounds:16}{' < '.join(plan.stages)}")
        if running.is_mongod and any(FULL_SCAN in plan.stages for plan in plans.values()):
            raise SystemExit(1)


if __name__ == "__main__":
    main()
