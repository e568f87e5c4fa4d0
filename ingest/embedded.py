"""The pipeline run in this process: in-process queue in, batches through, acknowledged in order."""

from collections.abc import Callable

from ingest.outcome import Outcome
from ingest.pipeline import Pipeline
from ingest.queues.memory import MemoryQueue


async def drain(
    queue: MemoryQueue,
    pipeline: Pipeline,
    *,
    batch_size_max: int,
    on_outcome: Callable[[Outcome], None],
) -> None:
    """Take, run and acknowledge batches until the queue is closed and empty.

    A batch that raises stays in the queue, unacknowledged.
    """
    while batch := await queue.take(batch_size_max):
        outcome = await pipeline.run(batch)
        await queue.acknowledge(len(batch))
        on_outcome(outcome)
