"""RFC 3339 text to instants and civil dates; a time without an offset is refused, never guessed."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final, NamedTuple

from ingest.core.records import shared_date
from ingest.errors import Reason, RecordRefused

_CLOCK: Final = {f"{minute // 60:02}:{minute % 60:02}:": minute for minute in range(24 * 60)}
_SECONDS: Final = {f"{second:02}": second * 1000 for second in range(60)}
_ZONE: Final = re.compile(r"(?:\.(\d+))?(?:([Zz])|([+-])([01]\d|2[0-3]):([0-5]\d))?", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
EARLIEST_MS: Final = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * 1000
REMEMBERED_MAX: Final = 65_536  # a month of minutes; about 20 MB
MINUTE_MS: Final = 60_000
MINUTES_PER_HOUR: Final = 60
MINUTES_PER_DAY: Final = 1440
FIRST_DATE, LAST_DATE = "0001-01-01", "9999-12-31"


class Instant(NamedTuple):
    """Milliseconds since 1970 UTC, and the civil date that the text was written in."""

    ms: int
    date: str


class Window(NamedTuple):
    """The instants that a record may carry, both included, in milliseconds.

    `latest_ms` is FUTURE_SKEW_MAX ahead of now. `earliest_ms` is later than 2000 only where a store
    deletes old records: one of a day that is no longer whole could make that day wrong.
    """

    earliest_ms: int
    latest_ms: int

    def reason_of(self, ms: int) -> Reason:
        """Why an instant outside is refused."""
        return Reason.FUTURE_TIMESTAMP if ms > self.latest_ms else Reason.INVALID_TIMESTAMP


@lru_cache(maxsize=REMEMBERED_MAX)
def minute_of(text: str) -> tuple[int, str, int]:
    """Epoch minute (UTC, floored), civil date and milliseconds of an event's `ts`.

    Remembers the last texts, as `_minute_at` does: devices of one time zone write the same ones.
    Raises as `instant_of` does.
    """
    instant = instant_of(text, "ts")
    return instant.ms // MINUTE_MS, instant.date, instant.ms


def instant_of(text: str, field: str) -> Instant:
    """The instant that the text in `field` names, floored to the millisecond.

    Raises `RecordRefused` with INVALID_TIMESTAMP (not RFC 3339, no such date or time, before
    2000) or NAIVE_TIMESTAMP (no offset).
    """
    try:
        start_ms, date, is_naive = _minute_at(text[:17], text[19:])
        ms = start_ms + _SECONDS[text[17:19]]
    except (KeyError, ValueError):
        raise RecordRefused(Reason.INVALID_TIMESTAMP, field) from None
    if is_naive:
        raise RecordRefused(Reason.NAIVE_TIMESTAMP, field)
    if ms < EARLIEST_MS:
        raise RecordRefused(Reason.INVALID_TIMESTAMP, field)
    return Instant(ms, date)


def days_between(earlier: str, later: str) -> int:
    """Whole days from one civil date to another; ValueError where one is no date."""
    return _ordinal(later) - _ordinal(earlier)


def first_minute(civil: str) -> int:
    """The epoch minute at which a UTC date begins; ValueError where it is no date."""
    return (_ordinal(civil) - _EPOCH_ORDINAL) * MINUTES_PER_DAY


def neighbouring_dates(minute: int) -> tuple[str, str, str]:
    """Every civil date that some offset can give to an epoch minute, in order."""
    ordinal = _EPOCH_ORDINAL + minute // MINUTES_PER_DAY
    before, same, after = (date.fromordinal(ordinal + step).isoformat() for step in (-1, 0, 1))
    return before, same, after


def text_of(ms: int, offset_minutes: int) -> str:
    """The RFC 3339 text of an instant at an offset: whole seconds where it has no fraction."""
    zone = timezone(timedelta(minutes=offset_minutes))
    instant = datetime.fromtimestamp(ms // 1000, zone)
    if ms % 1000:
        return instant.replace(microsecond=ms % 1000 * 1000).isoformat(timespec="milliseconds")
    return instant.isoformat()


@lru_cache(maxsize=4096)
def _ordinal(civil: str) -> int:
    if _DATE.fullmatch(civil) is None:
        raise ValueError(civil)
    return date.fromisoformat(civil).toordinal()


@lru_cache(maxsize=REMEMBERED_MAX)
def _minute_at(minute: str, zone: str) -> tuple[int, str, bool]:
    """What stands before and behind the seconds: milliseconds, civil date, whether it is naive.

    Raises ValueError or KeyError where they are not what RFC 3339 says.
    """
    match = _ZONE.fullmatch(zone)
    if match is None or minute[10:11] not in ("T", "t", " "):
        raise ValueError(minute)
    fraction, zulu, sign, hours, minutes = match.groups()
    offset = 0 if sign is None else int(hours) * MINUTES_PER_HOUR + int(minutes)
    days = _ordinal(minute[:10]) - _EPOCH_ORDINAL
    utc = days * MINUTES_PER_DAY + _CLOCK[minute[11:]] - (-offset if sign == "-" else offset)
    fraction_ms = int(fraction[:3].ljust(3, "0")) if fraction else 0
    is_naive = sign is None and zulu is None
    return utc * MINUTE_MS + fraction_ms, shared_date(minute[:10]), is_naive
