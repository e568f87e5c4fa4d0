"""Workers as they run in production: processes on a real broker and store, and what came of it.

What is sent to them is simulated, so the right totals are known.
"""

import asyncio
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pymongo
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from ingest.brokers import connection_of, topics_of, wanted_of
from ingest.core.documents import total_message
from ingest.core.merge import DeviceMerge
from ingest.ports import Scope
from ingest.queues.kafka import (
    Outgoing,
    Producer,
    StoredDeadLetter,
    administration,
    dead_letters,
    initialise,
)
from ingest.retries import Patience, until_done
from ingest.settings import Settings
from ingest.simulation import Plan, messages, truth
from ingest.stores.mongo import opened_to_read
from tests.e2e.environment import COMMAND, ENVIRONMENT
from tests.mongodb import connection_to, wanted

DEADLINE_SECONDS = 120
PATIENCE = Patience(timedelta(seconds=1), timedelta(seconds=DEADLINE_SECONDS))
SLICE = 40
REVISED = {"revision", "updated_at"}
Message = dict[str, Any]


def stored_in(uri: str, database: str) -> dict[str, str]:
    """The settings of a store on MongoDB; small batches, so that there is much to disturb."""
    return {
        "REPOSITORY_BACKEND": "mongodb",
        "MONGODB_URI": uri,
        "MONGODB_DATABASE": database,
        "MONGODB_MIN_POOL_SIZE": "0",
        "MONGODB_TIMEOUT_SECONDS": "5",
        "RETRY_DELAY_MAX": "1s",
        "BATCH_SIZE_MAX": "20",
        "BATCH_WAIT_SECONDS": "0.05",
    }


class Worker:
    """One worker process; its log is a file."""

    def __init__(self, settings: Mapping[str, str], log: Path, command: Sequence[str]) -> None:
        self.log_file = log
        environment = ENVIRONMENT | {"PYTHONPATH": str(Path.cwd())} | dict(settings)
        with log.open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603 - our own command
                command, cwd=log.parent, env=environment, stdout=output, stderr=output
            )

    def logged(self, event: str) -> list[Message]:
        """The lines of its log with this event."""
        name = f'"event":"{event}"'.encode()
        return [
            orjson.loads(line) for line in self.log_file.read_bytes().splitlines() if name in line
        ]

    def is_running(self) -> bool:
        return self.process.poll() is None

    def is_working(self) -> bool:
        assert self.process.poll() is None, f"a worker ended: {self.log_file.read_text()[-3000:]}"
        return any(line["count"] for line in self.logged("ingest.partitions_assigned")[-1:])

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it in order; its exit status."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        return self.process.wait(DEADLINE_SECONDS)

    def ask(self, path: str) -> tuple[int, str]:
        """What its web port answers."""
        (started,) = self.logged("ingest.web_started")
        host, port = started["address"]
        try:
            with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        found = 0.0
        for line in self.ask("/metrics")[1].splitlines():
            sample, _, value = line.rpartition(" ")
            is_named = sample == name or sample.startswith(name + "{")
            if is_named and all(f'{key}="{text}"' in sample for key, text in labels.items()):
                found += float(value)
        return found


class Fleet:
    """Workers on the same topics and the same database."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self.environment = {"LOG_LEVEL": "debug", **environment}
        self.settings = Settings(**{k.lower(): v for k, v in self.environment.items()})
        self.topics = topics_of(self.settings)
        self.workers: list[Worker] = []

    def prepare(self) -> None:
        """Make the topics, and let the test server find a user's documents."""

        async def making() -> None:
            async with administration(connection_of(self.settings)) as client:
                await initialise(client, wanted_of(self.settings))

        asyncio.run(making())
        if self.settings.repository_backend == "mongodb":
            with pymongo.MongoClient(self.settings.mongodb_uri.get_secret_value()) as client:
                for name in ("activity_events", "health_snapshots", "daily_totals"):
                    client[self.settings.mongodb_database][name].create_index("user_id")

    def start(self, command: Sequence[str] = (*COMMAND, "worker"), **settings: str) -> Worker:
        """One more worker."""
        log = self._folder / f"worker-{len(self.workers)}.log"
        worker = Worker(self.environment | settings, log, command)
        self.workers.append(worker)
        return worker

    def started(self, count: int) -> list[Worker]:
        """So many more workers, each with partitions."""
        workers = [self.start() for _ in range(count)]
        eventually(lambda: all(worker.is_working() for worker in workers))
        return workers

    def end(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()

    def send(self, lines: Iterable[bytes]) -> None:
        """What `ingest push` does of these lines, as often as it takes."""

        async def sending() -> None:
            producer = Producer(connection_of(self.settings))
            outgoing = [self._outgoing(line) for line in lines]
            await until_done(lambda: producer.send(outgoing), PATIENCE)
            await producer.close()

        asyncio.run(sending())

    def send_as_it_is(self, outgoing: Sequence[Outgoing]) -> None:
        """Send these messages."""

        async def sending() -> None:
            producer = Producer(connection_of(self.settings))
            await producer.send(outgoing)
            await producer.close()

        asyncio.run(sending())

    @contextmanager
    def fed(self, lines: Sequence[bytes], seconds: float) -> Iterator[None]:
        """Send these lines bit by bit, while the block does what it likes."""

        def feeding() -> None:
            for first in range(0, len(lines), SLICE):
                self.send(lines[first : first + SLICE])
                time.sleep(seconds * SLICE / len(lines))

        with ThreadPoolExecutor(1) as thread:
            fed = thread.submit(feeding)
            yield
            fed.result()

    def _outgoing(self, line: bytes) -> Outgoing:
        topic = self.topics.activity_events
        try:
            message = orjson.loads(line)
            if {"snapshots", "timestamp"} & message.keys():
                topic = self.topics.health_snapshots
            return Outgoing(topic, message["user_id"].encode(), line)
        except (ValueError, KeyError, AttributeError, TypeError):
            return Outgoing(topic, None, line)

    def behind(self) -> int:
        """How many messages are not committed as done."""

        async def asking() -> int:
            async with administration(connection_of(self.settings)) as client:
                committed = await _committed(client, self.settings.kafka_group)
            return sum((await self._ends()).values()) - sum(committed.values())

        return asyncio.run(asking())

    async def _ends(self, *names: str) -> dict[TopicPartition, int]:
        options = connection_of(self.settings).options()
        async with AIOKafkaConsumer(*(names or self.topics.kinds), **options) as consumer:
            places = [
                TopicPartition(name, number)
                for name in names or self.topics.kinds
                for number in consumer.partitions_for_topic(name) or ()
            ]
            return await consumer.end_offsets(places)

    def must_be(self, told: list[Message]) -> None:
        """Wait until all is done; then store and topic hold these totals, in order."""
        self.finish()
        assert self.stored() == told
        assert self.published() == told
        assert self.published_out_of_order() == []

    def finish(self, seconds: float = DEADLINE_SECONDS) -> None:
        """Wait until everything sent is done and committed."""
        eventually(lambda: self.behind() == 0, seconds, every=0.3)

    def read(self, topic: str) -> list[tuple[bytes | None, bytes | None]]:
        """Key and value of every message of a topic, in order of their partitions."""

        async def reading() -> list[tuple[bytes | None, bytes | None]]:
            ends = await self._ends(topic)
            options = connection_of(self.settings).options()
            found = []
            async with AIOKafkaConsumer(**options, auto_offset_reset="earliest") as consumer:
                consumer.assign([*ends])
                for place in ends:
                    await consumer.seek_to_beginning(place)
                while any([await consumer.position(p) < end for p, end in ends.items()]):
                    for records in (await consumer.getmany(timeout_ms=500)).values():
                        found += [(record.key, record.value) for record in records]
            return found

        return asyncio.run(reading())

    def published(self) -> list[Message]:
        """What a compacted `daily-totals` holds in the end: of each key the last message."""
        last = dict(self.read(self.topics.daily_totals))
        return ordered(orjson.loads(value) for value in last.values() if value is not None)

    def published_by_revision(self) -> list[Message]:
        """What a reader holds that keeps the highest revision of each day."""
        found = [orjson.loads(value) for _, value in self.read(self.topics.daily_totals) if value]
        found.sort(key=lambda total: total["revision"])
        return ordered({(t["user_id"], t["date"]): t for t in found}.values())

    def dead_letters(self) -> list[StoredDeadLetter]:
        """Every dead letter, partition by partition."""

        async def reading() -> list[StoredDeadLetter]:
            found = dead_letters(connection_of(self.settings), self.topics.dead_letters)
            return [letter async for letter in found]

        return asyncio.run(reading())

    def published_out_of_order(self) -> list[bytes]:
        """The keys of which an older revision follows a newer one."""
        revisions: dict[bytes, int] = {}
        late = []
        for key, value in self.read(self.topics.daily_totals):
            assert key is not None
            assert value is not None
            revision = orjson.loads(value)["revision"]
            if revision < revisions.get(key, 0):
                late.append(key)
            revisions[key] = revision
        return late

    def stored(self) -> list[Message]:
        """Every total in the database."""

        async def reading() -> list[Message]:
            uri = self.settings.mongodb_uri.get_secret_value()
            connection = connection_to(uri, self.settings.mongodb_database)
            async with opened_to_read(connection, wanted(self.settings.idempotency_ttl)) as store:
                pages = store.totals.scan(Scope())
                return [total_message(total) async for page in pages for total in page]

        return ordered(orjson.loads(orjson.dumps(total)) for total in asyncio.run(reading()))


class Month(NamedTuple):
    """What is sent, and the totals that must come of it."""

    lines: list[bytes]
    truth: list[Message]


def simulated(users: int, days: int, seed: int = 1) -> Month:
    """Everything that can go wrong with two devices of each user."""
    rates = {"duplicates": 0.1, "late": 0.1, "resets": 0.1, "corrections": 0.1, "malformed": 0.02}
    plan = Plan(users=users, days=days, devices=2, seed=seed, **rates)
    right = [orjson.loads(orjson.dumps(total)) for total in truth(plan, DeviceMerge("max"))]
    return Month([*messages(plan)], ordered(right))


def ordered(totals: Iterable[Message]) -> list[Message]:
    """The totals that say something, by user and date, without what depends on their arrival."""
    kept = ({k: v for k, v in total.items() if k not in REVISED} for total in totals)
    return sorted((t for t in kept if t["devices"]), key=lambda t: (t["user_id"], t["date"]))


def eventually(
    is_so: Callable[[], bool], seconds: float = DEADLINE_SECONDS, every: float = 0.05
) -> None:
    """Wait until it is so; fail at the deadline."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it never came to be so"
        time.sleep(every)


@contextmanager
def fleet_of(folder: Path, environment: Mapping[str, str]) -> Iterator[Fleet]:
    """A fleet without workers yet; those it gets are ended with the block."""
    fleet = Fleet(folder, environment)
    fleet.prepare()
    try:
        yield fleet
    finally:
        fleet.end()


async def _committed(client: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, int]:
    offsets = await client.list_consumer_group_offsets(group)
    return {place: max(0, found.offset) for place, found in offsets.items()}
