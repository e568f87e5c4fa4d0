"""Reading a topic to its end, in this process: bare, by Faust alone, or by the worker.

The topic holds several slices of a stream. What each took is a round of its own; the first one, in
which connections are made and days become known, is left out.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from benchmarks.measuring import Spent, peak_mib
from benchmarks.stepping import Steps
from ingest.brokers import connection_of, topics_of
from ingest.logs import configure
from ingest.settings import Settings, load_settings
from ingest.worker.batches import Delivery, Place

DEADLINE_SECONDS: Final = 300


class Meter:
    """CPU, clock and stages of each slice of so many messages."""

    def __init__(self, messages: int, slices: int, steps: Steps | None = None) -> None:
        self.done = asyncio.Event()
        self.rounds: list[Spent] = []
        self._steps = steps
        self._slice = messages
        self._slices = slices
        self._counted = 0
        self._begun: Spent = {}

    def start(self) -> None:
        """Begin, when the first message can come."""
        self._begun = self._now()

    def add(self, messages: int) -> None:
        """So many more are done."""
        self._counted += messages
        if self._counted < self._slice * (len(self.rounds) + 1) or self.done.is_set():
            return
        now = self._now()
        spent = {name: now[name] - self._begun.get(name, 0.0) for name in now}
        self.rounds.append(spent)
        self._begun = now
        if self._counted >= self._slice * self._slices:
            self.done.set()

    def _now(self) -> Spent:
        stages = self._steps.seconds if self._steps else {}
        now = {"cpu": time.process_time(), "wall": time.perf_counter()}
        return {**now, **stages, "messages": float(self._counted)}


async def getmany(settings: Settings, meter: Meter) -> None:
    """A bare consumer that reads and commits."""
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


async def transport(settings: Settings, meter: Meter) -> None:
    """The worker's agent, its batches acknowledged as they come."""
    app = _app(settings, meter)

    async def acknowledge(deliveries: Sequence[Delivery]) -> None:
        for message, _ in deliveries:
            app.batches._positions[Place(message.origin, message.partition)] = message.offset + 1
        meter.add(len(deliveries))

    app.batches.run = acknowledge
    await _run(app, meter)


async def worker(settings: Settings, meter: Meter) -> None:
    """The worker as it is."""
    app = _app(settings, meter)
    counted = app.metrics.count

    def counting(outcome: Any, *others: Any) -> None:
        counted(outcome, *others)
        meter.add(outcome.messages)

    app.metrics.count = counting
    await _run(app, meter)


READERS: Final[Mapping[str, Callable[[Settings, Meter], Any]]] = {
    "getmany": getmany,
    "transport": transport,
    "worker": worker,
}


def read(
    name: str, environment: Mapping[str, str], messages: int, slices: int, steps: Steps | None
) -> list[Spent]:
    """Read so many slices of so many messages; what each took but the first."""
    os.environ.update(environment)
    configure("error")

    async def run() -> Meter:
        meter = Meter(messages, slices, steps)
        await asyncio.wait_for(READERS[name](load_settings(), meter), DEADLINE_SECONDS)
        return meter

    rounds = asyncio.run(run()).rounds[1:]
    return [{**own, "peak_mib": peak_mib()} for own in rounds]


def _app(settings: Settings, meter: Meter) -> Any:
    from ingest.worker.app import create_app  # noqa: PLC0415 - Faust, not for every contestant

    app = create_app(settings)

    @app.on_partitions_assigned.connect
    async def _assigned(_: Any, /, *__: Any, **___: Any) -> None:
        meter.start()

    return app


async def _run(app: Any, meter: Meter) -> None:
    """Until all is counted, or the worker must stop for something, which is raised."""
    await app.start()
    ends = [asyncio.ensure_future(end.wait()) for end in (meter.done, app.failed)]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    await app.drain(5)
    await app.stop()
    if app.failure is not None:
        raise app.failure
