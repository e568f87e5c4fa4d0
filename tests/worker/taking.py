"""Batches as an agent takes them, on the real pipeline and the store in memory."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from ingest.core.records import Kind
from ingest.metrics import Metrics
from ingest.ports import Message, Store
from ingest.retries import Patience
from ingest.stores.memory import memory_store
from ingest.worker.batches import Batches, Delivery, Place
from ingest.worker.limits import DeadLetterLimits
from ingest.worker.partitions import Partitions
from tests.batches import TTL, pipeline_on
from tests.fakes import RecordingPublisher
from tests.lines import DATE, event, events, snapshot, snapshots

EVENTS, SNAPSHOTS = "activity-events", "health-snapshots"
TOPICS = {Kind.ACTIVITY: EVENTS, Kind.HEALTH: SNAPSHOTS}
DEADLINE_SECONDS = 5


class Group:
    """A membership whose answers a test decides; it is asked before each publication."""

    def __init__(self, generation: int = 1) -> None:
        self.generation = generation
        self.lost: set[Place] = set()
        self.on_confirm: Callable[[], Any] = lambda: None
        self.confirmed = 0

    def owns(self, place: Place, generation: int) -> bool:
        return generation == self.generation and place not in self.lost

    async def confirm(self) -> None:
        self.confirmed += 1
        if (waiting := self.on_confirm()) is not None:
            await waiting


class Taking:
    """Batches on a store of its own, and everything that comes of them."""

    def __init__(
        self,
        store: Store | None = None,
        *,
        share_max: float = 1,
        consecutive_max: int = 1_000_000,
    ) -> None:
        self.store = store or memory_store(TTL)
        self.publisher = RecordingPublisher()
        self.group = Group()
        self.metrics = Metrics()
        self.failures: list[BaseException] = []
        self.partitions = Partitions(lambda: pipeline_on(self.store, self.publisher), 100)
        self.batches = Batches(
            self.partitions,
            self.group,
            patience=Patience(timedelta(milliseconds=20), timeout=None),
            limits=DeadLetterLimits(share_max=share_max, consecutive_max=consecutive_max),
            metrics=self.metrics,
            topics=TOPICS,
            on_failure=self.failures.append,
        )

    async def run(self, *deliveries: Delivery) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self.batches.run(deliveries)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    @property
    def published(self) -> list[tuple[str, str, int]]:
        return [(t.day.user_id, t.day.date, t.steps) for t in self.publisher.published]


def delivery(
    value: bytes, partition: int = 0, offset: int = 0, *, generation: int = 1, topic: str = EVENTS
) -> Delivery:
    kind = Kind.ACTIVITY if topic == EVENTS else Kind.HEALTH
    user = value.split(b'"user_id":"')[-1].split(b'"')[0] if b'"user_id"' in value else b""
    return Delivery(Message(value, kind, topic, partition, offset, user), generation)


def steps(user: str, count: int, minute: int = 0) -> bytes:
    """A message with one event."""
    return events(event(minute, count), user=user).strip()


def total(user: str, count: int, at: int = 1) -> bytes:
    """A message with one snapshot."""
    return snapshots(snapshot(at, count), user=user).strip()


def day(user: str, count: int) -> tuple[str, str, int]:
    return user, DATE, count


async def until(is_so: Callable[[], bool]) -> None:
    """Let everything else run until it is so."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not is_so():  # noqa: ASYNC110 - any change may be what is waited for
            await asyncio.sleep(0)


def places(*pairs: tuple[str, int]) -> Sequence[Place]:
    return [Place(*pair) for pair in pairs]
