"""The same stream through every store: rate, cost, query latency, memory.

Run it alone with `python -m benchmarks --only backends`.
"""

import asyncio
import random
import time
from collections.abc import Iterator
from datetime import timedelta
from statistics import quantiles
from typing import Any, Final

from benchmarks import floors
from benchmarks.embedded import Backend, empty_store, measure_pipeline
from benchmarks.measuring import (
    Spent,
    forget_peak,
    in_child,
    peak_mib,
    resident_mib,
    rounds_of,
)
from benchmarks.mongo_queries import READERS, Query
from benchmarks.plan import Plan
from benchmarks.servers import Ground
from benchmarks.streams import START, USERS, Stream, stream_of
from ingest.ports import Store

LATE: Final = 0.05
SHARES: Final = (0.0, 0.2)  # of messages that come twice
FLOOR_RECORDS: Final = 3_000  # of a floor in a database; a cost per record needs no more
QUERIES_MAX: Final = 1000

Row = dict[str, Any]


def backends(plan: Plan, ground: Ground) -> Iterator[Row]:
    """A row for each store and stream: seconds of each round, latencies in ms, MiB."""
    stores = (Backend(), Backend(ground.mongodb, "pymongo"), Backend(ground.mongodb, "motor"))
    for duplicates in SHARES:
        for size in plan.sizes:
            for backend in stores:
                yield in_child(_measure, backend, size, duplicates, plan)


def _records(backend: Backend, duplicates: float, plan: Plan) -> int:
    if backend.uri is not None:
        return plan.records_mongo
    return plan.records_repeated if duplicates else plan.records


def _measure(backend: Backend, size: int, duplicates: float, plan: Plan) -> Row:
    records = _records(backend, duplicates, plan)
    users = USERS if backend.uri is None else plan.users_mongo
    stream = stream_of(records, size=size, duplicates=duplicates, late=LATE, users=users)
    warm_up = stream_of(1_200, size=size, users=5)
    asyncio.run(_round(backend, warm_up))
    before = resident_mib()
    forget_peak()
    rounds = rounds_of(lambda: asyncio.run(_round(backend, stream)), plan.rounds)
    memory_mib = peak_mib() - before
    latencies = asyncio.run(_queried(backend, stream, plan.query_seconds))
    return {
        "backend": backend.label,
        "stream": stream.label,
        "size": size,
        "duplicates": duplicates,
        "records": stream.records,
        "rounds": rounds,
        "query_ms": {name: _percentiles(taken) for name, taken in latencies.items()},
        "memory_mib": memory_mib,
    }


async def _round(backend: Backend, stream: Stream) -> Spent:
    spent: Spent = {"records": stream.records}
    floors.validate(stream, spent)
    if backend.uri is not None:
        few = stream.first(FLOOR_RECORDS)
        await floors.send(backend, few, spent)
        spent["floor_records"] = few.records
    async with empty_store(backend) as store:
        await measure_pipeline(store, stream, spent)
    return spent


async def _queried(backend: Backend, stream: Stream, seconds: float) -> dict[str, list[float]]:
    """Milliseconds of each query, by kind, when the stream is stored once more."""
    async with empty_store(backend) as store:
        await measure_pipeline(store, stream, {})
        return {q.__name__: await _latencies(q, store, stream, seconds) for q in READERS}


async def _latencies(query: Query, store: Store, stream: Stream, seconds: float) -> list[float]:
    """Milliseconds of each of so many queries, of users and days that are there."""
    rng, taken = random.Random(5), []
    days = max(1, stream.distinct // stream.users // 1440)
    deadline = time.monotonic() + seconds
    while len(taken) < QUERIES_MAX and time.monotonic() < deadline:
        user_id = f"user-{rng.randrange(stream.users):04d}"
        date = (START + timedelta(days=rng.randrange(days))).date().isoformat()
        started = time.perf_counter()
        await query(store, user_id, date)
        taken.append((time.perf_counter() - started) * 1e3)
    return taken


def _percentiles(taken: list[float]) -> dict[str, float]:
    cuts = quantiles(taken, n=100) if len(taken) > 1 else taken * 99
    return {"p50": cuts[49], "p99": cuts[98], "queries": len(taken)}
