"""How totals, deltas, events and refusals are shown (DESIGN sections 5 and 9)."""

import base64

from ingest.core.deltas import SnapshotRules, deltas_of
from ingest.core.documents import (
    dead_letter_document,
    delta_document,
    event_document,
    total_message,
)
from ingest.core.records import Day, Event, Snapshot
from ingest.core.refusals import Refusal
from ingest.core.totals import Rules, recompute
from ingest.errors import Reason
from tests.core.folding import NOW

DAY = Day("u1", "2025-11-13")
EVENT = Event("u1", "watch", "FITBIT", 29_383_230, DAY.date, 12, 35_001, 610_000, 2)
SNAPSHOT = Snapshot("u1", "phone", "GARMIN", DAY.date, 1_762_993_800_007, 100, 105_000, None, 0)


def test_a_total_is_shown_with_ordinary_numbers_and_its_devices_in_order():
    total = recompute(DAY, [EVENT], [SNAPSHOT], Rules(), NOW)
    assert total is not None
    shown = total_message(total._replace(revision=3))
    assert shown == {
        "user_id": "u1",
        "date": "2025-11-13",
        "steps": 100,
        "calories_out": 10.5,
        "hr_avg": 61.0,
        "basis": "mixed",
        "devices": {
            "phone": {"steps": 100, "calories_out": 10.5, "basis": "snapshots"},
            "watch": {"steps": 12, "calories_out": 3.5001, "basis": "events"},
        },
        "events_count": 1,
        "snapshots_count": 1,
        "resets": 0,
        "revision": 3,
        "updated_at": NOW,
    }
    assert [*shown["devices"]] == ["phone", "watch"]


def test_a_delta_is_shown_with_its_snapshots_totals():
    later = SNAPSHOT._replace(timestamp_ms=1_762_993_860_000, steps_total=40)
    assert delta_document(deltas_of([SNAPSHOT, later], SnapshotRules())[1]) == {
        "user_id": "u1",
        "device_id": "phone",
        "date": "2025-11-13",
        "timestamp": "2025-11-13T00:31:00+00:00",
        "kind": "reset",
        "steps_delta": 40,
        "calories_out_delta": 10.5,
        "steps_total": 40,
        "calories_out_total": 10.5,
    }


def test_an_event_is_shown_at_its_utc_minute_with_what_it_has_not_as_none():
    assert event_document(EVENT._replace(hr_avg=None)) == {
        "user_id": "u1",
        "device_id": "watch",
        "source": "FITBIT",
        "ts": "2025-11-13T00:30:00+00:00",
        "date": "2025-11-13",
        "steps": 12,
        "calories_out": 3.5001,
        "hr_avg": None,
        "version": 2,
    }


def test_a_dead_letter_shows_where_it_came_from_and_its_original_text():
    refusal = Refusal(Reason.NEGATIVE_VALUE, "steps", 4, 1, b'{"a":"\xc3\xa9"}')
    assert dead_letter_document(refusal, "syncs.ndjson", 7) == {
        "reason": "NEGATIVE_VALUE",
        "field": "steps",
        "origin": "syncs.ndjson",
        "line": 7,
        "record": 4,
        "records": 1,
        "original": '{"a":"é"}',
    }


def test_a_dead_letter_that_is_not_utf_8_shows_its_bytes_in_base64():
    refusal = Refusal(Reason.MALFORMED_MESSAGE, "message", None, 1, b"\xff\x00")
    document = dead_letter_document(refusal, "-", 1)
    assert "original" not in document
    assert base64.b64decode(document["original_base64"]) == b"\xff\x00"
