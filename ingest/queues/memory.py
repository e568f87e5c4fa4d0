"""The in-process queue of embedded runs: bounded in messages and bytes, with redelivery.

It behaves as one partition of a topic does: messages stay, in order, until they are acknowledged,
and what was taken but not acknowledged is taken again.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
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
                await self._changed.wait_for(partial(self._has_room_for, waiting[0]))
                room, size = self._room_for(waiting)
                self._messages.extend(waiting[:room])
                self._bytes += size
                waiting = waiting[room:]
                self._changed.notify_all()

    async def offer(self, messages: Sequence[Message]) -> bool:
        """Add all of the messages if there is room for them now, else none.

        More than all room goes in alone.
        """
        async with self._changed:
            return self._added_whole(messages)

    async def put_whole(self, messages: Sequence[Message]) -> None:
        """Add all of the messages at once, waiting for room; cancelled, it has added none."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._added_whole(messages))

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
            if self._bytes <= bytes_max:
                return batch
            count, _ = _fitting(batch, bytes_max)
            return batch[: max(1, count)]

    async def acknowledge(self, count: int) -> None:
        """Drop the `count` oldest messages: they are done."""
        async with self._changed:
            done = [self._messages.popleft() for _ in range(count)]
            self._bytes -= sum([len(message.value) for message in done])
            self._changed.notify_all()

    def _added_whole(self, messages: Sequence[Message]) -> bool:
        if not self._has_room_for(messages[0]):
            return False
        room, size = self._room_for(messages)
        if room < len(messages):
            if self._messages:
                return False
            size = sum([len(message.value) for message in messages])  # alone, as `put` has it
        self._messages.extend(messages)
        self._bytes += size
        self._changed.notify_all()
        return True

    def _has_room_for(self, message: Message) -> bool:
        if not self._messages:
            return True
        is_short = len(self._messages) < self._messages_max
        return is_short and self._bytes + len(message.value) <= self._bytes_max

    def _room_for(self, messages: Sequence[Message]) -> tuple[int, int]:
        """How many of these messages fit now, at least the first, and their size."""
        first = messages[: self._messages_max - len(self._messages)]
        count, size = _fitting(first, self._bytes_max - self._bytes)
        return (count, size) if count else (1, len(first[0].value))


def _fitting(messages: Sequence[Message], bytes_max: int) -> tuple[int, int]:
    """How many of the first messages fit together, and their size."""
    sizes = [len(message.value) for message in messages]
    if (size := sum(sizes)) <= bytes_max:
        return len(sizes), size
    ends = [*accumulate(sizes)]
    count = bisect_right(ends, bytes_max)
    return count, ends[count - 1] if count else 0


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
