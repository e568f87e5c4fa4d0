"""The right totals, worked out from what the devices did rather than from what they sent.

It shares no code with the deltas, the totals and the merge in `ingest.core`, so that each can be
held to the other. It knows when a counter restarted, and need not infer it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from fractions import Fraction
from typing import Any, NamedTuple

from ingest.core.merge import DeviceMerge
from ingest.core.records import SCALE
from ingest.simulation.devices import Device, Hour, Minute, Reading, hours_of, users_of
from ingest.simulation.plan import Plan, dates_of


class _Tally(NamedTuple):
    """What one device counted on one day: steps, units of calories, heart rates in tenths."""

    source: str
    basis: str
    steps: int
    calories_out: int
    heart_rates: Sequence[int]
    events: int
    snapshots: int
    resets: int


def truth(plan: Plan, merge: DeviceMerge) -> Iterator[dict[str, Any]]:
    """The right total of every day, sorted by user and date.

    The fields are those of DESIGN section 5 without `revision` and `updated_at`.
    """
    for devices in users_of(plan):
        for day in dates_of(plan):
            tallies = {
                device.device_id: tally
                for device in sorted(devices, key=lambda device: device.device_id)
                if (tally := _tally(device, hours_of(plan, device, day))) is not None
            }
            if tallies:
                yield _total(devices[0].user_id, day, tallies, merge)


def _tally(device: Device, hours: Iterable[Hour]) -> _Tally | None:
    """None where the device sent nothing that day."""
    minutes: list[Minute] = []
    readings: list[Reading] = []
    for hour in hours:
        minutes += hour.minutes
        readings += [hour.reading] if hour.reading is not None else []
    if not minutes and not readings:
        return None
    steps, calories_out = _counted(readings) if readings else _measured(minutes)
    return _Tally(
        source=device.source,
        basis="snapshots" if readings else "events",
        steps=steps,
        calories_out=calories_out,
        heart_rates=[minute.hr_avg for minute in minutes if minute.hr_avg is not None],
        events=len(minutes),
        snapshots=len(readings),
        resets=len({reading.restarts for reading in readings}) - 1 if readings else 0,
    )


def _counted(readings: Sequence[Reading]) -> tuple[int, int]:
    """The last reading before each restart and of the day: what came after it nobody saw."""
    last = {reading.restarts: reading for reading in readings}
    return (
        sum(reading.steps for reading in last.values()),
        sum(reading.calories_out for reading in last.values()),
    )


def _measured(minutes: Sequence[Minute]) -> tuple[int, int]:
    return (
        sum(minute.steps for minute in minutes),
        sum(minute.calories_out or 0 for minute in minutes),
    )


def _total(
    user_id: str, day: date, tallies: Mapping[str, _Tally], merge: DeviceMerge
) -> dict[str, Any]:
    steps, calories_out = _merged([*tallies.values()], merge)
    bases = {tally.basis for tally in tallies.values()}
    return {
        "user_id": user_id,
        "date": day.isoformat(),
        "steps": steps,
        "calories_out": calories_out / SCALE,
        "hr_avg": _mean([tenths for tally in tallies.values() for tenths in tally.heart_rates]),
        "basis": bases.pop() if len(bases) == 1 else "mixed",
        "devices": {device_id: _device_fields(tally) for device_id, tally in tallies.items()},
        "events_count": sum(tally.events for tally in tallies.values()),
        "snapshots_count": sum(tally.snapshots for tally in tallies.values()),
        "resets": sum(tally.resets for tally in tallies.values()),
    }


def _device_fields(tally: _Tally) -> dict[str, Any]:
    return {
        "steps": tally.steps,
        "calories_out": tally.calories_out / SCALE,
        "basis": tally.basis,
    }


def _merged(tallies: Sequence[_Tally], merge: DeviceMerge) -> tuple[int, int]:
    """Steps and units of calories of the day, by the policy."""
    if merge.policy == "sum":
        return sum(tally.steps for tally in tallies), sum(tally.calories_out for tally in tallies)
    if merge.policy == "prefer":
        sent = {tally.source for tally in tallies}
        preferred = next((source for source in merge.sources if source in sent), None)
        tallies = [tally for tally in tallies if preferred in (None, tally.source)]
    return max(tally.steps for tally in tallies), max(tally.calories_out for tally in tallies)


def _mean(tenths: Sequence[int]) -> float | None:
    """The mean heart rate, rounded half-even to 4 decimals."""
    if not tenths:
        return None
    return round(Fraction(sum(tenths) * SCALE, 10 * len(tenths))) / SCALE
