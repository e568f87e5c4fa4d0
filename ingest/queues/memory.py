"""The in-process queue of embedded runs: bounded in messages and bytes, with redelivery.

It behaves as one partition of a topic does: messages stay, in order, until they are acknowledged,
and what was taken but not acknowledged is taken again.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

from ingest.core.totals import DailyTotal
from ingest.ports import DeadLetter, Message

QUEUE_MESSAGES_MAX: Final = 10_000
QUEUE_BYTES_MAX: Final = 64 * 1024 * 1024
BATCH_BYTES_MAX: Final = 16 * 1024 * 1024


class MemoryQueue:
    """One producer or many, one consumer. A producer waits while the queue is full."""

    def __init__(
        self, messages_max: int = QUEUE_MESSAGES_MAX, bytes_max: int = QUEUE_BYTES_MAX
    ) -> None:
        self._messages: deque[Message] = deque()
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._is_closed = False
        self._changed = asyncio.Condition()

    def __len__(self) -> int:
        return len(self._messages)

    async def put(self, messages: Sequence[Message]) -> None:
        """Add messages in order, waiting for room; a message larger than all room goes in alone."""
        async with self._changed:
            for message in messages:
                await self._changed.wait_for(lambda size=len(message.value): self._has_room(size))
                self._messages.append(message)
                self._bytes += len(message.value)
                self._changed.notify_all()

    async def close(self) -> None:
        """No more messages will come."""
        async with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    async def take(self, size_max: int, bytes_max: int = BATCH_BYTES_MAX) -> list[Message]:
        """The oldest messages, at least one, that fit both bounds; empty when closed and drained.

        Waits for the first message, never for more. They stay in the queue until `acknowledge`.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._messages or self._is_closed)
            batch: list[Message] = []
            for message in islice(self._messages, size_max):
                bytes_max -= len(message.value)
                if bytes_max < 0 and batch:
                    break
                batch.append(message)
            return batch

    async def acknowledge(self, count: int) -> None:
        """Drop the `count` oldest messages: they are done."""
        async with self._changed:
            for _ in range(count):
                self._bytes -= len(self._messages.popleft().value)
            self._changed.notify_all()

    def _has_room(self, size: int) -> bool:
        if not self._messages:
            return True
        return len(self._messages) < self._messages_max and self._bytes + size <= self._bytes_max
