"""Token buckets: how often each of many may call.

A bucket is one number, the time when it will be full again: full means `burst` tokens, and each
token taken moves that time ahead by what it takes to come back.
"""

import heapq
import math
import time
from collections.abc import Callable, Hashable
from typing import Final

BUCKETS_MAX: Final = 10_000
_FORGOTTEN_AT_ONCE: Final = BUCKETS_MAX // 10  # so that looking for them costs the others little
_SLACK_SECONDS: Final = 1e-6  # who waits as long as told is let through, whatever was rounded


class Rates:
    """A bucket for each name, of `burst` tokens at most, into which `per_second` come back.

    Over any `t` seconds a name is let through for at most `burst + per_second * t` tokens, but
    where there are more than `BUCKETS_MAX` names at a time: then those forget first whose bucket
    is full, or will be soonest.
    """

    def __init__(
        self, per_second: float, burst: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds_each = 1 / per_second
        self._seconds_full = burst / per_second
        self._burst = burst
        self._now = now
        self._full_at: dict[Hashable, float] = {}

    def take(self, name: Hashable, cost: float = 1.0) -> float:
        """Take `cost` tokens and return 0.0, or take none: the seconds until it would be allowed.

        What costs more than `burst` never is: `math.inf`.
        """
        if cost > self._burst:
            return math.inf
        now = self._now()
        full_at = max(self._full_at.get(name, now), now) + cost * self._seconds_each
        wait = full_at - now - self._seconds_full
        if wait > _SLACK_SECONDS:
            return wait
        if name not in self._full_at and len(self._full_at) >= BUCKETS_MAX:
            self._forget_some()
        self._full_at[name] = full_at
        return 0.0

    def __len__(self) -> int:
        """How many buckets are remembered."""
        return len(self._full_at)

    def _forget_some(self) -> None:
        """A full bucket is as good as none; the longer it is full, the sooner it goes."""
        for name in heapq.nsmallest(_FORGOTTEN_AT_ONCE, self._full_at, self._full_at.__getitem__):
            del self._full_at[name]
