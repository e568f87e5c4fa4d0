"""How much more two workers do than one, on two cores that they share with the broker.

The workers are the command itself, with the store in memory: the test server has one process, so it
would tell its own limit. They wait, stopped, until a slice of the stream is in the topic, so that
nobody has to keep up with a producer; then they go on until their metrics have counted all of it.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

from benchmarks.consumer_group import ConsumerGroup
from benchmarks.plan import Plan
from benchmarks.servers import Ground, free_port
from benchmarks.streams import stream_of
from benchmarks.topics import PARTITIONS, Environment, filled, fresh_group, send, settings_of
from ingest.brokers import connection_of
from ingest.queues.kafka import administration

COUNTS: Final = (1, 2)
DEADLINE_SECONDS: Final = 120
PAUSE_SECONDS: Final = 0.02
_MESSAGES: Final = re.compile(rb"^ingest_messages_total ([0-9.e+]+)$", re.MULTILINE)
Row = dict[str, Any]


def workers(plan: Plan, ground: Ground) -> Iterator[Row]:
    """A row for each size of message and count of workers: CPU and wall-clock of each round."""
    for size, records in plan.worker_records.items():
        slices = plan.rounds + 1
        messages = stream_of(records * slices, size=size).messages
        step = records // size
        parts = [messages[first : first + step] for first in range(0, len(messages), step)]
        for count in COUNTS:
            environment = fresh_group(filled(ground.brokers, []), None)
            rounds = _measure(environment, count, parts)
            yield {"workers": count, "size": size, "records": records, "rounds": rounds[1:]}


class _Worker:
    """A worker's process, as its user starts it, on any core."""

    def __init__(self, environment: Environment, log: Path) -> None:
        self._port = free_port()
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ingest", "worker"],
                env={**os.environ, **environment, "WEB_PORT": str(self._port)},
                stdout=output,
                stderr=output,
                preexec_fn=_on_every_core,  # noqa: PLW1509 - no threads are here yet
            )

    def messages(self) -> float:
        """How many messages it has done."""
        with urlopen(f"http://127.0.0.1:{self._port}/metrics") as answer:
            found = _MESSAGES.search(answer.read())
        return float(found[1]) if found else 0.0

    def cpu_seconds(self) -> float:
        """CPU time of all its threads so far."""
        return time.clock_gettime(~self.process.pid << 3 | 2)

    def end(self) -> None:
        """End it in order."""
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait(DEADLINE_SECONDS)


def _measure(
    environment: Environment, count: int, parts: Sequence[Sequence[bytes]]
) -> list[dict[str, float]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        running = []
        for number in range(count):
            running.append(_Worker(environment, folder / f"log{number}"))
            stack.callback(running[-1].end)
        return asyncio.run(_rounds(environment, running, parts))


async def _rounds(
    environment: Environment, running: Sequence[_Worker], parts: Sequence[Sequence[bytes]]
) -> list[dict[str, float]]:
    settings = settings_of(environment)
    async with administration(connection_of(settings)) as client:
        group = ConsumerGroup(client, settings.kafka_group, settings.topic_activity_events)
        await _until_shared(group, len(running))
    found, done = [], 0
    for part in parts:
        for worker in running:
            worker.process.send_signal(signal.SIGSTOP)
        await send(settings, part)
        done += len(part)
        cpu, wall = sum(worker.cpu_seconds() for worker in running), time.perf_counter()
        for worker in running:
            worker.process.send_signal(signal.SIGCONT)
        await _until_done(running, done)
        wall = time.perf_counter() - wall
        found.append({"cpu": sum(own.cpu_seconds() for own in running) - cpu, "wall": wall})
    return found


async def _until_shared(group: ConsumerGroup, members: int) -> None:
    """Return when so many workers have all partitions between them."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while await group.assigned() != PARTITIONS or await group.members() != members:
        if time.monotonic() > deadline:
            raise SystemExit(f"{members} workers did not share the topic")
        await asyncio.sleep(0.2)


async def _until_done(running: Sequence[_Worker], messages: int) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while sum(worker.messages() for worker in running) < messages:
        if time.monotonic() > deadline:
            raise SystemExit("the workers did not get through the topic")
        await asyncio.sleep(PAUSE_SECONDS)


def _on_every_core() -> None:
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
