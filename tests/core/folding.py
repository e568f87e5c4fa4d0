"""Batches of new records to totals as the pipeline does it, and a day's total by plain arithmetic.

`folded` is `pipeline.py` without its ports: a log that is read, totals that are kept.
`plain_total` shares no code with `ingest.core`: it is DESIGN sections 4 and 5 written again, for
the default rules.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from ingest.core.records import Day, Event, Record, Snapshot
from ingest.core.totals import (
    NO_CHANGE,
    NOT_AT_HAND,
    Counted,
    DailyTotal,
    Reread,
    Rules,
    can_fold,
    changes_of,
    counted_with,
    fold,
    repair,
)

NOW = datetime(2025, 11, 13, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def split(records: Sequence[Record]) -> tuple[list[Event], list[Snapshot]]:
    events = [record for record in records if isinstance(record, Event)]
    return events, [record for record in records if isinstance(record, Snapshot)]


def by_day(records: Sequence[Record]) -> dict[Day, tuple[list[Event], list[Snapshot]]]:
    days: dict[Day, list[Record]] = {}
    for record in records:
        days.setdefault(Day(record.user_id, record.date), []).append(record)
    return {day: split(own) for day, own in days.items()}


def reread_of(log: Sequence[Record], day: Day, hours: set[int], *, has_snapshots: bool) -> Reread:
    """What the log holds of these hours of a day, and of its snapshots if they are asked for."""
    events, snapshots = by_day(log).get(day, ([], []))
    own = [event for event in events if event.minute // 60 in hours]
    found = changes_of(own, snapshots if has_snapshots else [])
    return Reread(hours, has_snapshots, found.get(day, NO_CHANGE))


def folded(
    batches: Sequence[tuple[Sequence[Record], bool]], rules: Rules, *, keeps_snapshots: bool = False
) -> dict[Day, DailyTotal]:
    """The totals after these batches, each with whether the day cache is cold for it.

    Where snapshots are kept, those that a total counts are at hand, too.
    """
    log: list[Record] = []
    totals: dict[Day, DailyTotal] = {}
    at_hand: dict[Day, Counted] = {}
    for records, is_cold in batches:
        log += records
        for day, change in changes_of(*split(records)).items():
            total, counted = totals.get(day), at_hand.get(day, NOT_AT_HAND)
            if total and not is_cold and can_fold(total, change, counted, rules.snapshots):
                totals[day] = fold(total, change, rules, NOW, counted)
            else:
                hours = {hour for own in change.hours.values() for hour in own}
                reread = reread_of(log, day, hours, has_snapshots=bool(change.snapshots))
                repaired = repair(total, day, reread, rules, NOW)
                assert repaired is not None
                totals[day] = repaired
            if keeps_snapshots:
                at_hand[day] = counted_with(counted, change)
    return totals


def plain_total(events: Sequence[Event], snapshots: Sequence[Snapshot]) -> dict[str, Any]:
    """What a total says of the records of one day, at least one, by the default rules."""
    devices: dict[str, tuple[int, int, str]] = {}
    resets = 0
    for device_id in {record.device_id for record in (*events, *snapshots)}:
        own = [s for s in snapshots if s.device_id == device_id]
        if own:
            steps, calories_out, own_resets = plain_chain(sorted(own, key=lambda s: s.timestamp_ms))
            devices[device_id] = steps, calories_out, "snapshots"
            resets += own_resets
        else:
            minutes = [e for e in events if e.device_id == device_id]
            steps = sum(e.steps for e in minutes if e.steps is not None)
            calories_out = sum(e.calories_out for e in minutes if e.calories_out is not None)
            devices[device_id] = steps, calories_out, "events"
    heart_rates = [e.hr_avg for e in events if e.hr_avg is not None]
    bases = {basis for _, _, basis in devices.values()}
    return {
        "steps": max(steps for steps, _, _ in devices.values()),
        "calories_out": max(calories_out for _, calories_out, _ in devices.values()),
        "hr_avg": round(Fraction(sum(heart_rates), len(heart_rates))) if heart_rates else None,
        "basis": bases.pop() if len(bases) == 1 else "mixed",
        "devices": devices,
        "events_count": len(events),
        "snapshots_count": len(snapshots),
        "resets": resets,
    }


def plain_chain(snapshots: Sequence[Snapshot]) -> tuple[int, int, int]:
    """Steps, calories and resets of one device's snapshots in time order, tolerating no fall."""
    totals = [(s.steps_total, s.calories_out_total) for s in snapshots]
    steps, calories_out = known = totals[0]
    resets = 0
    for place, now in enumerate(totals[1:], 1):
        following = totals[place + 1] if place + 1 < len(totals) else (-1, -1)
        is_back = following[0] >= known[0] and following[1] >= known[1]
        if now == (0, 0) and known != (0, 0) and is_back:
            continue
        if now[0] < known[0] or now[1] < known[1]:
            resets += 1
            known = (0, 0)
        steps += now[0] - known[0]
        calories_out += now[1] - known[1]
        known = now
    return steps, calories_out, resets
