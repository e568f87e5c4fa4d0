"""What makes two messages with one idempotency key the same message (DESIGN section 3)."""

import pytest

from ingest.core.careful import decode_carefully
from ingest.core.records import Kind
from ingest.core.timestamps import Window
from tests.core.messages import (
    EVENT,
    LATEST_MS,
    SNAPSHOT,
    TS,
    activity,
    event_text,
    health,
    inlined,
    read,
    snapshot_text,
)

KEY = {"idempotency_key": '"k"'}


def of_event(**changes: str) -> str | None:
    return read(activity(event_text(**changes), **KEY)).fingerprint


def of_snapshot(**changes: str) -> str | None:
    return read(health(snapshot_text(**changes), **KEY)).fingerprint


EVENT_PRINT = of_event()
SNAPSHOT_PRINT = of_snapshot()
SAME_EVENTS = [
    activity(f'{{"steps":12,"ts":{TS}}}', **KEY),
    activity(f'{{ "steps" :\t12 ,\n"ts" : {TS} }}', **KEY),
    activity(event_text(steps="12.0"), **KEY),
    activity(event_text(steps="1.2e1"), **KEY),
    activity(event_text(calories_out="null", hr_avg="null", version="null"), **KEY),
    activity(event_text(version="0"), **KEY),
    activity(event_text(note='"new in this phone"'), **KEY),
    activity(event_text(), device_id='"default"', source='"MANUAL"', **KEY),
    activity(event_text(), device_id="null", source="null", **KEY),
    activity(event_text(), note='"new in this phone"', **KEY),
    activity(event_text(), idempotency_key='"another"'),
    inlined(EVENT, **KEY),
    inlined({**EVENT, "steps": "12.0", "hr_avg": "null"}, **KEY),
]
SAME_SNAPSHOTS = [
    health(snapshot_text(steps_total="100.0"), **KEY),
    health(snapshot_text(calories_out_total="10.50"), **KEY),
    health(snapshot_text(hr_avg_session="null"), **KEY),
    inlined(SNAPSHOT, **KEY),
    inlined({**SNAPSHOT, "version": "0.0"}, **KEY),
]


@pytest.mark.parametrize("text", SAME_EVENTS)
def test_however_events_are_written_their_fingerprint_is_the_same(text):
    assert read(text).fingerprint == EVENT_PRINT


@pytest.mark.parametrize("text", SAME_SNAPSHOTS)
def test_however_snapshots_are_written_their_fingerprint_is_the_same(text):
    assert read(text).fingerprint == SNAPSHOT_PRINT


OTHER_EVENTS = [
    activity(event_text(steps="13"), **KEY),
    activity(event_text(steps="-1"), **KEY),
    activity(event_text(calories_out="0"), **KEY),
    activity(event_text(hr_avg="60"), **KEY),
    activity(event_text(version="1"), **KEY),
    activity(event_text(ts='"2025-11-13T00:31:00Z"'), **KEY),
    activity(event_text(ts='"2025-11-13T00:30:01Z"'), **KEY),  # the same minute
    activity(event_text(ts='"2025-11-13T01:30:00+01:00"'), **KEY),  # the same instant
    activity(event_text(), device_id='"watch"', **KEY),
    activity(event_text(), source='"FITBIT"', **KEY),
    activity(event_text(), event_text(), **KEY),
    activity(event_text(), "null", **KEY),
    activity("null", **KEY),
    activity(event_text(), **KEY).replace(b"u1", b"u2"),
]
OTHER_SNAPSHOTS = [
    health(snapshot_text(date='"2025-11-12"'), **KEY),
    health(snapshot_text(timestamp='"2025-11-13T10:00:01Z"'), **KEY),
    health(snapshot_text(steps_total="101"), **KEY),
    health(snapshot_text(calories_out_total="10.51"), **KEY),
    health(snapshot_text(hr_avg_session="60"), **KEY),
    health(snapshot_text(version="1"), **KEY),
    health(snapshot_text(), device_id='"watch"', **KEY),
    health(snapshot_text(), source='"FITBIT"', **KEY),
]


def test_whatever_differs_between_events_their_fingerprints_differ():
    prints = [read(text).fingerprint for text in OTHER_EVENTS]
    assert None not in prints
    assert len({*prints, EVENT_PRINT}) == len(OTHER_EVENTS) + 1


def test_whatever_differs_between_snapshots_their_fingerprints_differ():
    prints = [read(text).fingerprint for text in OTHER_SNAPSHOTS]
    assert None not in prints
    assert len({*prints, SNAPSHOT_PRINT}) == len(OTHER_SNAPSHOTS) + 1


def test_the_order_of_records_is_part_of_the_message():
    early, late = event_text(), event_text(ts='"2025-11-13T00:31:00Z"')
    forwards = read(activity(early, late, **KEY)).fingerprint
    assert forwards != read(activity(late, early, **KEY)).fingerprint


def test_a_message_without_a_key_has_no_fingerprint():
    for record in (event_text(), event_text(steps="12.0")):
        decoded = read(activity(record))
        assert (decoded.idempotency_key, decoded.fingerprint) == (None, None)


@pytest.mark.parametrize("record", ['["2025-11-13T00:30:00Z",12,null,null,0]', '"{}"', "{}"])
def test_a_record_that_is_no_object_is_not_taken_for_one_with_the_same_values(record):
    good = read(activity(event_text(), event_text(), **KEY))
    bad = read(activity(event_text(), record, **KEY))
    assert bad.fingerprint != good.fingerprint


def test_records_that_are_refused_differ_in_the_fingerprint_too():
    refused = ('"{}"', "{}", "[]", "null", '{"steps":-1}', '{"steps":-2}', '{"ts":"x"}', '"x"')
    prints = {read(activity(event_text(), bad, **KEY)).fingerprint for bad in refused}
    assert len(prints) == len(refused)


def test_a_refused_record_is_the_same_however_its_fields_are_ordered_and_spaced():
    texts = ('{"steps":-1,"x":{"a":1,"b":2}}', '{ "x" : {"b":2, "a":1},\n"steps":-1 }')
    prints = {read(activity(event_text(), bad, **KEY)).fingerprint for bad in texts}
    assert len(prints) == 1


@pytest.mark.parametrize("kind", Kind)
def test_the_fingerprint_does_not_depend_on_the_clock(kind):
    text = {
        Kind.ACTIVITY: activity(event_text(), event_text(steps="7"), **KEY),
        Kind.HEALTH: health(snapshot_text(), snapshot_text(steps_total="7"), **KEY),
    }[kind]
    later, early = (
        decode_carefully(text, kind, Window(0, LATEST_MS)),
        decode_carefully(text, kind, Window(0, 0)),
    )
    assert [r.reason for r in early.refusals] == ["FUTURE_TIMESTAMP"] * 2
    assert early.fingerprint == later.fingerprint == read(text, kind).fingerprint
