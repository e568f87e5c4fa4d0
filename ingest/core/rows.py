"""Validated values to rows: the checks that need more than a type, and the units.

`events_of` is the hottest loop of the decoder, so it spells out what `records.units` does.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Final

import orjson

from ingest.core.records import SCALE, TIE, Event, Kind, Snapshot, shared_date, units
from ingest.core.timestamps import Window, days_between, instant_of, minute_of
from ingest.errors import Reason, RecordRefused

DATE_DISTANCE_MAX_DAYS: Final = 2
_new: Final = tuple.__new__


def events_of(
    user_id: str, device_id: str, source: str, records: Iterable[Iterable[Any]], window: Window
) -> list[Event]:
    """Rows of records whose values stand in the order of `schema.EventFields`.

    Raises `RecordRefused` at the first record with a time that is not RFC 3339, naive or outside
    the window, or with no measure at all.
    """
    rows = []
    earliest_ms, latest_ms = window
    for ts, steps, kcal, bpm, version in records:
        minute, date, ms = minute_of(ts)
        if not earliest_ms <= ms <= latest_ms:
            raise RecordRefused(window.reason_of(ms), "ts")
        calories_out = hr_avg = None
        if kcal is not None:
            product = kcal * SCALE
            nearest = round(product)
            calories_out = nearest if -TIE < product - nearest < TIE else units(kcal)
        if bpm is not None:
            hr_avg = units(bpm)
        elif kcal is None and steps is None:
            raise RecordRefused(Reason.INVALID_RECORD, "steps, calories_out or hr_avg")
        rows.append(
            _new(
                Event,
                (user_id, device_id, source, minute, date, steps, calories_out, hr_avg, version),
            )
        )
    return rows


def snapshots_of(
    user_id: str, device_id: str, source: str, records: Iterable[Iterable[Any]], window: Window
) -> list[Snapshot]:
    """Rows of records whose values stand in the order of `schema.SnapshotFields`.

    Raises `RecordRefused` as `events_of` does, and where the date is none or lies more than two
    days from the timestamp's.
    """
    rows = []
    for date, timestamp, steps_total, calories_out_total, hr_avg_session, version in records:
        instant = instant_of(timestamp, "timestamp")
        if not window.earliest_ms <= instant.ms <= window.latest_ms:
            raise RecordRefused(window.reason_of(instant.ms), "timestamp")
        rows.append(
            Snapshot(
                user_id,
                device_id,
                source,
                _date_near(date, instant.date),
                instant.ms,
                steps_total,
                units(calories_out_total),
                None if hr_avg_session is None else units(hr_avg_session),
                version,
            )
        )
    return rows


def fingerprint_of(
    kind: Kind, user_id: str, device_id: str, source: str, records: Iterable[Any]
) -> str:
    """What makes two messages the same: every value of every record, times as they are written.

    `records` are lists of validated values, or the JSON text of a record that is not valid.
    """
    text = orjson.dumps([kind, user_id, device_id, source, records])
    return blake2b(text, digest_size=16).hexdigest()


def _date_near(date: str, timestamp_date: str) -> str:
    try:
        distance = abs(days_between(date, timestamp_date))
    except ValueError:
        raise RecordRefused(Reason.INVALID_RECORD, "date") from None
    if distance > DATE_DISTANCE_MAX_DAYS:
        raise RecordRefused(Reason.INVALID_RECORD, "date")
    return shared_date(date)
