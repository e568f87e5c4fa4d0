"""The totals this process saved last, so that the next batch need not read them: bounded, LRU.

An entry may be out of date (another worker saved the day): compare-and-set finds that out. So it
does for the snapshots that a total counts, which are kept for its very revision.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final

from ingest.core.records import Day
from ingest.core.totals import NOT_AT_HAND, Counted, DailyTotal

SNAPSHOTS_A_DAY: Final = 10  # at hand for each day that may be, on average; about 2 KB

_NONE: Final[Mapping[Day, Counted]] = {}


class DayCache:
    """At most `size_max` totals, the least recently used forgotten first.

    The snapshots that they count are forgotten before them if they are many.
    """

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        # The least recently used first. The first of a plain dict takes the longer to find, the
        # more were deleted from its start.
        self._totals: OrderedDict[Day, DailyTotal] = OrderedDict()
        self._counted: OrderedDict[Day, Counted] = OrderedDict()  # of some of them
        self._snapshots = 0

    def __len__(self) -> int:
        return len(self._totals)

    def get(self, day: Day) -> DailyTotal | None:
        """The total last seen of a day."""
        return self._totals.get(day)

    def counted(self, total: DailyTotal) -> Counted:
        """The snapshots that a total counts, if they are at hand."""
        counted = self._counted.get(total.day)
        if counted is None or self._totals[total.day] != total:
            return NOT_AT_HAND
        return counted

    def put(self, totals: Iterable[DailyTotal], counted: Mapping[Day, Counted] = _NONE) -> None:
        """Remember totals that are in the store; this is what counts as a use.

        `counted` has the snapshots that some of them count; those of the others are forgotten.
        """
        for total in totals:
            self._forget(total.day)
            self._totals[total.day] = total
            if own := counted.get(total.day):
                self._counted[total.day] = own
                self._snapshots += total.snapshots_count
        self._shrink()

    def bound(self, size_max: int) -> None:
        """Keep at most this many from now on."""
        self._size_max = size_max
        self._shrink()

    def clear(self) -> None:
        """Forget everything, as when the partitions it was filled from are gone."""
        self._totals.clear()
        self._counted.clear()
        self._snapshots = 0

    def _shrink(self) -> None:
        while len(self._totals) > self._size_max:
            self._forget(next(iter(self._totals)))
        while self._snapshots > self._size_max * SNAPSHOTS_A_DAY:
            self._forget_counted(next(iter(self._counted)))

    def _forget(self, day: Day) -> None:
        self._forget_counted(day)
        self._totals.pop(day, None)

    def _forget_counted(self, day: Day) -> None:
        if self._counted.pop(day, None) is not None:
            self._snapshots -= self._totals[day].snapshots_count
