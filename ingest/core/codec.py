"""Bytes to rows and back.

A message whose every record is valid goes straight from bytes to rows, here. Any other is taken
apart record by record in `careful.py`, so that a bad record never costs its neighbours. What the
straight way accepts, the careful way accepts with the same rows (a law in the tests).
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

import orjson
from pydantic_core import ValidationError

from ingest.core.careful import decode_carefully
from ingest.core.records import Event, Kind, Record, Snapshot, number_of
from ingest.core.refusals import Decoded, refused_whole
from ingest.core.rows import events_of, fingerprint_of, snapshots_of
from ingest.core.schema import MESSAGE
from ingest.core.timestamps import MINUTE_MS, Window, text_of
from ingest.errors import Reason, RecordRefused

MESSAGE_BYTES_MAX: Final = 1024 * 1024


def decode(message: bytes, kind: Kind | None, window: Window) -> Decoded:
    """The rows and refusals of one message; never raises, whatever the bytes.

    `kind` is None where the message's own fields must tell it.
    """
    if len(message) > MESSAGE_BYTES_MAX:
        return refused_whole(message, RecordRefused(Reason.MESSAGE_TOO_LARGE, "message"))
    try:
        decoded = _decode_straight(message, kind, window)
    except (ValidationError, RecordRefused):
        decoded = None  # the careful way tells what is wrong with which record
    if decoded is not None:
        return decoded
    return decode_carefully(message, kind, window)


def encode(
    rows: Sequence[Record], *, offset_minutes: int = 0, idempotency_key: str | None = None
) -> bytes:
    """The message that `decode` reads back as `rows`: all of one kind, user, device and source.

    Times are written at `offset_minutes` east of UTC, which must give each event its date.
    """
    first = rows[0]
    message: dict[str, Any] = {
        "user_id": first.user_id,
        "device_id": first.device_id,
        "source": first.source,
    }
    if idempotency_key is not None:
        message["idempotency_key"] = idempotency_key
    if isinstance(first, Event):
        message["events"] = [event_fields(cast("Event", row), offset_minutes) for row in rows]
    else:
        message["snapshots"] = [
            snapshot_fields(cast("Snapshot", row), offset_minutes) for row in rows
        ]
    return orjson.dumps(message)


def event_fields(event: Event, offset_minutes: int) -> dict[str, Any]:
    """One event as a message writes it, without the measures it has not."""
    fields = {
        "ts": text_of(event.minute * MINUTE_MS, offset_minutes),
        "steps": event.steps,
        "calories_out": number_of(event.calories_out),
        "hr_avg": number_of(event.hr_avg),
        "version": event.version or None,
    }
    return {field: value for field, value in fields.items() if value is not None}


def snapshot_fields(snapshot: Snapshot, offset_minutes: int) -> dict[str, Any]:
    """One snapshot as a message writes it."""
    fields = {
        "date": snapshot.date,
        "timestamp": text_of(snapshot.timestamp_ms, offset_minutes),
        "steps_total": snapshot.steps_total,
        "calories_out_total": number_of(snapshot.calories_out_total),
        "hr_avg_session": number_of(snapshot.hr_avg_session),
        "version": snapshot.version or None,
    }
    return {field: value for field, value in fields.items() if value is not None}


def _decode_straight(message: bytes, kind: Kind | None, window: Window) -> Decoded | None:
    """The message if it is of one kind and every record is valid; else None, or an error.

    Unpacks the values of `schema.Message` in its order, which pydantic keeps.
    """
    (
        user_id, device_id, source, key, events, snapshots,
        ts, steps, calories_out, hr_avg, version,
        date, timestamp, steps_total, calories_out_total, hr_avg_session,
    ) = _validate(message).values()  # fmt: skip
    records: Sequence[Iterable[Any]]
    if events is not None and kind is not _HEALTH:
        if kind is None and snapshots is not None:
            return None
        kind, records = _ACTIVITY, [*map(_values, events)]
    elif snapshots is not None and kind is not _ACTIVITY:
        kind, records = _HEALTH, [*map(_values, snapshots)]
    elif ts is not None and kind is not _HEALTH:
        if kind is None and timestamp is not None:
            return None
        kind, records = _ACTIVITY, ((ts, steps, calories_out, hr_avg, version),)
    else:
        record = (date, timestamp, steps_total, calories_out_total, hr_avg_session, version)
        if kind is _ACTIVITY or None in record[:4]:
            return None
        kind, records = _HEALTH, (record,)
    rows_of = events_of if kind is _ACTIVITY else snapshots_of
    rows = rows_of(user_id, device_id, source, records, window)
    fingerprint = None
    if key is not None:
        printed = [[*values] for values in records]
        fingerprint = fingerprint_of(kind, user_id, device_id, source, printed)
    return _new(Decoded, (kind, user_id, len(rows), rows, (), key, fingerprint))


_validate: Final = MESSAGE.validate_json
_values: Final = dict.values
_new: Final = tuple.__new__
# A member read from its class costs as much as a record's sum (Python 3.11).
_ACTIVITY: Final = Kind.ACTIVITY
_HEALTH: Final = Kind.HEALTH
