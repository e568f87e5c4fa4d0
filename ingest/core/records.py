"""The rows everything else is about: an event, a snapshot, their identities and their units.

Rows are named tuples, built once in `codec.py` and valid from then on. Calories and heart rates
are whole numbers of 1/10,000 (`SCALE`), because sums of integers do not depend on arrival order
(DESIGN section 2). Minutes are whole minutes and timestamps whole milliseconds since 1970, UTC.
A date is a civil date, `YYYY-MM-DD`.
"""

from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

SCALE: Final = 10_000
TIE: Final = 0.4999  # a float product this close to a half is decided on the decimal text instead


class Kind(StrEnum):
    """The two kinds of message, each named as its topic."""

    ACTIVITY = "activity-events"
    HEALTH = "health-snapshots"


class Day(NamedTuple):
    """What a total is about."""

    user_id: str
    date: str


class Event(NamedTuple):
    """One minute of one device; identity is (user_id, device_id, minute)."""

    user_id: str
    device_id: str
    source: str
    minute: int
    date: str
    steps: int | None
    calories_out: int | None
    hr_avg: int | None
    version: int


class Snapshot(NamedTuple):
    """A device's counters of a day at an instant; identity is all but source and the values."""

    user_id: str
    device_id: str
    source: str
    date: str
    timestamp_ms: int
    steps_total: int
    calories_out_total: int
    hr_avg_session: int | None
    version: int


Record = Event | Snapshot


def event_id(event: Event) -> str:
    """`user|minute|device`: ids sort by user, then time (DESIGN section 6)."""
    return f"{event.user_id}|{event.minute:08d}|{event.device_id}"


def day_id(day: Day) -> str:
    """`user|date` (DESIGN section 6)."""
    return f"{day.user_id}|{day.date}"


def snapshot_id(snapshot: Snapshot) -> str:
    """`user|date|timestamp_ms|device` (DESIGN section 6)."""
    return f"{snapshot.user_id}|{snapshot.date}|{snapshot.timestamp_ms:013d}|{snapshot.device_id}"


def units(number: float) -> int:
    """The number in 1/10,000, rounded half-even on its decimal text: 0.12345 is 1234 units."""
    product = number * SCALE
    nearest = round(product)
    if -TIE < product - nearest < TIE:
        return nearest
    return int((Decimal(repr(number)) * SCALE).to_integral_value(ROUND_HALF_EVEN))


def number_of(amount: int | None) -> float | None:
    """The ordinary number that documents and messages show for `amount` units."""
    return None if amount is None else amount / SCALE


def mean_units(amount: int, count: int) -> int | None:
    """Sum over count, rounded half-even to a whole unit; None of nothing."""
    if count == 0:
        return None
    quotient, remainder = divmod(amount, count)
    half = 2 * remainder - count
    return quotient + (half > 0 or (half == 0 and quotient % 2 == 1))


@lru_cache(maxsize=4096)
def shared_date(date: str) -> str:
    """The one string object for a date, so that a million rows of a day hold one text."""
    return date
