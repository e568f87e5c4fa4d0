"""A Faust worker's place in its consumer group: what it owns and commits, how far it is behind.

Faust 0.15.3 keeps what is needed here to itself, so this is the one module that looks inside. Its
own bookkeeping of acknowledgements is not used: it can commit past a message that is not done
(faust-streaming#606, the case of a gap of one).
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import faust
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from ingest.errors import QueueUnavailable
from ingest.worker.batches import Place
from ingest.worker.trust import Heard, Trust

ANSWER_SECONDS: Final = 10


class FaustMembership:
    """The `Membership` of a Faust app that has been started."""

    def __init__(self, app: faust.App, put_out_seconds: float) -> None:
        self._app = app
        self._trust = Trust(put_out_seconds)

    @property
    def trusted_seconds(self) -> float:
        """How long a publication may take: what was confirmed before it then still holds."""
        return self._trust.trusted_seconds

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
        """Send a heartbeat, if the last answer is too old."""
        await self._trust.confirm(self._ask)

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

    async def _ask(self) -> Heard:
        before = self.generation
        if await self._in_thread(self._client._coordinator._do_heartbeat):
            must_join = self._client._coordinator._rejoin_needed_fut.done()
            return Heard.REBALANCING if must_join else Heard.MEMBER
        return Heard.NOTHING if self.generation == before else Heard.PUT_OUT

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
