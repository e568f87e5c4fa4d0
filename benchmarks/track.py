"""A track: a topic, a group and a database on which one contestant runs, and no other ever does."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import orjson
from pymongo import AsyncMongoClient

from benchmarks.consumer_group import ConsumerGroup
from benchmarks.contestants import WORKER, Contestant, Running
from benchmarks.servers import Ground
from benchmarks.topics import PARTITIONS, environment_on, on_mongodb, settings_of
from ingest.brokers import connection_of, wanted_of
from ingest.queues.kafka import Outgoing, Producer, administration, initialise

READY_SECONDS: Final = 60
PAUSE_SECONDS: Final = 0.05
_NAMES: Final = count()


class NotThereError(Exception):
    """A contestant ended, or did not get there in time."""


class Track:
    """Where a contestant runs; made by `track`."""

    def __init__(
        self,
        contestant: Contestant,
        environment: Mapping[str, str],
        folder: Path,
        group: ConsumerGroup,
        producer: Producer,
        database: Any,
    ) -> None:
        self.contestant = contestant
        self.group = group
        self.database = database
        self.sent = 0
        self._environment = environment
        self._folder = folder
        self._producer = producer
        self.running: Running

    async def start(self) -> None:
        """Start the contestant, and wait until every partition is its own."""
        self.running = Running(self.contestant, self._environment, self._folder)
        await self.until(self._is_ready, READY_SECONDS)

    async def kill(self) -> None:
        """End it at once; the next one need not wait until the group has noticed."""
        self.running.kill()
        await self.group.bury()

    async def send(self, messages: Sequence[bytes]) -> None:
        """Write these messages, keyed by user."""
        topic = self.group.topic
        await self._producer.send(
            [Outgoing(topic, user_of(message), message) for message in messages]
        )
        self.sent += len(messages)

    async def stored(self) -> int:
        """How many documents of events there are."""
        found: int = await self.database[self.contestant.events].estimated_document_count()
        return found

    async def totalled(self) -> int:
        """How many events the totals count."""
        field = self.contestant.counted
        rows = self.database[self.contestant.totals].find({}, {field: 1})
        return sum([row[field] async for row in rows])

    async def until_stored(self, messages: int, size: int, seconds: float) -> None:
        """Return when so many messages since the last `clear` are stored; raises `NotThereError`.

        Totals, which are saved after their events, are looked at before the events are counted.
        """
        expected = self.contestant.documents(records=messages * size, messages=messages)

        async def are_totalled() -> bool:
            return await self.totalled() >= self.sent * size

        async def are_stored() -> bool:
            return await self.stored() >= expected

        await self.until(are_totalled if self.contestant.has_totals else are_stored, seconds)

    async def clear(self, size: int) -> None:
        """Delete what is stored if there are no totals; else see that all of it is stored."""
        if not self.contestant.has_totals:
            await self.database[self.contestant.events].delete_many({})
        elif await self.stored() != self.sent * size:
            raise NotThereError(f"{await self.stored()} stored of {self.sent * size}")

    async def until(self, reached: Callable[[], Awaitable[bool]], seconds: float) -> None:
        """Return when this is so; raises `NotThereError`.

        It is asked for at most a fifth of the time, since asking makes the store slower.
        """
        started = asked = time.monotonic()
        while not await reached():
            if not self.running.is_running:
                raise NotThereError(f"it ended: {self.running.last_words()}")
            if time.monotonic() > started + seconds:
                raise NotThereError(
                    f"not there after {seconds:.0f} s, {await self.stored()} stored"
                )
            await asyncio.sleep(max(PAUSE_SECONDS, 4 * (time.monotonic() - asked)))
            asked = time.monotonic()

    async def _is_ready(self) -> bool:
        return await self.group.assigned() == PARTITIONS


@asynccontextmanager
async def track(ground: Ground, contestant: Contestant, size: int) -> AsyncIterator[Track]:
    """A track for messages of this size; what runs on it is ended with it."""
    name = f"{contestant.name.replace('_', '-')}-{size}-{next(_NAMES)}"
    settings = settings_of(environment_on(ground.brokers, name))
    topic, producer = settings.topic_activity_events, Producer(connection_of(settings))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        async with (
            administration(connection_of(settings)) as client,
            AsyncMongoClient(ground.mongodb, tz_aware=False) as mongodb,
        ):
            await initialise(client, wanted_of(settings))
            group = ConsumerGroup(client, name, topic)
            environment = _environment(ground, contestant, name, size)
            own = Track(contestant, environment, Path(folder), group, producer, mongodb[name])
            try:
                yield own
            finally:
                if hasattr(own, "running"):
                    own.running.stop()
                await producer.close()
                await mongodb.drop_database(name)


def user_of(message: bytes) -> bytes:
    """The key of a message."""
    key: str = orjson.loads(message)["user_id"]
    return key.encode()


def _environment(ground: Ground, contestant: Contestant, name: str, size: int) -> dict[str, str]:
    """What a contestant is told: a peer its contract, the worker its settings."""
    own = environment_on(ground.brokers, name) | {"KAFKA_GROUP": name}
    if contestant is WORKER:
        return own | on_mongodb(ground.mongodb, name)
    return {
        "KAFKA_BROKERS": ground.brokers,
        "KAFKA_GROUP": name,
        "MONGODB_URI": ground.mongodb,
        "MONGODB_DATABASE": name,
        "TOPIC": own["TOPIC_ACTIVITY_EVENTS"],
        "RECORDS_PER_MESSAGE": str(size),
    }
