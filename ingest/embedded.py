"""The pipeline run in this process: in-process queue in, batches through, acknowledged in order."""

import gc
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from ingest.core.deltas import PARTS, SnapshotRules
from ingest.core.merge import DeviceMerge
from ingest.core.totals import Rules
from ingest.outcome import Outcome
from ingest.pipeline import Pipeline
from ingest.ports import Publisher, Store
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
