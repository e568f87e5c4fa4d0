"""The totals this process saved last, so that the next batch need not read them: bounded, LRU.

An entry may be out of date (another worker saved the day): compare-and-set finds that out.
"""

from collections.abc import Iterable

from ingest.core.records import Day
from ingest.core.totals import DailyTotal


class DayCache:
    """At most `size_max` totals, the least recently used forgotten first."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._totals: dict[Day, DailyTotal] = {}  # the least recently used first

    def __len__(self) -> int:
        return len(self._totals)

    def get(self, day: Day) -> DailyTotal | None:
        """The total last seen of a day."""
        return self._totals.get(day)

    def put(self, totals: Iterable[DailyTotal]) -> None:
        """Remember totals that are in the store; this is what counts as a use."""
        for total in totals:
            self._totals.pop(total.day, None)
            self._totals[total.day] = total
        self._shrink()

    def bound(self, size_max: int) -> None:
        """Keep at most this many from now on."""
        self._size_max = size_max
        self._shrink()

    def clear(self) -> None:
        """Forget everything, as when the partitions it was filled from are gone."""
        self._totals.clear()

    def _shrink(self) -> None:
        while len(self._totals) > self._size_max:
            del self._totals[next(iter(self._totals))]
