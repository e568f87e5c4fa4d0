"""What simulated devices really do: which minutes they measure and what their counters show."""

from collections.abc import Iterator
from datetime import date
from typing import Final, NamedTuple

from ingest.core.timestamps import MINUTES_PER_HOUR
from ingest.simulation.draws import Draw, below, draw_of
from ingest.simulation.plan import Plan

HOURS: Final = range(24)
_ASLEEP: Final = range(1, 6)
_DAYTIME: Final = range(9, 18)
_OFFSETS_MINUTES: Final = (-480, -300, -210, 0, 60, 330, 540, 765)
_PHONES: Final = ("APPLE_HEALTH", "HEALTH_CONNECT", "GOOGLE_FIT")
_WATCHES: Final = ("FITBIT", "GARMIN")
_WATCHES_PER_EVENT_SENDER: Final = 3

# A restarted counter must be seen lower, or nobody could tell that it restarted. A snapshot is at
# most two hours after the one before. So a counter that restarts in hour 13 or later showed 12
# hours at rest or more, and shows at most 2 hours at rest and in motion next: 12 * 60 * 0.8 kcal
# is more than 2 * 60 * (0.8 + 4) kcal can be, and the more so the more a minute at rest takes.
_RESTART_HOURS: Final = range(13, 21)
_REST_MIN, _REST_SPAN = 8_000, 4_000  # units of calories a minute
_MOTION_MIN, _MOTION_SPAN = 5_000, 35_000
_HEART_MIN, _HEART_SPAN = 550, 1_200  # tenths
_STEPS_SPAN: Final = 140
_MOVING_SHARE: Final = 1 / 3
_CALORIES_SHARE: Final = 0.9
_SHOWN_SHARE: Final = 0.7


class Device(NamedTuple):
    """A phone measures minutes; a watch counts the day, and some watches measure minutes too."""

    user_id: str
    device_id: str
    source: str
    offset_minutes: int
    event_hours: range
    heart_rate_share: float
    has_counter: bool
    sync_minute: int


class Minute(NamedTuple):
    """A minute in motion: steps, units of calories, heart rate in tenths."""

    minute: int
    steps: int
    calories_out: int | None
    hr_avg: int | None


class Reading(NamedTuple):
    """What a counter shows, and what nobody sees: how often it has restarted."""

    restarts: int
    steps: int
    calories_out: int


class Hour(NamedTuple):
    """What a device sends of one hour of a day: its minutes, and its counter at the end."""

    hour: int
    minutes: list[Minute]
    reading: Reading | None


def users_of(plan: Plan) -> Iterator[list[Device]]:
    """The devices of each user, sorted by user id; up to 9,999 users, none depends on how many."""
    width = max(4, len(str(plan.users)))
    for number in range(1, plan.users + 1):
        user_id = f"user-{number:0{width}d}"
        yield [_device(plan, user_id, number, place) for place in range(plan.devices)]


def hours_of(plan: Plan, device: Device, day: date) -> Iterator[Hour]:
    """What a device does on one of its days, hour by hour."""
    draw = draw_of(plan.seed, device.user_id, device.device_id, day)
    restart = _restart(draw, plan.resets)
    rest = _REST_MIN + below(draw, _REST_SPAN)
    reading, is_due = Reading(0, 0, 0), True
    for hour in HOURS:
        minutes = _minutes(draw, hour, device.heart_rate_share)
        if hour == restart[0]:
            restarted = Reading(reading.restarts + 1, 0, 0)
            reading = _counted(restarted, minutes, rest, since=restart[1])
        else:
            reading = _counted(reading, minutes, rest, since=0)
        is_shown = draw() < _SHOWN_SHARE or is_due
        is_due = not is_shown
        yield Hour(
            hour,
            minutes if hour in device.event_hours else [],
            reading if device.has_counter and is_shown else None,
        )


def _device(plan: Plan, user_id: str, number: int, place: int) -> Device:
    is_phone = place % 2 == 0
    device_id = f"{'phone' if is_phone else 'watch'}-{place + 1}"
    sources = _PHONES if is_phone else _WATCHES
    measures = is_phone or (number + place) % _WATCHES_PER_EVENT_SENDER == 0
    return Device(
        user_id=user_id,
        device_id=device_id,
        source=sources[(number + place) % len(sources)],
        offset_minutes=_OFFSETS_MINUTES[number % len(_OFFSETS_MINUTES)],
        event_hours=HOURS if is_phone else _DAYTIME if measures else range(0),
        heart_rate_share=0.25 if is_phone else 1,
        has_counter=not is_phone,
        sync_minute=below(draw_of(plan.seed, user_id, device_id), MINUTES_PER_HOUR),
    )


def _restart(draw: Draw, resets: float) -> tuple[int, int]:
    """The hour and minute at which the counter restarts; hour -1 is never."""
    is_restarting = draw() < resets
    hour = _RESTART_HOURS[below(draw, len(_RESTART_HOURS))]
    minute = below(draw, MINUTES_PER_HOUR)
    return (hour if is_restarting else -1), minute


def _minutes(draw: Draw, hour: int, heart_rate_share: float) -> list[Minute]:
    """About a third of an hour's minutes, of most hours awake and few asleep.

    Most of a simulation's time passes here, so it spells out what `below` does.
    """
    if draw() > (0.1 if hour in _ASLEEP else 0.9):
        return []
    return [
        Minute(
            minute,
            int(draw() * _STEPS_SPAN),
            _MOTION_MIN + int(draw() * _MOTION_SPAN) if draw() < _CALORIES_SHARE else None,
            _HEART_MIN + int(draw() * _HEART_SPAN) if draw() < heart_rate_share else None,
        )
        for minute in range(MINUTES_PER_HOUR)
        if draw() < _MOVING_SHARE
    ]


def _counted(before: Reading, minutes: list[Minute], rest: int, *, since: int) -> Reading:
    """The counter at the end of an hour, having counted from its minute `since`."""
    counted = [minute for minute in minutes if minute.minute >= since]
    return Reading(
        before.restarts,
        before.steps + sum(minute.steps for minute in counted),
        before.calories_out
        + sum(minute.calories_out or 0 for minute in counted)
        + rest * (MINUTES_PER_HOUR - since),
    )
