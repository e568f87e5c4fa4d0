"""What of a taken batch is run, what of it is acknowledged, and when it is left to another worker.

The rules, whatever fails:
- a batch is split by partition, and the partitions run at the same time; a partition's records of
  both topics run together and in order, one lot after the other;
- a position moves on only over messages whose lot is done: a commit never passes one that is not;
- a lot that is dropped takes along all that follows it in its partition, until the partition is
  assigned again and read from its committed position;
- while a service is away a lot is tried again for ever; any other error stops the worker.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import structlog

from ingest.core.records import Kind
from ingest.errors import BatchDropped, BatchRetryable
from ingest.metrics import Metrics
from ingest.outcome import Outcome
from ingest.ports import Message
from ingest.queues.memory import BATCH_BYTES_MAX
from ingest.retries import Patience, until_done
from ingest.worker.limits import DeadLetterLimits
from ingest.worker.partitions import Partitions

log = structlog.get_logger()


class Place(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Delivery(NamedTuple):
    """A message, and the generation of the consumer group in which it was read."""

    message: Message
    generation: int


class Membership(Protocol):
    """What a worker knows of its place in the consumer group."""

    def owns(self, place: Place, generation: int) -> bool:
        """Whether the partition is assigned here, in this generation, as far as is known here."""

    async def confirm(self) -> None:
        """Ask the broker whether this worker is still a member, if it was not asked just now.

        After it `owns` is right. Raises `BatchRetryable` if the broker does not answer.
        """


class Batches:
    """Runs batches, and keeps the positions that may be committed."""

    def __init__(
        self,
        partitions: Partitions,
        membership: Membership,
        *,
        patience: Patience,
        limits: DeadLetterLimits,
        metrics: Metrics,
        topics: Mapping[Kind, str],
        on_failure: Callable[[BaseException], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._partitions = partitions
        self._membership = membership
        self._patience = patience
        self._limits = limits
        self._metrics = metrics
        self._topics = dict(topics)
        self._on_failure = on_failure
        self._now = now
        self._closed_generation = -1  # nothing of it, or of an older one, is started any more
        self._is_stopped = False
        self._lost: dict[int, int] = {}  # by partition, the generation in which a lot was dropped
        self._running: set[asyncio.Task[None]] = set()
        self._positions: dict[Place, int] = {}
        self.waiting: dict[int, str] = {}  # by partition, why its lot is being tried again
        self.progress_at: dict[Place, float] = {}

    async def run(self, deliveries: Sequence[Delivery]) -> None:
        """Return when each partition's lot is done or dropped; never raise.

        After an error that stops the worker it does not return, so that nothing follows.
        """
        lots = self._lots(deliveries)
        tasks = [asyncio.create_task(self._finish(number, lots[number])) for number in lots]
        self._running.update(tasks)
        try:
            if tasks:
                await asyncio.wait(tasks)
        finally:
            await _cancelled(tasks)
            self._running.difference_update(tasks)
        if self._is_stopped:
            await asyncio.Event().wait()

    async def settle(self, generation: int, seconds: float) -> None:
        """Start nothing more of a generation; wait for what runs, and drop it after a time."""
        self._closed_generation = max(self._closed_generation, generation)
        running = {*self._running}
        if running:
            _, late = await asyncio.wait(running, timeout=seconds)
            await _cancelled(late)

    def release(self) -> None:
        """Forget the positions, once they were committed: the partitions are given out anew.

        A position that was kept could be committed in the next generation, before its partitions
        are told, and take back what another worker committed meanwhile.
        """
        self._positions.clear()

    def stop(self) -> None:
        """Start nothing more at all."""
        self._is_stopped = True

    def assign(self, places: Iterable[Place], generation: int) -> None:
        """These partitions are assigned now, to be read from their committed positions.

        A group that was forgotten by its broker counts generations from the beginning again.
        """
        places = {*places}
        self._partitions.keep({place.partition for place in places})
        self._closed_generation = generation - 1
        self._positions.clear()
        self._lost.clear()
        self.waiting.clear()
        now = self._now()
        self.progress_at = dict.fromkeys(places, now)

    @property
    def positions(self) -> Mapping[Place, int]:
        """The offset of the next message of each partition of which one is done."""
        return self._positions

    def _lots(self, deliveries: Sequence[Delivery]) -> dict[int, list[Delivery]]:
        """What may be started of a batch, by partition number.

        What was read in an older generation than the newest is read again in that one.
        """
        lots: dict[int, list[Delivery]] = {}
        newest = max([delivery.generation for delivery in deliveries], default=-1)
        if self._is_stopped or newest <= self._closed_generation:
            return lots
        for delivery in deliveries:
            if delivery.generation == newest:
                lots.setdefault(delivery.message.partition, []).append(delivery)
        return lots

    async def _finish(self, number: int, lot: Sequence[Delivery]) -> None:
        """Run a partition's lot to its end, whatever that is."""
        generation = lot[0].generation
        try:
            for chunk in _chunks([delivery.message for delivery in lot]):
                await self._run(number, chunk, generation)
        except BatchDropped:
            self._drop(number, generation, len(lot))
        except asyncio.CancelledError:
            self._drop(number, generation, len(lot))
            raise
        except Exception as error:
            self._is_stopped = True
            self._on_failure(error)
        finally:
            self.waiting.pop(number, None)

    async def _run(self, number: int, messages: Sequence[Message], generation: int) -> None:
        started = time.perf_counter()
        places = {Place(message.origin, message.partition) for message in messages}
        attempt = partial(self._attempt, number, messages, places, generation)
        outcome = await until_done(attempt, self._patience)
        self._must_own(places, number, generation)
        self._acknowledge(messages, places)
        seconds = time.perf_counter() - started
        self._limits.add(outcome.records, outcome.rejected)
        self._metrics.count(outcome, self._topics, seconds)
        _say(outcome, number, seconds)

    async def _attempt(
        self, number: int, messages: Sequence[Message], places: set[Place], generation: int
    ) -> Outcome:
        async def permit(outcome: Outcome) -> None:
            self._limits.check(outcome.records, outcome.rejected)
            await self._membership.confirm()
            self._must_own(places, number, generation)

        self._must_own(places, number, generation)
        try:
            return await self._partitions.pipeline(number).run(messages, permit)
        except BatchRetryable as error:
            self.waiting[number] = str(error)
            self._metrics.retries.labels(type(error).__name__).inc()
            raise

    def _must_own(self, places: Iterable[Place], number: int, generation: int) -> None:
        if self._lost.get(number, -1) >= generation or not all(
            self._membership.owns(place, generation) for place in places
        ):
            raise BatchDropped

    def _acknowledge(self, messages: Sequence[Message], places: Iterable[Place]) -> None:
        """Move the positions on: all of these messages are done."""
        for message in messages:
            place = Place(message.origin, message.partition)
            expected = self._positions.get(place)
            if expected is not None and message.offset > expected:
                self._metrics.skipped.inc(message.offset - expected)
            self._positions[place] = message.offset + 1
        now = self._now()
        for place in places:
            self.progress_at[place] = now

    def _drop(self, number: int, generation: int, count: int) -> None:
        self._lost[number] = max(self._lost.get(number, -1), generation)
        self._metrics.dropped.inc()
        log.warning("ingest.batch_dropped", partition=number, messages=count)


async def _cancelled(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel what still runs, and wait until it has ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _chunks(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """The messages in order, in parts that are bounded in bytes."""
    first = size = 0
    for place, message in enumerate(messages):
        if size + len(message.value) > BATCH_BYTES_MAX and place > first:
            yield messages[first:place]
            first, size = place, 0
        size += len(message.value)
    yield messages[first:]


def _say(outcome: Outcome, number: int, seconds: float) -> None:
    log.debug(
        "ingest.batch_done",
        partition=number,
        messages=outcome.messages,
        records=outcome.records,
        accepted=outcome.accepted,
        rejected=outcome.rejected,
        seconds=round(seconds, 4),
    )
    for (topic, reason), records in outcome.rejections.items():
        log.warning("ingest.records_rejected", topic=topic, reason=reason.value, records=records)
    if outcome.misplaced:
        log.warning(
            "ingest.messages_misplaced", messages=outcome.misplaced, mend="send with key = user_id"
        )
