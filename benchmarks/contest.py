"""What a record costs each contestant: the worker and other ways into the same store.

Run it with `python -m benchmarks.contest` (about 4 minutes; `--quick` for a look). Each contestant
is a process of its own on the first core; broker, store, producer and this program have the second.
It is started once for each size of message, on an empty topic, warmed up with a slice of the
stream, and then given a slice a round. A slice counts from before it is produced until all of it is
stored, and in the totals where there are any; CPU time is all of the process's, of all threads,
until a moment after that, so that the commit and what else follows is in it. What the process uses
with nothing to do is in it too, and is shown on its own: a slow store lets all wait for long.

Counting takes the test server long. So the totals are looked at first, where there are any; where
there are none, what is stored is deleted after a slice, which none of those contestants reads.
"""

import argparse
import asyncio
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks.contestants import Contestant, contestants
from benchmarks.core import USERS, live_order, messages_of
from benchmarks.kafka import broker
from benchmarks.servers import server
from benchmarks.track import Ground, NotThereError, Track, track

SLICE_SECONDS: Final = 60
SETTLE_SECONDS: Final = 0.3
IDLE_SECONDS: Final = 1.5
HOUR: Final = 60 * USERS
SLICES: Final = {60: 12_000, 1: 3_000}  # records of a slice, by records of a message
QUICK: Final = {60: 6_000, 1: 600}
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


def contest(
    ground: Ground,
    who: Sequence[Contestant],
    *,
    rounds: int = 5,
    slices: dict[int, int] = SLICES,
) -> Iterator[dict[str, Any]]:
    """A row for each size of message and contestant, as it is measured."""
    for size, most in slices.items():
        stream = stream_of(most * (rounds + 1), size)
        for one in who:
            records = most // FEWER.get(one.name, 1)
            own = stream[: records * (rounds + 1) // size]
            yield asdict(asyncio.run(measured(ground, one, size, records, own)))


def stream_of(records: int, size: int) -> list[bytes]:
    """At least so many records, as messages of this size, going on in time."""
    messages = messages_of(-(-records // HOUR) * HOUR, size=size)
    return (live_order(messages) if size == 1 else messages)[: records // size]


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
    """Run a contestant over the stream, a slice at a time; the first one is not counted."""
    step = records // size
    async with track(ground, contestant, size) as own:
        await own.start()
        await _slice_seconds(own, stream[:step], size)
        row["idle_cpu_percent"] = 100 * await _idle_share(own)
        for first in range(step, len(stream), step):
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


@contextmanager
def ground() -> Iterator[Ground]:
    """A broker and a store of our own, on the second core with this program."""
    with broker() as brokers, server() as mongodb:
        print(f"{platform.machine()}, Python {platform.python_version()}; {mongodb.label}\n")
        yield Ground(brokers, mongodb.uri)


def arguments_of(description: str) -> argparse.ArgumentParser:
    """What both programs on a ground can be told."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a look: numbers mean little")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some of the contestants")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here too")
    return parser


def chosen(names: Sequence[str] | None) -> list[Contestant]:
    """The contestants of these names, or all."""
    return [one for one in contestants() if names is None or one.name in names]


def kept(rows: list[dict[str, Any]], file: Path | None) -> None:
    """Write the rows to a file, if one is named."""
    if file is not None:
        file.write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2))


HEADINGS: Final = (
    f"{'records a message':>18}  {'contestant':24}{'CPU us a record':>16}  {'min-max':16}"
    f"{'records/s':>10}{'a CPU second':>14}{'idle %':>8}{'peak MiB':>10}  lacks"
)


def line_of(row: dict[str, Any]) -> str:
    """A row as it is printed: medians, and the spread of what counts."""
    shown = f"{row['size']:18}  {row['label']:24}"
    if cpu := row["cpu_us"]:
        shown += (
            f"{statistics.median(cpu):16.1f}  {f'{min(cpu):.1f}-{max(cpu):.1f}':16}"
            f"{statistics.median(row['records_per_second']):10,.0f}"
            f"{statistics.median(row['records_per_cpu_second']):14,.0f}"
            f"{row['idle_cpu_percent']:8.1f}{row['peak_mib']:10.0f}"
        )
    return f"{shown}  {row['failure'] or ', '.join(row['lacks'])}"


def main() -> None:
    """Measure every contestant and print a line each."""
    parser = arguments_of(__doc__)
    parser.add_argument("--rounds", type=int)
    arguments = parser.parse_args()
    rounds = arguments.rounds or (1 if arguments.quick else 5)
    rows = []
    with ground() as shared:
        print(HEADINGS)
        slices = QUICK if arguments.quick else SLICES
        for row in contest(shared, chosen(arguments.only), rounds=rounds, slices=slices):
            rows.append(row)
            print(line_of(row), flush=True)
    kept(rows, arguments.json)


if __name__ == "__main__":
    main()
