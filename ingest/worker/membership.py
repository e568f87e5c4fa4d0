"""A Faust worker's place in its consumer group: what it owns and commits, how far it is behind.

Faust 0.15.3 keeps what is needed here to itself, so this is the one module that looks inside. Its
own bookkeeping of acknowledgements is not used: it can commit past a message that is not done
(faust-streaming#606, the case of a gap of one).
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

import faust
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from ingest.errors import QueueUnavailable
from ingest.worker.batches import Place

CONFIRMED_FOR: Final = 1 / 3  # of the session timeout: how long an answer of the broker is good for
ANSWER_SECONDS: Final = 10


class FaustMembership:
    """The `Membership` of a Faust app that has been started."""

    def __init__(self, app: faust.App, session_timeout_seconds: float) -> None:
        self._app = app
        self._confirmed_for = session_timeout_seconds * CONFIRMED_FOR
        self._confirmed_at = float("-inf")
        self._asking = asyncio.Lock()

    @property
    def generation(self) -> int:
        """The generation of the group as the client knows it, -1 when it is no member."""
        consumer = self._client
        return -1 if consumer is None else int(consumer._coordinator.generation)

    @property
    def assigned(self) -> set[Place]:
        """The partitions that are assigned to this worker."""
        consumer = self._client
        return set() if consumer is None else {Place(*place) for place in consumer.assignment()}

    @property
    def is_rebalancing(self) -> bool:
        """Whether partitions are being given out anew, or were not yet."""
        return bool(self._app.rebalancing)

    def owns(self, place: Place, generation: int) -> bool:
        consumer = self._client
        return (
            consumer is not None
            and generation == consumer._coordinator.generation
            and TopicPartition(*place) in consumer.assignment()
        )

    async def confirm(self) -> None:
        """Send a heartbeat, if the last answer is older than a third of the session timeout.

        A process that was frozen past its session timeout finds out by this: an answer from before
        the freeze is too old, and the broker does not know the member any more.
        """
        async with self._asking:
            asked_at = time.monotonic()
            if asked_at - self._confirmed_at < self._confirmed_for:
                return
            before = self.generation
            is_member = await self._in_thread(self._client._coordinator._do_heartbeat)
            if is_member:
                self._confirmed_at = asked_at
            elif self.generation == before:
                raise QueueUnavailable("Kafka does not say whether this worker is still a member")

    async def commit(self, positions: Mapping[Place, int]) -> bool:
        """Commit the positions of what is still assigned; whether the broker took them."""
        assigned = self.assigned
        offsets = {
            TopicPartition(*place): position
            for place, position in positions.items()
            if place in assigned
        }
        if not offsets:
            return True
        try:
            await self._in_thread(self._client.commit, offsets)
        except (KafkaError, QueueUnavailable):
            return False
        return True

    async def lag(self, positions: Mapping[Place, int]) -> dict[Place, int]:
        """How many messages of each assigned partition are not done.

        The ends are asked of the broker, not taken from the last fetch: a partition that is not
        fetched any more is just what this must show (faust-streaming#629).
        """
        places = {place: TopicPartition(*place) for place in self.assigned}
        if not places:
            return {}
        ends = await self._in_thread(self._client.end_offsets, [*places.values()])
        lag = {}
        for place, partition in places.items():
            position = positions.get(place)
            if position is None:
                position = await self._in_thread(self._client.committed, partition)
            lag[place] = ends[partition] - (position or 0)
        return lag

    @property
    def _client(self) -> Any:
        """aiokafka's consumer, None before the worker has started."""
        thread = self._thread
        return None if thread is None else thread._consumer

    @property
    def _thread(self) -> Any:
        consumer: Any = self._app._consumer
        return None if consumer is None else consumer._thread

    async def _in_thread(self, method: Any, *arguments: Any) -> Any:
        """What a method of the client returns; it lives in a thread, and a loop, of its own."""
        try:
            return await asyncio.wait_for(
                self._thread.call_thread(method, *arguments), ANSWER_SECONDS
            )
        except TimeoutError:
            raise QueueUnavailable("Kafka does not answer in time") from None
