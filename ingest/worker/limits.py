"""When so much is refused that something upstream must be broken."""

from collections import deque
from typing import Final

from ingest.errors import WorkerStopped

WINDOW_RECORDS: Final = 10_000


class DeadLetterLimits:
    """Counts refused records: their share of the last 10,000, and those in a row.

    In a row are the records of whole batches of which every record was refused.
    """

    def __init__(self, *, share_max: float, consecutive_max: int) -> None:
        self._share_max = share_max
        self._consecutive_max = consecutive_max
        self._batches: deque[tuple[int, int]] = deque()
        self._records = 0
        self._rejected = 0
        self._consecutive = 0

    def check(self, records: int, rejected: int) -> None:
        """Raise `WorkerStopped` if a batch of these records, so many refused, is beyond a limit."""
        if rejected == 0:
            return
        in_a_row = self._consecutive + records if rejected == records else 0
        if in_a_row > self._consecutive_max:
            raise WorkerStopped(
                f"{in_a_row:,} records in a row were refused: what sends them is broken, or "
                "DEAD_LETTER_CONSECUTIVE_MAX is too low. Nothing of the last batch was acknowledged"
            )
        of, refused = self._records + records, self._rejected + rejected
        if of >= WINDOW_RECORDS and refused > self._share_max * of:
            raise WorkerStopped(
                f"{refused:,} of the last {of:,} records were refused: what sends them is broken, "
                "or DEAD_LETTER_SHARE_MAX is too low. Nothing of the last batch was acknowledged"
            )

    def add(self, records: int, rejected: int) -> None:
        """A batch is done."""
        self._batches.append((records, rejected))
        self._records += records
        self._rejected += rejected
        self._consecutive = self._consecutive + records if rejected == records else 0
        while self._records - self._batches[0][0] >= WINDOW_RECORDS:
            oldest_records, oldest_rejected = self._batches.popleft()
            self._records -= oldest_records
            self._rejected -= oldest_rejected
