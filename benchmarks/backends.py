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
SIZES: Final = (60, 10, 1)
FLOOR_RECORDS: Final = 6_000  # of a floor in a database; a cost per record needs no more
QUERIES_MAX: Final = 1000

Row = dict[str, Any]


def backends(plan: Plan, ground: Ground) -> Iterator[Row]:
    """A row for each store and stream: seconds of each round, latencies in ms, MiB."""
    stores = (
        (Backend(), plan.records),
        (Backend(ground.mongodb, "pymongo"), plan.records_mongo),
        (Backend(ground.mongodb, "motor"), plan.records_mongo),
    )
    for duplicates in SHARES:
        for size in SIZES:
            for backend, records in stores:
                yield in_child(_measure, backend, size, duplicates, records, plan)


def _measure(backend: Backend, size: int, duplicates: float, records: int, plan: Plan) -> Row:
    users = USERS if backend.uri is None else plan.users_mongo
    stream = stream_of(records, size=size, duplicates=duplicates, late=LATE, users=users)
    warm_up = stream_of(6000, size=size)
    asyncio.run(_round(backend, warm_up, plan.query_seconds))
    before = resident_mib()
    forget_peak()
    latencies: dict[str, list[float]] = {}
    rounds = []

    def one() -> Spent:
        spent, found = asyncio.run(_round(backend, stream, plan.query_seconds))
        for name, taken in found.items():
            latencies.setdefault(name, []).extend(taken)
        return spent

    rounds = rounds_of(one, plan.rounds)
    return {
        "backend": backend.label,
        "stream": stream.label,
        "size": size,
        "duplicates": duplicates,
        "records": stream.records,
        "rounds": rounds,
        "query_ms": {name: _percentiles(taken) for name, taken in latencies.items()},
        "memory_mib": peak_mib() - before,
    }


async def _round(
    backend: Backend, stream: Stream, seconds: float
) -> tuple[Spent, dict[str, list[float]]]:
    spent: Spent = {"records": stream.records}
    floors.validate(stream, spent)
    if backend.uri is not None:
        few = stream.first(FLOOR_RECORDS)
        await floors.send(backend, few, spent)
        spent["floor_records"] = few.records
    async with empty_store(backend) as store:
        await measure_pipeline(store, stream, spent)
        latencies = {q.__name__: await _latencies(q, store, stream, seconds) for q in READERS}
    return spent, latencies


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
