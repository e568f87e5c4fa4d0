"""What a record costs each contestant: the worker and other ways into the same store.

Each contestant is a process of its own on the first core; broker, store, producer and this program
have the second. It is started once for each size of message, on an empty topic, warmed up with
slices of the stream, and then given a slice a round. A slice counts from before it is produced
until all of it is stored, and in the totals where there are any; CPU time is all of the process's,
of all threads, until a moment after that, so that the commit and what else follows is in it. What
the process uses with nothing to do is in it too, and is shown on its own: a slow store lets all
wait for long.

Counting takes the test server long. So the totals are looked at first, where there are any; where
there are none, what is stored is deleted after a slice, which none of those contestants reads.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from benchmarks.contestants import Contestant, contestants
from benchmarks.plan import Plan
from benchmarks.servers import Ground
from benchmarks.streams import stream_of
from benchmarks.track import NotThereError, Track, track

SLICE_SECONDS: Final = 60
SETTLE_SECONDS: Final = 0.3
IDLE_SECONDS: Final = 1.5
WARM_UP: Final = 2  # slices that are not counted; a JVM needs them most
FEWER: Final = {"faust_textbook": 20}  # a part of a slice: two round trips to the store a record


@dataclass(frozen=True, slots=True)
class Row:
    """A contestant on messages of a size: a number a round, and why there are not more."""

    contestant: str
    label: str
    versions: str
    lacks: tuple[str, ...]
    size: int
    slice_records: int
    cpu_us: list[float] = field(default_factory=list)  # of a record
    records_per_second: list[float] = field(default_factory=list)
    records_per_cpu_second: list[float] = field(default_factory=list)
    idle_cpu_percent: float | None = None  # of a core, with nothing to do
    peak_mib: float | None = None
    failure: str | None = None


def contest(plan: Plan, ground: Ground) -> Iterator[dict[str, Any]]:
    """A row for each size of message and contestant, as it is measured."""
    for size, most in plan.contest_records.items():
        stream = stream_of(most * (plan.rounds + WARM_UP), size=size)
        for one in contestants(plan.contestants):
            records = max(size, most // FEWER.get(one.name, 1) // size * size)
            own = stream.messages[: records * (plan.rounds + WARM_UP) // size]
            yield asdict(asyncio.run(measured(ground, one, size, records, own)))


async def measured(
    ground: Ground, contestant: Contestant, size: int, records: int, stream: Sequence[bytes]
) -> Row:
    """A contestant's row; what fails is said in it."""
    row: dict[str, Any] = {"cpu_us": [], "records_per_second": [], "records_per_cpu_second": []}
    failure = None if contestant.can_run else "cannot run here"
    if contestant.can_run:
        try:
            await _run(ground, contestant, size, records, stream, row)
        except NotThereError as error:
            failure = f"round {len(row['cpu_us'])}: {error}"
    return Row(
        *(contestant.name, contestant.label, contestant.versions(), contestant.lacks),
        *(size, records),
        **row,
        failure=failure,
    )


async def _run(
    ground: Ground,
    contestant: Contestant,
    size: int,
    records: int,
    stream: Sequence[bytes],
    row: dict[str, Any],
) -> None:
    """Run a contestant over the stream, a slice at a time; the first ones are not counted."""
    step = records // size
    async with track(ground, contestant, size) as own:
        await own.start()
        for first in range(0, WARM_UP * step, step):
            await _slice_seconds(own, stream[first : first + step], size)
        row["idle_cpu_percent"] = 100 * await _idle_share(own)
        for first in range(WARM_UP * step, len(stream), step):
            cpu, wall = await _slice_seconds(own, stream[first : first + step], size)
            row["cpu_us"].append(1e6 * cpu / records)
            row["records_per_second"].append(records / wall)
            row["records_per_cpu_second"].append(records / cpu)
            row["peak_mib"] = own.running.peak_mib()


async def _slice_seconds(own: Track, messages: Sequence[bytes], size: int) -> tuple[float, float]:
    """CPU and wall-clock seconds from before these are produced until they are all stored."""
    cpu, wall = own.running.cpu_seconds(), time.perf_counter()
    await own.send(messages)
    await own.until_stored(len(messages), size, SLICE_SECONDS)
    wall = time.perf_counter() - wall
    await asyncio.sleep(SETTLE_SECONDS)
    cpu = own.running.cpu_seconds() - cpu
    await own.clear(size)
    return cpu, wall


async def _idle_share(own: Track) -> float:
    """The share of a core that it uses while nothing comes."""
    before = own.running.cpu_seconds()
    await asyncio.sleep(IDLE_SECONDS)
    return (own.running.cpu_seconds() - before) / IDLE_SECONDS
