"""What a record costs from Kafka to acknowledged totals, and what of it is the transport.

Run it with `python -m benchmarks.kafka` (about 8 minutes; `--records 60000` for a quick look). A
real broker is started on the loopback. Topics are filled first; then each contestant reads them to
the end as a process of its own, pinned to one core, the broker to the other. Measured is the CPU
time of that process, all its threads, from its assignment on, and the records a second.

- getmany: an aiokafka consumer that reads and commits, nothing else;
- transport: the worker's agent, acknowledging without a pipeline;
- with sensor: the same with Faust's own sensor for Prometheus;
- worker: the worker, on the store in memory or on MongoDB.
"""

import argparse
import asyncio
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import pymongo
from faust.sensors.prometheus import setup_prometheus_sensors
from prometheus_client import CollectorRegistry

from benchmarks.core import USERS, live_order, messages_of
from benchmarks.servers import server
from ingest.brokers import connection_of, topics_of, wanted_of
from ingest.queues.kafka import Outgoing, Producer, administration, initialise
from ingest.settings import Settings, load_settings
from ingest.stores.documents import EVENTS, TOTALS
from ingest.worker.batches import Delivery, Place

DEADLINE_SECONDS: Final = 300
PARTITIONS: Final = 12
HOUR: Final = 60 * USERS  # records of all users in an hour
_NAMES = count()


class Meter:
    """CPU and wall-clock seconds from `start` until so many messages were counted."""

    def __init__(self, messages: int) -> None:
        self.done = asyncio.Event()
        self._left = messages
        self.cpu = self.wall = 0.0

    def start(self) -> None:
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    def add(self, messages: int) -> None:
        self._left -= messages
        if self._left <= 0 and not self.done.is_set():
            self.cpu = time.process_time() - self.cpu
            self.wall = time.perf_counter() - self.wall
            self.done.set()


async def worker(settings: Settings, meter: Meter) -> None:
    """The worker as it is."""
    app = _app(settings, meter)
    counted = app.metrics.count

    def counting(outcome: Any, *others: Any) -> None:
        counted(outcome, *others)
        meter.add(outcome.messages)

    app.metrics.count = counting
    await _run(app, meter)


async def transport(settings: Settings, meter: Meter) -> None:
    """The worker's agent, its batches acknowledged as they come."""
    await _acknowledging(_app(settings, meter), meter)


async def _acknowledging(app: Any, meter: Meter) -> None:
    async def acknowledge(deliveries: Sequence[Delivery]) -> None:
        for message, _ in deliveries:
            app.batches._positions[Place(message.origin, message.partition)] = message.offset + 1
        meter.add(len(deliveries))

    app.batches.run = acknowledge
    await _run(app, meter)


async def with_sensor(settings: Settings, meter: Meter) -> None:
    """The transport with Faust's own sensor for Prometheus."""
    app = _app(settings, meter)
    setup_prometheus_sensors(app, registry=CollectorRegistry())
    await _acknowledging(app, meter)


async def getmany(settings: Settings, meter: Meter) -> None:
    """A bare consumer."""
    from aiokafka import AIOKafkaConsumer  # noqa: PLC0415 - of this contestant only

    consumer = AIOKafkaConsumer(
        *topics_of(settings).kinds,
        **connection_of(settings).options(),
        group_id=settings.kafka_group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with consumer:
        meter.start()
        while not meter.done.is_set():
            found = await consumer.getmany(timeout_ms=200, max_records=settings.batch_size_max)
            if found:
                await consumer.commit()
            meter.add(sum(map(len, found.values())))


CONTESTANTS: Final = {
    "getmany": getmany,
    "transport": transport,
    "sensor": with_sensor,
    "worker": worker,
}


def _app(settings: Settings, meter: Meter) -> Any:
    from ingest.worker.app import create_app  # noqa: PLC0415 - Faust, not for every contestant

    app = create_app(settings)

    @app.on_partitions_assigned.connect
    async def _assigned(_: Any, /, *__: Any, **___: Any) -> None:
        meter.start()

    return app


async def _run(app: Any, meter: Meter) -> None:
    await app.start()
    await meter.done.wait()
    await app.drain(5)
    await app.stop()


def contest(name: str, messages: int) -> None:
    """Be a contestant: read so many messages and print what it took."""
    from ingest.embedded import collect_garbage_rarely  # noqa: PLC0415 - as the command does
    from ingest.logs import configure  # noqa: PLC0415 - as the command does

    os.sched_setaffinity(0, {0})
    collect_garbage_rarely()
    configure("error")

    async def run() -> Meter:
        meter = Meter(messages)
        await asyncio.wait_for(CONTESTANTS[name](load_settings(), meter), DEADLINE_SECONDS)
        return meter

    meter = asyncio.run(run())
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    print(orjson.dumps({"cpu": meter.cpu, "wall": meter.wall, "peak_mib": peak}).decode())


def fill(settings: Settings, stream: "Stream") -> None:
    """Make the topics and send the messages."""

    async def filling() -> None:
        topic = topics_of(settings).activity_events
        async with administration(connection_of(settings)) as client:
            await initialise(client, wanted_of(settings))
        producer = Producer(connection_of(settings))
        messages = stream.messages
        for first in range(0, len(messages), 10_000):
            await producer.send(
                Outgoing(topic, orjson.loads(message)["user_id"].encode(), message)
                for message in messages[first : first + 10_000]
            )
        await producer.close()

    asyncio.run(filling())


def measure(name: str, environment: dict[str, str], messages: int) -> dict[str, float]:
    """One run of a contestant, as a group that has read nothing yet."""
    own = {
        **environment,
        "KAFKA_GROUP": f"bench-{next(_NAMES)}",
        "MONGODB_DATABASE": f"bench-{next(_NAMES)}",
        "MONGODB_TIMEOUT_SECONDS": "120",  # the test server is slow; a retry would be counted too
    }
    if own["REPOSITORY_BACKEND"] == "mongodb":
        _index_users(own["MONGODB_URI"], own["MONGODB_DATABASE"])
    done = subprocess.run(  # noqa: S603 - this very program
        [sys.executable, "-m", "benchmarks.kafka", "--contestant", name, str(messages)],
        env={**os.environ, **own},
        capture_output=True,
        check=False,
        timeout=DEADLINE_SECONDS + 30,
    )
    if done.returncode:
        raise SystemExit(done.stderr.decode()[-3000:])
    return orjson.loads(done.stdout.splitlines()[-1])


def _index_users(uri: str, database: str) -> None:
    """An index that a mongod has no use for: the test server finds a user's range by no other."""
    with pymongo.MongoClient(uri) as client:
        for name in (EVENTS, TOTALS):
            client[database][name].create_index("user_id")


@contextmanager
def broker() -> Iterator[str]:
    """A broker of our own, on the second core."""
    from tests.kafka.broker import running  # noqa: PLC0415 - the tests know how to start one

    os.sched_setaffinity(0, {1 % (os.cpu_count() or 1)})  # what is started from here inherits it
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        running(Path(folder)) as started,
    ):
        yield started.address()


def settings_on(address: str, topic: str) -> dict[str, str]:
    """The environment of a contestant on a stream."""
    return {
        "KAFKA_BROKERS": address,
        "KAFKA_PARTITIONS": str(PARTITIONS),
        "TOPIC_ACTIVITY_EVENTS": f"{topic}-events",
        "TOPIC_HEALTH_SNAPSHOTS": f"{topic}-snapshots",
        "TOPIC_DAILY_TOTALS": f"{topic}-totals",
        "TOPIC_DEAD_LETTERS": f"{topic}-letters",
        "WEB_PORT": "0",
    }


class Stream(NamedTuple):
    """What is read, and by whom: the name shown, the contestant, and its store."""

    label: str
    messages: Sequence[bytes]
    records: int
    contestants: Sequence[tuple[str, str, str]]


IN_MEMORY: Final = (
    ("getmany", "getmany", "inmemory"),
    ("transport", "transport", "inmemory"),
    ("with sensor", "sensor", "inmemory"),
    ("worker, memory", "worker", "inmemory"),
)
ON_MONGODB: Final = (("worker, MongoDB", "worker", "mongodb"),)
HEADINGS: Final = (
    f"{'stream':28}{'contestant':17}{'us a record':>12}  {'min-max':14}{'us a msg':>9}"
    f"{'records/s':>11}{'peak MiB':>10}"
)


def streams(records: int) -> Iterator[Stream]:
    """60 records a message and one; fewer of them on MongoDB, since the test server is slow."""
    few = max(HOUR, records // 5 // HOUR * HOUR)
    at_60, at_1 = messages_of(records, size=60), live_order(messages_of(few, size=1))
    yield Stream("60 a message", at_60, records, IN_MEMORY)
    yield Stream("60 a message, fewer", at_60[: few // 60], few, ON_MONGODB)
    yield Stream("1 a message, live", at_1, few, IN_MEMORY)
    yield Stream("1 a message, live, fewer", at_1[: few // 2], few // 2, ON_MONGODB)
    one_hour = at_60[: HOUR // 60]
    for times in (records // HOUR, 4 * records // HOUR):
        label = f"one hour {times} times"
        yield Stream(label, one_hour * times, times * HOUR, IN_MEMORY[-1:])


def rows(stream: Stream, environment: dict[str, str], rounds: int) -> Iterator[str]:
    """A line for each contestant on a stream: medians of as many runs, taken in turn."""
    found: dict[str, list[dict[str, float]]] = {shown: [] for shown, _, _ in stream.contestants}
    for _ in range(rounds):
        for shown, name, backend in stream.contestants:
            own = {**environment, "REPOSITORY_BACKEND": backend}
            found[shown].append(measure(name, own, len(stream.messages)))
    for shown, results in found.items():
        cpu = [1e6 * result["cpu"] / stream.records for result in results]
        wall = statistics.median(result["wall"] for result in results)
        spread = f"{min(cpu):.2f}-{max(cpu):.2f}"
        yield (
            f"{stream.label:28}{shown:17}{statistics.median(cpu):12.2f}  {spread:14}"
            f"{statistics.median(cpu) * stream.records / len(stream.messages):9.1f}"
            f"{stream.records / wall:11,.0f}{max(r['peak_mib'] for r in results):10.0f}"
        )


def compare(records: int, rounds: int) -> None:
    """Every contestant on every stream."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("faust-streaming", "aiokafka"))
    print(f"{platform.machine()}, Python {platform.python_version()}, {versions}, batches of 1000")
    with broker() as address, server() as mongo:
        print(f"MongoDB: {mongo.label}\n\n{HEADINGS}")
        for stream in streams(records):
            environment = settings_on(address, f"bench{next(_NAMES)}") | {"MONGODB_URI": mongo.uri}
            fill(Settings(**{key.lower(): value for key, value in environment.items()}), stream)
            for row in rows(stream, environment, rounds):
                print(row, flush=True)


def main() -> None:
    """Compare, or be a contestant of a comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=600_000, help="whole hours")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contestant", nargs=2, metavar=("NAME", "MESSAGES"), help="be one")
    arguments = parser.parse_args()
    if arguments.contestant:
        contest(arguments.contestant[0], int(arguments.contestant[1]))
    else:
        compare(max(1, arguments.records // HOUR) * HOUR, arguments.rounds)


if __name__ == "__main__":
    main()
