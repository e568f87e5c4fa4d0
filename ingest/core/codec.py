"""Bytes to rows and back.

A message whose every record is valid goes straight from bytes to rows, here. Any other is taken
apart record by record in `careful.py`, so that a bad record never costs its neighbours. What the
straight way accepts, the careful way accepts with the same rows (a law in the tests).
"""

from collections.abc import Sequence
from typing import Any, Final, cast

import orjson
from pydantic_core import ValidationError

from ingest.core.careful import decode_carefully
from ingest.core.records import Event, Kind, Record, Snapshot, number_of
from ingest.core.refusals import Decoded, refused_whole
from ingest.core.rows import events_of, fingerprint_of, snapshots_of
from ingest.core.schema import EVENT_LIST, ONE_EVENT, ONE_SNAPSHOT, SNAPSHOT_LIST, Shape
from ingest.core.timestamps import MINUTE_MS, text_of
from ingest.errors import Reason, RecordRefused

MESSAGE_BYTES_MAX: Final = 1024 * 1024
_values: Final = dict.values


def decode(message: bytes, kind: Kind | None, *, latest_ms: int) -> Decoded:
    """The rows and refusals of one message; never raises, whatever the bytes.

    `kind` is None where the message's own fields must tell it. `latest_ms` is the latest instant
    a record may carry (now + FUTURE_SKEW_MAX).
    """
    if len(message) > MESSAGE_BYTES_MAX:
        return refused_whole(message, RecordRefused(Reason.MESSAGE_TOO_LARGE, "message"))
    shape = _shape_of(message, kind)
    if shape is not None:
        try:
            return _decode_straight(message, shape, latest_ms)
        except (ValidationError, RecordRefused):
            pass  # the careful way tells what is wrong with which record
    return decode_carefully(message, kind, latest_ms)


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


def _shape_of(message: bytes, kind: Kind | None) -> Shape | None:
    """A guess from the text alone; None, or a wrong one, sends the message the careful way."""
    if kind is Kind.ACTIVITY:
        return EVENT_LIST if b'"events"' in message else ONE_EVENT
    if kind is Kind.HEALTH:
        return SNAPSHOT_LIST if b'"snapshots"' in message else ONE_SNAPSHOT
    has_events, has_snapshots = b'"events"' in message, b'"snapshots"' in message
    if has_events or has_snapshots:
        if has_events and has_snapshots:
            return None
        return EVENT_LIST if has_events else SNAPSHOT_LIST
    has_event, has_snapshot = b'"ts"' in message, b'"timestamp"' in message
    if has_event == has_snapshot:
        return None
    return ONE_EVENT if has_event else ONE_SNAPSHOT


def _decode_straight(message: bytes, shape: Shape, latest_ms: int) -> Decoded:
    """Relies on pydantic writing a validated TypedDict's fields in the order of the schema."""
    kind, list_field, validator = shape
    valid = validator.validate_json(message)
    if list_field is None:
        user_id, device_id, source, key, *record = valid.values()
        records = [record]
    else:
        user_id, device_id, source, key, fields = valid.values()
        records = [*map(_values, fields)]
    rows_of = events_of if kind is Kind.ACTIVITY else snapshots_of
    rows = rows_of(user_id, device_id, source, records, latest_ms)
    if key is None:
        return Decoded(kind, user_id, len(rows), rows, (), None, None)
    printed = [[*values] for values in records]
    fingerprint = fingerprint_of(kind, user_id, device_id, source, printed)
    return Decoded(kind, user_id, len(rows), rows, (), key, fingerprint)
