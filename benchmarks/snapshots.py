"""What a snapshot costs as its day's chain grows longer: 10, 100 and 1,440 a day.

Run it with `python -m benchmarks.snapshots` (about half a minute). One snapshot a message, on the
store in memory; CPU time of this process. Late ones come within a tenth of the day, and so do
those that come again. The ratio is that of the longest chain to the shortest.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, NamedTuple

import orjson

from benchmarks.core import START
from ingest.core.totals import Rules
from ingest.embedded import collect_garbage_rarely
from ingest.pipeline import Pipeline
from ingest.ports import Message
from ingest.queues.memory import MemoryTopics
from ingest.stores.memory import memory_store

LENGTHS: Final = (10, 100, 1440)


class Shape(NamedTuple):
    """What share comes late, what share comes again, and how many messages a batch has."""

    name: str
    late: float
    repeated: float
    batch: int
    snapshots: int  # of all users together, about


SHAPES: Final = (
    Shape("in order", 0, 0, 1000, 144_000),
    Shape("in order, a batch each", 0, 0, 1, 14_400),
    Shape("5 % late", 0.05, 0, 1000, 144_000),
    Shape("5 % late, a batch each", 0.05, 0, 1, 14_400),
    Shape("5 % late, 10 % twice", 0.05, 0.1, 1000, 144_000),
    Shape("5 % late, 10 % twice, a batch each", 0.05, 0.1, 1, 14_400),
)


def messages_of(shape: Shape, length: int) -> list[bytes]:
    """The day of at most 100 users, their snapshots in turn but for what is late or repeated."""
    rng = random.Random(5)
    placed: list[tuple[float, bytes]] = []
    for user in range(min(100, shape.snapshots // length)):
        steps = 0
        for number in range(length):
            steps += rng.randrange(50)
            message = _message(user, timedelta(days=number / length), steps)
            place = number + rng.random()
            if rng.random() < shape.late:
                place += rng.uniform(1, length / 10)
            placed.append((place, message))
            if rng.random() < shape.repeated:
                placed.append((place + rng.uniform(1, length / 10), message))
    return [message for _, message in sorted(placed)]


def _message(user: int, at: timedelta, steps: int) -> bytes:
    instant = START + at
    return orjson.dumps(
        {
            "user_id": f"user-{user:04d}",
            "device_id": "watch",
            "source": "FITBIT",
            "date": START.date().isoformat(),
            "timestamp": instant.isoformat(timespec="seconds"),
            "steps_total": steps,
            "calories_out_total": steps / 10,
        }
    )


async def seconds_of(messages: Sequence[bytes], batch_size: int) -> float:
    """CPU seconds of running them in batches of this size."""
    pipeline = Pipeline(
        memory_store(timedelta(days=7)),
        MemoryTopics(on_dead_letter=print),
        rules=Rules(),
        now=lambda: START + timedelta(days=365),
        future_skew_max=timedelta(hours=24),
        day_cache_size=50_000,
    )
    batch = [Message(message, None, "bench", 0, n) for n, message in enumerate(messages)]
    started = time.process_time()
    for first in range(0, len(batch), batch_size):
        await pipeline.run(batch[first : first + batch_size])
    return time.process_time() - started


def main() -> None:
    """Measure each shape with chains of each length and print a row."""
    argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0]).parse_args()
    collect_garbage_rarely()
    headings = "".join(f"{length:9,}" for length in LENGTHS)
    print(f"{'us of CPU a snapshot, a day of':36}{headings}{'ratio':>8}")
    for shape in SHAPES:
        costs = []
        for length in LENGTHS:
            messages = messages_of(shape, length)
            costs.append(asyncio.run(seconds_of(messages, shape.batch)) / len(messages) * 1e6)
        row = "".join(f"{cost:9.1f}" for cost in costs)
        print(f"{shape.name:36}{row}{costs[-1] / costs[0]:8.1f}", flush=True)


if __name__ == "__main__":
    main()
