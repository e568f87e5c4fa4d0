"""A producer for commands: it waits for a broker that went away, says so, and gives up in time."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from ingest.errors import QueueUnavailable
from ingest.queues.kafka.connection import CONNECT_SECONDS, Connection
from ingest.queues.kafka.producer import Outgoing, Producer
from ingest.retries import Patience, until_done

SAY_SECONDS: Final = 5


class PatientProducer(Producer):
    """As `Producer`, but `send` ends: a `Producer` waits for ever for a broker that went away."""

    def __init__(
        self, connection: Connection, patience: Patience, on_waiting: Callable[[], None]
    ) -> None:
        """`on_waiting` is called when the broker has not answered for some seconds."""
        super().__init__(connection)
        self._patience = patience
        self._on_waiting = on_waiting

    async def send(self, messages: Iterable[Outgoing]) -> None:
        outgoing, send, timeout = [*messages], super().send, self._patience.timeout
        seconds = None if timeout is None else timeout.total_seconds() or CONNECT_SECONDS
        saying = asyncio.get_running_loop().call_later(SAY_SECONDS, self._on_waiting)
        try:
            async with asyncio.timeout(seconds):
                await until_done(lambda: send(outgoing), self._patience)
        except TimeoutError:
            raise QueueUnavailable("Kafka does not answer in time") from None
        finally:
            saying.cancel()
