"""For how long a broker's word that this worker is a member of its group is good enough."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Final

from ingest.errors import QueueUnavailable

CONFIRMED_FOR: Final = 1 / 3  # of the time it takes to be put out of the group


class Heard(Enum):
    """What the broker said, if anything."""

    MEMBER = auto()
    REBALANCING = auto()  # a member now; it is put out if it does not join in time, at any moment
    PUT_OUT = auto()
    NOTHING = auto()


class Trust:
    """Asks the broker, unless it said a short while ago that this worker is a member.

    `put_out_seconds` is the least that can pass between such an answer and another worker having
    the partitions. A process that was frozen for longer finds out by this: an answer from before
    the freeze is too old, also one that was on its way meanwhile.
    """

    def __init__(self, put_out_seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self.trusted_seconds = put_out_seconds * CONFIRMED_FOR
        self._now = now
        self._confirmed_at = float("-inf")
        self._asking = asyncio.Lock()

    async def confirm(self, ask: Callable[[], Awaitable[Heard]]) -> None:
        """Raises `QueueUnavailable` if there is no answer that is good."""
        async with self._asking:
            asked_at = self._now()
            if asked_at - self._confirmed_at < self.trusted_seconds:
                return
            heard = await ask()
            is_late = self._now() - asked_at >= self.trusted_seconds
            if heard is Heard.NOTHING or (heard is not Heard.PUT_OUT and is_late):
                raise QueueUnavailable("Kafka does not say in time whether this worker is a member")
            if heard is Heard.MEMBER:
                self._confirmed_at = asked_at
