"""Which records and days a store that deletes old records (RETENTION) can still be right about.

The store deletes an event or a snapshot when its own time is `retention` ago. A day of which some
records are gone must not be read again from the log, or it would shrink. Its records lie at most
`_SPREAD` from its start: a date is within 2 days of a snapshot's timestamp, and an offset moves a
date by one.
"""

from datetime import datetime, timedelta
from typing import Final

from ingest.core.timestamps import FIRST_DATE, Window

_SPREAD: Final = timedelta(days=4)
_SLACK: Final = timedelta(days=3)  # from accepting a record until the last retry of its batch


def window_of(now: datetime, future_skew_max: timedelta, retention: timedelta | None) -> Window:
    """What time a record may carry, so that its day is whole for as long as it is worked on."""
    latest_ms = _ms(now + future_skew_max)
    return Window(0 if retention is None else _ms(now - retention + _SPREAD + _SLACK), latest_ms)


def whole_from(now: datetime, retention: timedelta | None) -> str:
    """The first date of which the store still has every record."""
    if retention is None:
        return FIRST_DATE
    return (now - retention + _SPREAD).date().isoformat()


def _ms(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
