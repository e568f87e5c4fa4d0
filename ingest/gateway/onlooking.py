"""What a service sees of the workers behind Kafka: their totals as they come, and their lag."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Final

import orjson
import structlog

from ingest.errors import BatchRetryable, QueueUnusable
from ingest.gateway.stream import Hub

if TYPE_CHECKING:
    from ingest.queues.kafka import Connection

log = structlog.get_logger()
AGAIN_SECONDS: Final = 5.0
LAG_SECONDS: Final = 5.0  # how old a lag may be


@asynccontextmanager
async def feeding(hub: Hub, connection: "Connection", topic: str) -> AsyncIterator[None]:
    """Hand what comes to the topic of daily totals to the hub, for as long as the block runs."""
    task = asyncio.create_task(_feed(hub, connection, topic))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _feed(hub: Hub, connection: "Connection", topic: str) -> None:
    from ingest.queues.kafka import followed  # noqa: PLC0415 - as in brokers.py

    while True:
        try:
            async with aclosing(followed(connection, topic)) as values:
                async for value in values:
                    if hub.is_heard:
                        total = orjson.loads(value)
                        hub.publish_total(total, total["user_id"])
        except (BatchRetryable, QueueUnusable) as error:
            log.warning("ingest.totals_not_followed", reason=str(error))
            await asyncio.sleep(AGAIN_SECONDS)


class Lag:
    """How many messages workers have not done, asked for once in a while."""

    def __init__(
        self, ask: Callable[[], Awaitable[int]], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._now = now
        self._asked_at = -LAG_SECONDS
        self._known: int | None = None
        self._asking = asyncio.Lock()

    async def __call__(self) -> int | None:
        """The lag, None where Kafka does not say."""
        async with self._asking:
            if self._now() - self._asked_at >= LAG_SECONDS:
                try:
                    self._known = await self._ask()
                except (BatchRetryable, QueueUnusable):
                    self._known = None
                self._asked_at = self._now()
        return self._known
