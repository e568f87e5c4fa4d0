"""Records and messages as a device writes them: DESIGN section 2, from what the device did."""

from datetime import date
from typing import Literal

from ingest.core.records import SCALE
from ingest.simulation.devices import Device, Hour, Minute, Reading
from ingest.simulation.draws import Draw, below

Fields = dict[str, object]
ListField = Literal["events", "snapshots"]


def events_of(device: Device, day: date, hour: Hour) -> list[Fields]:
    """The hour's minutes as events, written at the user's offset."""
    opening, offset = f"{day}T{hour.hour:02d}:", _offset_text(device.offset_minutes)
    return [_event(minute, f"{opening}{minute.minute:02d}:00{offset}") for minute in hour.minutes]


def snapshot_of(device: Device, day: date, hour: int, reading: Reading) -> Fields:
    """What a counter shows in the last minute of an hour."""
    second, offset = device.sync_minute, _offset_text(device.offset_minutes)
    return {
        "date": f"{day}",
        "timestamp": f"{day}T{hour:02d}:59:{second:02d}{offset}",
        "steps_total": reading.steps,
        "calories_out_total": reading.calories_out / SCALE,
    }


def message_fields(
    device: Device, list_field: ListField, records: list[Fields], idempotency_key: str | None
) -> Fields:
    """A message with its records in a list."""
    fields: Fields = {
        "user_id": device.user_id,
        "device_id": device.device_id,
        "source": device.source,
    }
    if idempotency_key is not None:
        fields["idempotency_key"] = idempotency_key
    fields[list_field] = records
    return fields


def inlined(message: Fields, list_field: ListField, record: Fields) -> Fields:
    """The message of one record with the record's fields beside its own."""
    return {field: value for field, value in message.items() if field != list_field} | record


def mistaken(draw: Draw, record: Fields) -> Fields:
    """The same record with values the device did not measure."""
    match record:
        case {"ts": ts, "steps": int(steps)}:
            return {"ts": ts, "steps": steps + 1 + below(draw, 500), "calories_out": 9.9999}
        case {"steps_total": int(total)}:
            wrong = below(draw, total) if total and draw() < 1 / 2 else total + 1 + below(draw, 500)
            return {**record, "steps_total": wrong}
    raise ValueError("neither an event with steps nor a snapshot")


def _event(minute: Minute, ts: str) -> Fields:
    fields: Fields = {"ts": ts, "steps": minute.steps}
    if minute.calories_out is not None:
        fields["calories_out"] = minute.calories_out / SCALE
    if minute.hr_avg is not None:
        fields["hr_avg"] = minute.hr_avg / 10
    return fields


def _offset_text(minutes: int) -> str:
    hour, minute = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hour:02d}:{minute:02d}"
