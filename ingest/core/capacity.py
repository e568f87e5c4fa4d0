"""How much a day takes: what comes on top is refused.

No limit of a message bounds a day: one sender could fill it with devices or records until its total
fits in no document and no message, or its chain in no worker, and every worker that meets it would
stop. A person's day has a few devices, and a record a minute of each.

What a day holds is taken from the total at hand, and its devices from the batch too. Nothing is
read for it: a worker that does not have the day at hand, as when it was just started, takes as much
as is in its batch.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Final, cast

from ingest.core.records import Day, Kind
from ingest.core.refusals import Decoded, refusals_of_rows
from ingest.core.totals import DailyTotal
from ingest.errors import Reason

DEVICES_MAX: Final = 100  # of a day
RECORDS_MAX: Final = 30_000  # of a day: events and snapshots

_TIME: Final = {Kind.ACTIVITY: "ts", Kind.HEALTH: "timestamp"}
_date: Final = attrgetter("date")
_new: Final = tuple.__new__


def admit(
    original: Callable[[int], bytes],
    decoded: Sequence[Decoded],
    total_of: Callable[[Day], DailyTotal | None],
) -> Sequence[Decoded]:
    """The messages without the rows of days that are full; the same object where none is.

    `original` has the bytes of the message at a place, `total_of` the totals at hand. A day that
    has all the records it takes refuses repeated ones too.
    """
    known: dict[Day, set[str] | None] = {}  # its devices; None where it takes no record
    full: dict[int, dict[str, str]] = {}  # by place, the dates that are, and by which field
    for place, message in enumerate(decoded):
        rows = message.rows
        if not rows:
            continue
        user_id, device_id = message.user_id, rows[0].device_id
        for date in dict.fromkeys(map(_date, rows)) if len(rows) > 1 else (rows[0].date,):
            day = _new(Day, (user_id, date))
            if day not in known:
                known[day] = _devices_of(total_of(day))
            devices = known[day]
            if devices is None:
                full.setdefault(place, {})[date] = _TIME[cast("Kind", message.kind)]
            elif device_id not in devices:
                if len(devices) < DEVICES_MAX:
                    devices.add(device_id)
                else:
                    full.setdefault(place, {})[date] = "device_id"
    if not full:
        return decoded
    admitted = [*decoded]
    for place, dates in full.items():
        admitted[place] = _without(original(place), decoded[place], dates)
    return admitted


def _devices_of(total: DailyTotal | None) -> set[str] | None:
    if total is None:
        return set()
    if total.events_count + total.snapshots_count >= RECORDS_MAX:
        return None
    return {*total.devices}


def _without(message: bytes, decoded: Decoded, full: dict[str, str]) -> Decoded:
    refusals = [*decoded.refusals]
    for date, field in full.items():
        rows = [place for place, row in enumerate(decoded.rows) if row.date == date]
        refusals += refusals_of_rows(message, decoded, rows, Reason.DAY_FULL, field)
    kept = [row for row in decoded.rows if row.date not in full]
    return decoded._replace(rows=kept, refusals=tuple(refusals))
