"""What a record costs in the embedded pipeline, against pydantic alone on the same bytes.

Run it with `python -m benchmarks.core` (about a minute; `--records 20000` for a quick look). CPU
time of this process, median of the rounds; floor and pipeline take turns on the same bytes, so a
machine that slows down slows both.

The floor is pydantic validating section 2's types and ranges straight from bytes, `ts` as an aware
datetime, into dicts: no rows, no units, no reason codes, no queue, no store, no totals.
"""

import argparse
import asyncio
import platform
import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Annotated

import orjson
import pydantic
from pydantic import AwareDatetime, Field

from ingest.core.schema import Envelope, EventFields, SchemaValidator, validator_of
from ingest.core.totals import Rules
from ingest.embedded import collect_garbage_rarely, drain
from ingest.outcome import Outcome
from ingest.pipeline import Pipeline
from ingest.ports import Message
from ingest.queues.memory import MemoryQueue, MemoryTopics
from ingest.retries import Patience
from ingest.stores.memory import memory_store

USERS = 100
_new = tuple.__new__  # messages are made as `ingest.replay` makes them
START = datetime(2025, 11, 3, tzinfo=UTC)


class TimedEvent(EventFields):
    """An event whose time pydantic parses too."""

    ts: AwareDatetime  # type: ignore[misc]  # narrowed for the floor only


class TimedMessage(Envelope):
    """A message of such events."""

    events: Annotated[list[TimedEvent], Field(min_length=1, max_length=10_000)]


class TimedInline(Envelope, TimedEvent):
    """A message of one."""


def events_by_hour(
    records: int, *, seconds: int = 1
) -> Iterator[tuple[str, list[dict[str, object]]]]:
    """Hours of minutes, every user's in turn; most have calories, half a heart rate."""
    rng = random.Random(7)
    for hour in range(records // 60 // USERS):
        for user in range(USERS):
            start = START + timedelta(hours=hour)
            yield (
                f"user-{user:04d}",
                [
                    event_at(rng, start + timedelta(minutes=minute, seconds=rng.randrange(seconds)))
                    for minute in range(60)
                ],
            )


def event_at(rng: random.Random, at: datetime) -> dict[str, object]:
    """One minute as a phone writes it."""
    event: dict[str, object] = {"ts": at.isoformat(), "steps": rng.randrange(130)}
    if rng.random() < 0.75:
        event["calories_out"] = round(rng.uniform(0.8, 12), 4)
    if rng.random() < 0.5:
        event["hr_avg"] = round(rng.uniform(50, 170), 1)
    return event


def messages_of(records: int, *, size: int, seconds: int = 1) -> list[bytes]:
    """The events as messages of `size`: a backlog, each user's hour in one piece.

    Times fall on one of the first `seconds` of their minute: on the first second all users write
    the same texts, over 60 hardly two of them.
    """
    messages = []
    for user_id, events in events_by_hour(records, seconds=seconds):
        head = {"user_id": user_id, "device_id": "watch", "source": "FITBIT"}
        if size == 1:
            messages += [orjson.dumps(head | event) for event in events]
        else:
            messages += [
                orjson.dumps(head | {"events": events[first : first + size]})
                for first in range(0, len(events), size)
            ]
    return messages


def live_order(messages: Sequence[bytes]) -> list[bytes]:
    """Messages of one record as they come live: every user's minute, then the next minute."""
    hours = [messages[first : first + 60 * USERS] for first in range(0, len(messages), 60 * USERS)]
    return [message for hour in hours for minute in range(60) for message in hour[minute::60]]


def repeated_late(messages: Sequence[bytes]) -> list[bytes]:
    """Every message twice, the second time anywhere later in the stream."""
    rng = random.Random(11)
    placed = [(place, message) for place, message in enumerate(messages)]
    again = [(rng.uniform(place, len(messages)), message) for place, message in placed]
    return [message for _, message in sorted([*placed, *again], key=lambda pair: pair[0])]


def floor_seconds(validator: SchemaValidator, messages: Sequence[bytes]) -> float:
    """CPU seconds of validating alone."""
    started = time.process_time()
    for message in messages:
        validator.validate_json(message)
    return time.process_time() - started


def pipeline_seconds(messages: Sequence[bytes], batch_size_max: int) -> tuple[float, list[Outcome]]:
    """CPU seconds from bytes in the queue to acknowledged, saved and published totals."""
    outcomes: list[Outcome] = []
    started = time.process_time()
    asyncio.run(_run(messages, batch_size_max, outcomes.append))
    return time.process_time() - started, outcomes


async def _run(
    messages: Sequence[bytes], batch_size_max: int, on_outcome: Callable[[Outcome], None]
) -> None:
    queue = MemoryQueue()
    pipeline = Pipeline(
        memory_store(timedelta(days=7)),
        MemoryTopics(on_dead_letter=print),
        rules=Rules(),
        now=lambda: START + timedelta(days=365),
        future_skew_max=timedelta(hours=24),
        day_cache_size=50_000,
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_fill(queue, messages))
        tasks.create_task(
            drain(
                queue,
                pipeline,
                batch_size_max=batch_size_max,
                patience=Patience(timedelta(seconds=1), timedelta()),
                on_outcome=on_outcome,
            )
        )


async def _fill(queue: MemoryQueue, messages: Sequence[bytes]) -> None:
    for first in range(0, len(messages), 1000):
        chunk = messages[first : first + 1000]
        await queue.put(
            [
                _new(Message, (value, None, "bench", 0, first + i, None))
                for i, value in enumerate(chunk)
            ]
        )
    await queue.close()


def main() -> None:
    """Measure every shape of the stream and print one row each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size-max", type=int, default=1000)
    options = parser.parse_args()
    options.records = max(1, options.records // (60 * USERS)) * 60 * USERS  # whole hours of all
    collect_garbage_rarely()
    large, single = messages_of(options.records, size=60), messages_of(options.records, size=1)
    validate_large, validate_single = validator_of(TimedMessage), validator_of(TimedInline)
    cases = {
        "60 a message": (large, validate_large, 1),
        "60 a message, any second": (
            messages_of(options.records, size=60, seconds=60),
            validate_large,
            1,
        ),
        "60 a message, all twice, late": (repeated_late(large), validate_large, 2),
        "1 a message, backlog": (single, validate_single, 1),
        "1 a message, live": (live_order(single), validate_single, 1),
        "1 a message, live, all twice, late": (
            repeated_late(live_order(single)),
            validate_single,
            2,
        ),
    }
    print(
        f"{platform.machine()}, Python {platform.python_version()}, pydantic {pydantic.VERSION}; "
        f"{options.records} events of {USERS} users, batches of {options.batch_size_max} messages, "
        f"median of {options.rounds} rounds, us of CPU a record"
    )
    print(f"{'stream':36}{'floor':>8}{'pipeline':>10}{'ratio':>7}{'min-max':>13}{'records/s':>12}")
    for name, (messages, validator, times) in cases.items():
        _measure(name, messages, validator, options.records * times, options)


def _measure(
    name: str,
    messages: Sequence[bytes],
    validator: SchemaValidator,
    records: int,
    options: argparse.Namespace,
) -> None:
    floors, costs = [], []
    for _ in range(options.rounds):
        floors.append(floor_seconds(validator, messages) / records * 1e6)
        seconds, outcomes = pipeline_seconds(messages, options.batch_size_max)
        counted = sum(outcome.records for outcome in outcomes)
        if counted != records:
            raise SystemExit(f"{name}: {counted} records came out of {records}")
        costs.append(seconds / counted * 1e6)
    ratios = [cost / floor for cost, floor in zip(costs, floors, strict=True)]
    print(
        f"{name:36}{median(floors):8.2f}{median(costs):10.2f}{median(ratios):7.2f}"
        f"{min(ratios):7.2f}-{max(ratios):.2f}{1e6 / median(costs):12,.0f}"
    )


if __name__ == "__main__":
    main()
