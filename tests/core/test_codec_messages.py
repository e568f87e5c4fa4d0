"""Rules about a message as a whole: its bytes, its list, its kind, and its bad neighbours."""

import json

import pytest

from ingest.core.careful import decode_carefully
from ingest.core.codec import MESSAGE_BYTES_MAX
from ingest.core.records import Kind
from ingest.core.timestamps import Window
from ingest.errors import Reason
from tests.core.messages import (
    EVENT,
    LATEST_MS,
    SNAPSHOT,
    TS,
    activity,
    event_text,
    health,
    inlined,
    object_text,
    read,
    reasons,
    snapshot_text,
)

GOOD = activity(event_text())
BOTH_LISTS = object_text(
    {
        "user_id": '"u1"',
        "events": f"[{event_text()}]",
        "snapshots": f"[{snapshot_text()},{snapshot_text()}]",
    }
).encode()
BOTH_INLINED = inlined({**EVENT, **SNAPSHOT})
MALFORMED = [
    (b"", "nothing"),
    (b" ", "a space"),
    (b"\xff\xfe", "not UTF-8"),
    (GOOD.replace(b"u1", b"u\xff"), "not UTF-8 in a value"),
    (GOOD.replace(b'{"user', b'{"\xc3":1,"user'), "not UTF-8 in an unknown key"),
    (GOOD.decode().encode("utf-16"), "UTF-16"),
    (b"\xef\xbb\xbf" + GOOD, "a byte order mark"),
    (GOOD[:-1], "half"),
    (GOOD + GOOD, "two"),
    (GOOD + b"\x00", "NUL behind"),
    (GOOD.replace(b"u1", b"u\x00"), "NUL inside"),
    (GOOD.replace(b"u1", b"\\ud800"), "a lone surrogate"),
    (GOOD.replace(b'"user_id"', b'"x":"\\udfff","user_id"'), "a lone surrogate elsewhere"),
    (b"[]", "a list"),
    (b"null", "null"),
    (b"7", "a number"),
    (b'"events"', "a text"),
    (b"{}", "no field"),
    (b'{"user_id":"u1"}', "no record"),
    (b"[" * 500_000, "nested deep"),
    (b'{"a":' * 100_000, "objects nested deep"),
    (GOOD[:-1] + b',"x":' + b"[" * 300 + b"]" * 300 + b"}", "an extra nested deep"),
    (activity(), "an empty list"),
    (health(), "an empty list of snapshots"),
    (b'{"user_id":"u1","events":{"ts":' + TS.encode() + b',"steps":1}}', "a list that is none"),
    (b'{"user_id":"u1","events":"[]"}', "a list that is a text"),
    (b'{"user_id":"u1","snapshots":7}', "a list that is a number"),
    (BOTH_LISTS, "both lists"),
    (BOTH_INLINED, "both inlined"),
]


def told(name: str) -> str:
    return name if isinstance(name, str) else ""


@pytest.mark.parametrize(("text", "what"), MALFORMED, ids=told)
def test_a_message_that_cannot_be_read_is_one_refused_record(text, what):
    decoded = read(text)
    (refusal,) = decoded.refusals
    assert refusal.reason is Reason.MALFORMED_MESSAGE
    assert (refusal.place, refusal.records, refusal.original) == (None, 1, text)
    assert (decoded.kind, decoded.user_id, decoded.records, decoded.rows) == (None, "", 1, ())


def test_a_message_of_exactly_1_mib_is_read():
    text = GOOD + b" " * (MESSAGE_BYTES_MAX - len(GOOD))
    assert len(text) == 1_048_576
    assert len(read(text).rows) == 1


def test_a_message_of_one_byte_more_than_1_mib_is_too_large():
    text = GOOD + b" " * (1_048_577 - len(GOOD))
    decoded = read(text)
    assert reasons(decoded) == [("MESSAGE_TOO_LARGE", "message")]
    assert decoded.records == 1
    assert decoded.refusals[0].original == text


@pytest.mark.parametrize(
    ("record", "build"),
    [(event_text(), activity), (snapshot_text(), health)],
    ids=["events", "snapshots"],
)
def test_10_000_records_are_read_and_10_001_are_too_many(record, build):
    assert len(read(build(*[record] * 10_000)).rows) == 10_000
    decoded = read(build(*[record] * 10_001))
    assert [r.reason for r in decoded.refusals] == ["TOO_MANY_RECORDS"]
    assert decoded.records == decoded.refusals[0].records == 10_001
    assert list(decoded.rows) == []


def test_a_broken_envelope_refuses_every_record_of_the_message():
    text = activity(event_text(), event_text(), source='"fitbit"')
    (refusal,) = read(text).refusals
    assert (refusal.reason, refusal.field) == ("INVALID_RECORD", "source")
    assert (refusal.place, refusal.records, refusal.original) == (None, 2, text)


KINDS = [
    (activity(event_text()), None, Kind.ACTIVITY),
    (health(snapshot_text()), None, Kind.HEALTH),
    (inlined(EVENT), None, Kind.ACTIVITY),
    (inlined(SNAPSHOT), None, Kind.HEALTH),
    (inlined(EVENT), Kind.ACTIVITY, Kind.ACTIVITY),
    (inlined(SNAPSHOT), Kind.HEALTH, Kind.HEALTH),
    (BOTH_LISTS, Kind.ACTIVITY, Kind.ACTIVITY),
    (BOTH_LISTS, Kind.HEALTH, Kind.HEALTH),
    (BOTH_INLINED, Kind.ACTIVITY, Kind.ACTIVITY),
    (BOTH_INLINED, Kind.HEALTH, Kind.HEALTH),
    (activity(event_text(snapshots="[1]")), None, Kind.ACTIVITY),
    (activity(event_text(note='"timestamp"')), None, Kind.ACTIVITY),
    (health(snapshot_text(events="[]", ts="1")), None, Kind.HEALTH),
    (inlined({**EVENT, "note": '"events"'}), None, Kind.ACTIVITY),
    (inlined({**EVENT, "note": '"timestamp"'}), None, Kind.ACTIVITY),
    (inlined({**SNAPSHOT, "note": '"ts"'}), None, Kind.HEALTH),
    (inlined({**SNAPSHOT, "note": '["snapshots", "events"]'}), None, Kind.HEALTH),
    (inlined({**SNAPSHOT, "note": '"snapshots"'}), Kind.HEALTH, Kind.HEALTH),
    (inlined({**EVENT, "note": '{"events": []}'}), Kind.ACTIVITY, Kind.ACTIVITY),
    (inlined({**EVENT, "events": "null", "snapshots": "null"}), None, Kind.ACTIVITY),
    (inlined({**EVENT, "events": "null", "timestamp": "null"}), Kind.ACTIVITY, Kind.ACTIVITY),
    (health(snapshot_text(), events="null", ts=TS), None, Kind.HEALTH),
    (activity(event_text(), steps='"x"', date="7"), None, Kind.ACTIVITY),
    (health(snapshot_text(), events="[{}]"), Kind.HEALTH, Kind.HEALTH),
    (activity(event_text()).replace(b"events", b"\\u0065vents"), None, Kind.ACTIVITY),
    (inlined(EVENT).replace(b"ts", b"\\u0074s"), None, Kind.ACTIVITY),
]


@pytest.mark.parametrize(("text", "kind", "expected"), KINDS)
def test_the_topic_tells_the_kind_and_without_one_the_fields_do(text, kind, expected):
    decoded = read(text, kind)
    assert decoded.kind is expected
    assert not decoded.refusals
    assert len(decoded.rows) == decoded.records


def test_each_topic_takes_its_own_list_of_a_message_with_both():
    assert len(read(BOTH_LISTS, Kind.ACTIVITY).rows) == 1
    assert len(read(BOTH_LISTS, Kind.HEALTH).rows) == 2


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (activity(event_text()), Kind.HEALTH),
        (health(snapshot_text()), Kind.ACTIVITY),
        (inlined(EVENT), Kind.HEALTH),
        (inlined(SNAPSHOT), Kind.ACTIVITY),
    ],
)
def test_another_topics_records_are_malformed(text, kind):
    assert [r.reason for r in read(text, kind).refusals] == ["MALFORMED_MESSAGE"]


ESCAPED = [  # a field whose name is escaped is still that field
    (inlined({**EVENT, "\\u0065vents": f"[{event_text(steps='99')}]"}), Kind.ACTIVITY),
    (inlined({**EVENT, "\\u0074imestamp": '"x"'}), None),
    (inlined({**EVENT, "\\u0073napshots": "[]"}), None),
    (health(snapshot_text(), **{"\\u0065vents": "[]"}), None),
]


@pytest.mark.parametrize(("text", "kind"), ESCAPED)
def test_an_escaped_field_name_is_read_the_same_straight_and_carefully(text, kind):
    straight, careful = read(text, kind), decode_carefully(text, kind, Window(0, LATEST_MS))
    assert straight._replace(rows=[*straight.rows], refusals=[*straight.refusals]) == (
        careful._replace(rows=[*careful.rows], refusals=[*careful.refusals])
    )


@pytest.mark.parametrize("is_careful", [False, True], ids=["straight", "careful"])
def test_of_a_field_written_twice_the_last_one_counts(is_careful):
    version = ',"version":1.0' if is_careful else ""
    record = f'{{"ts":"never","ts":{TS},"steps":1,"steps":2{version}}}'
    lists = f'"events":[{event_text(steps="77")}],"events":[{record},{record}]'
    decoded = read(f'{{"user_id":"u0","user_id":"u1",{lists}}}'.encode())
    assert [(row.user_id, row.steps) for row in decoded.rows] == [("u1", 2), ("u1", 2)]


@pytest.mark.parametrize("before", ["[]", "[ ]", "7", "null", f"[{event_text(steps='-1')}]"])
def test_of_a_list_written_twice_the_last_ones_bytes_are_kept(before):
    bad = event_text(steps="-2")
    lists = f'"events":{before},"events":[{bad},{event_text()}]'
    (refusal,) = read(f'{{"user_id":"u1",{lists}}}'.encode(), Kind.ACTIVITY).refusals
    assert refusal.original.endswith(f'"events":[{bad}]}}'.encode())


BAD_RECORDS = [
    (event_text(steps="-1"), "NEGATIVE_VALUE"),
    (event_text(ts='"2025-11-13T00:30:00"'), "NAIVE_TIMESTAMP"),
    (event_text(ts='"2026-11-13T00:30:00Z"'), "FUTURE_TIMESTAMP"),
    ("{}", "INVALID_TIMESTAMP"),
    ("null", "INVALID_RECORD"),
    ("7", "INVALID_RECORD"),
    ('"x"', "INVALID_RECORD"),
    ("[]", "INVALID_RECORD"),
    ("[123456789012345678901234567890]", "INVALID_RECORD"),
    ('[{"a":[1e999,NaN]}]', "INVALID_RECORD"),
]


@pytest.mark.parametrize("key", ["null", '"k"'], ids=["without a key", "with a key"])
@pytest.mark.parametrize(("bad", "reason"), BAD_RECORDS)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_bad_record_never_costs_its_neighbours(bad, reason, place, key):
    steps = ["1", "2", "3"]
    records = [event_text(steps=count) for count in steps]
    records.insert(place, bad)
    decoded = read(activity(*records, idempotency_key=key))
    assert [row.steps for row in decoded.rows] == [1, 2, 3]
    (refusal,) = decoded.refusals
    assert (refusal.reason, refusal.place, refusal.records) == (reason, place, 1)
    assert decoded.records == 4
    assert refusal.original.endswith(f'"events":[{bad}]}}'.encode())


def test_a_refused_record_keeps_its_bytes_in_a_message_that_decodes_once_they_are_right():
    bad = '{ "steps" : -41 ,\t"ts":\n"2025-11-13T00:30:00+01:00", "né]}" : ["\\"}", {"a": []}] }'
    shared = {"device_id": '"watch"', "source": '"GARMIN"', "idempotency_key": '"k"'}
    decoded = read(activity(event_text(), bad, **shared))
    (refusal,) = decoded.refusals
    assert bad.encode() in refusal.original
    again = read(refusal.original)
    assert reasons(again) == [("NEGATIVE_VALUE", "steps")]
    assert again.idempotency_key is None
    (row,) = read(refusal.original.replace(b"-41", b"41")).rows
    assert (row.user_id, row.device_id, row.source) == ("u1", "watch", "GARMIN")
    assert (row.steps, row.date) == (41, "2025-11-13")


def test_a_refused_snapshot_keeps_its_bytes_as_an_event_does():
    bad = snapshot_text(steps_total="-41")
    (refusal,) = read(health(bad, snapshot_text())).refusals
    assert json.loads(refusal.original)["snapshots"] == [json.loads(bad)]
    assert len(read(refusal.original.replace(b"-41", b"41")).rows) == 1


@pytest.mark.parametrize(
    "text", [activity(event_text(steps="-1"), idempotency_key='"k"'), inlined({**EVENT, "ts": "1"})]
)
def test_of_a_message_with_one_record_the_original_is_the_message(text):
    (refusal,) = read(text).refusals
    assert (refusal.original, refusal.place) == (text, 0)


def test_10_000_bad_records_keep_bounded_bytes():
    longest = {"user_id": f'"{"u" * 128}"', "device_id": f'"{"d" * 128}"', "source": '"S"'}
    text = activity(*[event_text(steps="-1", note='"' + "n" * 40 + '"')] * 10_000, **longest)
    decoded = read(text)
    assert len(decoded.refusals) == decoded.records == 10_000
    assert sum(len(refusal.original) for refusal in decoded.refusals) < 600 * 10_000
