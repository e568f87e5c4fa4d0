"""The pipeline run in this process: in-process queue in, batches through, acknowledged in order."""

import gc
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from ingest.core.deltas import PARTS, SnapshotRules
from ingest.core.merge import DeviceMerge
from ingest.core.totals import Rules
from ingest.ndjson import lines_of
from ingest.outcome import Outcome
from ingest.pipeline import Pipeline
from ingest.ports import Message, Publisher, Store
from ingest.queues.memory import MemoryQueue
from ingest.retries import Patience, until_done
from ingest.settings import Settings


def rules_of(settings: Settings) -> Rules:
    """The settings that totals depend on."""
    tolerance = int(settings.reset_tolerance * PARTS)
    snapshots = SnapshotRules(tolerance, frozenset(settings.authoritative_sources))
    return Rules(DeviceMerge.of(settings.device_merge), snapshots)


def patience_of(settings: Settings) -> Patience:
    """How long a command waits for a store that is away."""
    return Patience(settings.retry_delay_max, settings.retry_timeout)


def pipeline_of(store: Store, publisher: Publisher, settings: Settings) -> Pipeline:
    """A pipeline as the settings say, on the real clock."""
    return Pipeline(
        store,
        publisher,
        rules=rules_of(settings),
        now=lambda: datetime.now(UTC),
        future_skew_max=settings.future_skew_max,
        retention=settings.retention,
        day_cache_size=settings.day_cache_size,
    )


async def fill(
    queue: MemoryQueue,
    files: Sequence[str],
    on_read: Callable[[int], None],
    *,
    first_line: int = 1,
) -> None:
    """Put every line of the files into the queue, each from `first_line` on, and close it.

    A message's origin is its file, its offset the number of its line. `on_read` is told how many
    bytes of all files together were read. Raises `FileUnusable`.
    """
    read_before = 0
    for name in files:
        position = 0
        origin = os.fsencode(name).decode(errors="replace")  # a name need not be UTF-8

        def moved(to: int, before: int = read_before) -> None:
            nonlocal position
            position = to
            on_read(before + to)

        async for lines in lines_of(name, moved):
            await queue.put(
                [
                    _new(Message, (line, None, origin, 0, number, None))
                    for number, line in lines
                    if number >= first_line
                ]
            )
        read_before += position
    await queue.close()


async def drain(
    queue: MemoryQueue,
    pipeline: Pipeline,
    *,
    batch_size_max: int,
    patience: Patience,
    on_outcome: Callable[[Outcome], None],
) -> None:
    """Take, run and acknowledge batches until the queue is closed and empty.

    A batch whose services are away is run again, whole. One that raises in the end stays in the
    queue, unacknowledged.
    """
    while batch := await queue.take(batch_size_max):
        outcome = await until_done(partial(pipeline.run, batch), patience)
        await queue.acknowledge(len(batch))
        on_outcome(outcome)


def collect_garbage_rarely() -> None:
    """Look for reference cycles every 100,000 new objects instead of every 700.

    Rows and totals hold no cycles, and a batch makes tens of thousands of them: the default walks
    them again and again and finds nothing, in up to a quarter of the time of a record.
    """
    gc.set_threshold(100_000, 50, 100)


_new: Final = tuple.__new__  # a message of one record is worth the microsecond this saves
