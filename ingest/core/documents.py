"""How rows and totals are shown: the field names, order and ordinary numbers of DESIGN 5 and 9."""

import base64
from typing import Any

from ingest.core.deltas import Delta
from ingest.core.records import Event, number_of
from ingest.core.refusals import Refusal
from ingest.core.timestamps import MINUTE_MS, text_of
from ingest.core.totals import DailyTotal

Document = dict[str, Any]


def total_message(total: DailyTotal) -> Document:
    """The message of `daily-totals` (DESIGN section 5)."""
    return {
        "user_id": total.day.user_id,
        "date": total.day.date,
        "steps": total.steps,
        "calories_out": number_of(total.calories_out),
        "hr_avg": number_of(total.hr_avg),
        "basis": total.basis,
        "devices": {
            device_id: {
                "steps": device.steps,
                "calories_out": number_of(device.calories_out),
                "basis": device.basis,
            }
            for device_id, device in sorted(total.devices.items())
        },
        "events_count": total.events_count,
        "snapshots_count": total.snapshots_count,
        "resets": total.resets,
        "revision": total.revision,
        "updated_at": total.updated_at,
    }


def delta_document(delta: Delta) -> Document:
    """One line of `--deltas` (DESIGN section 9)."""
    snapshot = delta.snapshot
    return {
        "user_id": snapshot.user_id,
        "device_id": snapshot.device_id,
        "date": snapshot.date,
        "timestamp": text_of(snapshot.timestamp_ms, 0),
        "kind": delta.kind,
        "steps_delta": delta.steps,
        "calories_out_delta": number_of(delta.calories_out),
        "steps_total": snapshot.steps_total,
        "calories_out_total": number_of(snapshot.calories_out_total),
    }


def event_document(event: Event) -> Document:
    """One stored event, its minute as a UTC time."""
    return {
        "user_id": event.user_id,
        "device_id": event.device_id,
        "source": event.source,
        "ts": text_of(event.minute * MINUTE_MS, 0),
        "date": event.date,
        "steps": event.steps,
        "calories_out": number_of(event.calories_out),
        "hr_avg": number_of(event.hr_avg),
        "version": event.version,
    }


def dead_letter_document(refusal: Refusal, origin: str, offset: int) -> Document:
    """One line of `--dead-letters`: the original as text, or in base64 where it is not UTF-8."""
    return {
        "reason": refusal.reason,
        "field": refusal.field,
        "origin": origin,
        "line": offset,
        "record": refusal.place,
        "records": refusal.records,
        **original_document(refusal.original),
    }


def original_document(original: bytes) -> Document:
    """What was refused, as text, or in base64 where it is not UTF-8."""
    try:
        return {"original": original.decode()}
    except UnicodeDecodeError:
        return {"original_base64": base64.b64encode(original).decode()}
