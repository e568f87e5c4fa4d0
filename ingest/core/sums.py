"""Sums of events per device and UTC hour, all in integers, in any order the same.

`sums_of` is the hottest loop after the decoder: it walks runs of events of one hour.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from ingest.core.records import Event
from ingest.core.timestamps import MINUTES_PER_HOUR

_new: Final = tuple.__new__


class EventSums(NamedTuple):
    """Sums over events: how many, steps, units of calories and heart rate, and their sources."""

    events: int
    steps: int
    calories_out: int
    hr_sum: int
    hr_count: int
    sources: tuple[str, ...]


class HourKey(NamedTuple):
    """Whose events of which epoch hour were summed."""

    user_id: str
    date: str
    device_id: str
    hour: int


NO_EVENTS: Final = EventSums(0, 0, 0, 0, 0, ())


def sums_of(events: Iterable[Event]) -> dict[HourKey, EventSums]:
    """The sums of each device's events of each hour.

    Walks runs of events of one hour; a run ends where its user, date, device or source is another
    *object*, which costs less to see than another value.
    """
    slots: dict[HourKey, list[Any]] = {}
    slot: list[Any] = []
    run_user = run_date = run_device = run_source = None
    run_hour = 0
    for user_id, device_id, source, minute, date, steps, calories_out, hr_avg, _ in events:
        hour = minute // MINUTES_PER_HOUR
        if (
            hour != run_hour
            or user_id is not run_user
            or date is not run_date
            or device_id is not run_device
            or source is not run_source
        ):
            run_user, run_date, run_device = user_id, date, device_id
            run_source, run_hour = source, hour
            slot = _slot(slots, _new(HourKey, (user_id, date, device_id, hour)), source)
        slot[0] += 1
        if steps:
            slot[1] += steps
        if calories_out:
            slot[2] += calories_out
        if hr_avg:
            slot[3] += hr_avg
            slot[4] += 1
    return {key: _new(EventSums, slot) for key, slot in slots.items()}


def _slot(slots: dict[HourKey, list[Any]], key: HourKey, source: str) -> list[Any]:
    """The sums of an hour so far, with the source of what comes next among its sources."""
    slot = slots.get(key)
    if slot is None:
        slot = slots[key] = [0, 0, 0, 0, 0, (source,)]
    elif source not in slot[5]:
        slot[5] = tuple(sorted((*slot[5], source)))
    return slot


def summed(events: Sequence[Event]) -> EventSums:
    """The sums of these events, one question at a time: the oracle's way."""
    heart_rates = [e.hr_avg for e in events if e.hr_avg is not None]
    return EventSums(
        len(events),
        sum(e.steps or 0 for e in events),
        sum(e.calories_out or 0 for e in events),
        sum(heart_rates),
        len(heart_rates),
        tuple(sorted({e.source for e in events})),
    )


def plus(sums: EventSums, more: EventSums) -> EventSums:
    """Both together; the sum of a device's whole day keeps no sources, its hours do."""
    sources = sums.sources
    if more.sources != sources and sources:
        sources = tuple(sorted({*sources, *more.sources}))
    return _new(
        EventSums,
        (
            sums.events + more.events,
            sums.steps + more.steps,
            sums.calories_out + more.calories_out,
            sums.hr_sum + more.hr_sum,
            sums.hr_count + more.hr_count,
            sources,
        ),
    )


def minus(sums: EventSums, less: EventSums) -> EventSums:
    """What is left of a device's whole day without one of its hours."""
    return EventSums(
        sums.events - less.events,
        sums.steps - less.steps,
        sums.calories_out - less.calories_out,
        sums.hr_sum - less.hr_sum,
        sums.hr_count - less.hr_count,
        (),
    )
