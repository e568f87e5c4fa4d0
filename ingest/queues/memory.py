"""The in-process queue of embedded runs: bounded in messages and bytes, with redelivery.

It behaves as one partition of a topic does: messages stay, in order, until they are acknowledged,
and what was taken but not acknowledged is taken again.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import accumulate, islice
from typing import Final

from ingest.core.records import Day
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
            waiting = messages
            while waiting:
                await self._changed.wait_for(partial(self._room_for, waiting))
                room = self._room_for(waiting)
                self._messages.extend(waiting[:room])
                self._bytes += _size(waiting[:room])
                waiting = waiting[room:]
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
            batch = list(islice(self._messages, size_max))
            return batch[: max(1, _fitting(batch, bytes_max))]

    async def acknowledge(self, count: int) -> None:
        """Drop the `count` oldest messages: they are done."""
        async with self._changed:
            done = [self._messages.popleft() for _ in range(count)]
            self._bytes -= _size(done)
            self._changed.notify_all()

    def _room_for(self, messages: Sequence[Message]) -> int:
        """How many of these messages fit now, in order."""
        first = messages[: self._messages_max - len(self._messages)]
        fitting = _fitting(first, self._bytes_max - self._bytes)
        return fitting if self._messages else max(1, fitting)


def _fitting(messages: Sequence[Message], bytes_max: int) -> int:
    """How many of the first messages fit together."""
    if _size(messages) <= bytes_max:
        return len(messages)
    sizes = accumulate([len(message.value) for message in messages])
    return bisect_right([*sizes], bytes_max)


def _size(messages: Iterable[Message]) -> int:
    return sum([len(message.value) for message in messages])


class MemoryTopics:
    """A `Publisher` without a broker: the latest total of each day, and a sink for dead letters.

    Like a compacted topic it keeps the highest revision of a day.
    """

    def __init__(self, on_dead_letter: Callable[[DeadLetter], None]) -> None:
        self.totals: dict[Day, DailyTotal] = {}
        self._on_dead_letter = on_dead_letter

    async def publish_totals(self, totals: Sequence[DailyTotal]) -> None:
        for total in totals:
            known = self.totals.get(total.day)
            if known is None or known.revision <= total.revision:
                self.totals[total.day] = total

    async def publish_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> None:
        for dead_letter in dead_letters:
            self._on_dead_letter(dead_letter)
