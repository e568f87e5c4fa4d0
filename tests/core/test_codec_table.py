"""Every rule of DESIGN section 2 about a field, both sides of each boundary."""

import pytest

from ingest.core.records import Kind
from tests.core.messages import ABSENT, RECORD, inlined, message, object_text, read, reasons

OK = "accepted"
ENVELOPE_FIELDS = ("user_id", "device_id", "source", "idempotency_key")
NAN_AND_INFINITY = ("NaN", "Infinity", "-Infinity", "1e999", "-1e999")
WRONG_TYPES = ('"5"', "true", "false", "[]", "[5]", "{}")

GOOD_IDS = ("a", "Z", "0", "x" * 128, "a.b", "a_b", "a:b", "a@b", "a-b", ".", "-", "A1._:@-z")
BAD_IDS = ('""', f'"{"x" * 129}"', '"a|b"', '"a b"', '"a/b"', '"a+b"', '"ü"', '"a\\n"', '"\\u0000"')
NO_TEXT = ("5", "true", "[]", "{}")

IDS = [
    *((field, f'"{good}"', OK) for field in ("user_id", "device_id") for good in GOOD_IDS),
    *((field, bad, "INVALID_ID") for field in ("user_id", "device_id") for bad in BAD_IDS),
    *((field, bad, "INVALID_ID") for field in ("user_id", "device_id") for bad in NO_TEXT),
    ("user_id", ABSENT, "INVALID_ID"),
    ("user_id", "null", "INVALID_ID"),
    ("device_id", ABSENT, OK),
    ("device_id", "null", OK),
    ("idempotency_key", '"k"', OK),
    ("idempotency_key", f'"{"k" * 255}"', OK),
    ("idempotency_key", f'"{"k" * 256}"', "INVALID_ID"),
    ("idempotency_key", '""', "INVALID_ID"),
    ("idempotency_key", "7", "INVALID_ID"),
    ("idempotency_key", "null", OK),
]
SOURCES = [
    *(("source", f'"{good}"', OK) for good in ("APPLE_HEALTH", "A", "A" * 64, "X2_", "NEW_VENDOR")),
    *(("source", f'"{bad}"', "INVALID_RECORD") for bad in ("", "A" * 65, "fitbit", "A-B", "Ä")),
    *(("source", bad, "INVALID_RECORD") for bad in NO_TEXT),
    ("source", ABSENT, OK),
    ("source", "null", OK),
]
TIMES = [
    ("2025-11-13T00:30:00Z", OK),
    ("2025-11-13t00:30:00z", OK),
    ("2025-11-13T00:30:00+01:00", OK),
    ("2025-11-13T00:30:00-09:30", OK),
    ("2025-11-13T00:30:00-00:00", OK),
    ("2025-11-13T00:30:00+23:59", OK),
    ("2025-11-13T00:30:00.5Z", OK),
    ("2025-11-13T00:30:00.123456789+01:00", OK),
    (f"2025-11-13T00:30:00.{'0' * 43}Z", OK),  # 64 characters
    (f"2025-11-13T00:30:00.{'0' * 44}Z", "INVALID_TIMESTAMP"),
    ("2024-02-29T00:30:00Z", OK),
    ("2025-11-13T23:59:59Z", OK),
    ("2000-01-01T00:00:00Z", OK),
    ("2000-01-01T00:30:00+00:30", OK),
    ("1999-12-31T23:59:59Z", "INVALID_TIMESTAMP"),
    ("1999-12-31T23:59:59.999Z", "INVALID_TIMESTAMP"),
    ("2000-01-01T00:29:59+00:30", "INVALID_TIMESTAMP"),
    ("0000-01-01T00:00:00Z", "INVALID_TIMESTAMP"),
    ("2025-11-14T12:00:00Z", OK),
    ("2025-11-14T13:00:00+01:00", OK),
    ("2025-11-14T12:00:00.0009Z", OK),
    ("2025-11-14T12:00:00.001Z", "FUTURE_TIMESTAMP"),
    ("2025-11-14T12:00:01Z", "FUTURE_TIMESTAMP"),
    ("2025-11-14T11:00:00-01:00", OK),
    ("2025-11-14T11:00:00-01:01", "FUTURE_TIMESTAMP"),
    ("9999-12-31T23:59:59-23:59", "FUTURE_TIMESTAMP"),
    ("2025-11-13T00:30:00", "NAIVE_TIMESTAMP"),
    ("2025-11-13T00:30:00.5", "NAIVE_TIMESTAMP"),
    ("2025-11-13T00:30", "INVALID_TIMESTAMP"),
    ("2025-11-13T00:30Z", "INVALID_TIMESTAMP"),
    ("2025-11-13", "INVALID_TIMESTAMP"),
    ("2025-13-01T00:30:00Z", "INVALID_TIMESTAMP"),
    ("2025-00-01T00:30:00Z", "INVALID_TIMESTAMP"),
    ("2025-02-29T00:30:00Z", "INVALID_TIMESTAMP"),
    ("2025-11-31T00:30:00Z", "INVALID_TIMESTAMP"),
    ("2025-11-00T00:30:00Z", "INVALID_TIMESTAMP"),
    ("2025-11-13T24:00:00Z", "INVALID_TIMESTAMP"),
    ("2025-11-13T00:60:00Z", "INVALID_TIMESTAMP"),
    ("2025-11-13T00:30:60Z", "INVALID_TIMESTAMP"),
    ("2025-11-13T00:30:00+24:00", "INVALID_TIMESTAMP"),
    ("2025-11-13T00:30:00+01:60", "INVALID_TIMESTAMP"),
    ("2025-11-13T00:30:00+0100", "INVALID_TIMESTAMP"),
    ("2025-11-13T00:30:00+1:00", "INVALID_TIMESTAMP"),
    ("2025-11-13T00:30:00.Z", "INVALID_TIMESTAMP"),
    ("2025-11-13T00:30:00Zx", "INVALID_TIMESTAMP"),
    ("2025-11-13T00:30:00Z\\n", "INVALID_TIMESTAMP"),
    (" 2025-11-13T00:30:00Z", "INVALID_TIMESTAMP"),
    ("٢٠٢٥-11-13T00:30:00Z", "INVALID_TIMESTAMP"),
    ("now", "INVALID_TIMESTAMP"),
    ("", "INVALID_TIMESTAMP"),
]
DATES = [  # the timestamp is of the 13th
    *(("date", f'"2025-11-{day}"', OK) for day in ("11", "12", "13", "14", "15")),
    *(("date", f'"2025-11-{day}"', "INVALID_RECORD") for day in ("10", "16", "31", "00")),
    *(
        ("date", f'"{bad}"', "INVALID_RECORD")
        for bad in ("20251113", "2025-1-13", "2025-11-13 ", "2025-11-13\\n", "13.11.2025", "")
    ),
    *(("date", bad, "INVALID_RECORD") for bad in (*NO_TEXT, "null", ABSENT)),
]
STEPS = [("0", OK), ("-0.0", OK), ("12.0", OK), ("1e3", OK), ("12.5", "INVALID_RECORD")]
NEGATIVE = [
    ("-1", "NEGATIVE_VALUE"),
    ("-1.0", "NEGATIVE_VALUE"),
    ("-" + "9" * 30, "NEGATIVE_VALUE"),
]
HUGE = [(huge, "OUT_OF_RANGE") for huge in ("9" * 19, "9" * 30, "9" * 400, "1e300")]
NO_NUMBERS = [(bad, "INVALID_RECORD") for bad in WRONG_TYPES]
NOT_FINITE = [(number, "OUT_OF_RANGE") for number in NAN_AND_INFINITY]

STEP_COUNTS = [*STEPS, *NEGATIVE, *HUGE, *NO_NUMBERS, *NOT_FINITE]
CALORIES = [
    ("0", OK),
    ("-0.0", OK),
    ("0.00001", OK),
    ("-0.00001", "NEGATIVE_VALUE"),
    ("100000", OK),
    ("100000.0", OK),
    ("100000.1", "OUT_OF_RANGE"),
    ("100001", "OUT_OF_RANGE"),
    *NEGATIVE,
    *HUGE,
    *NO_NUMBERS,
    *NOT_FINITE,
]
HEART_RATES = [
    *((good, OK) for good in ("25", "25.0", "61.5", "240", "240.0", "null")),
    *((bad, "OUT_OF_RANGE_HR") for bad in ("24.9999", "0", "-61", "240.0001", "241", "9" * 400)),
    *((bad, "OUT_OF_RANGE_HR") for bad in NAN_AND_INFINITY),
    *NO_NUMBERS,
]
VERSIONS = [
    *(("version", good, OK) for good in ("0", "1", "2.0", str(2**53 - 1), "null", ABSENT)),
    *(("version", bad, "INVALID_RECORD") for bad in ("-1", "0.5", str(2**53), "9" * 30)),
    *(("version", bad, "INVALID_RECORD") for bad in (*WRONG_TYPES, *NAN_AND_INFINITY)),
]
ACTIVITY_RULES = [
    *(("ts", f'"{text}"', expected) for text, expected in TIMES),
    *(("ts", bad, "INVALID_TIMESTAMP") for bad in ("1763000000", "1.5", "true", "[]")),
    *(("steps", text, expected) for text, expected in STEP_COUNTS),
    ("steps", "10000", OK),
    ("steps", "10000.0", OK),
    ("steps", "10001", "OUT_OF_RANGE"),
    ("steps", "10001.0", "OUT_OF_RANGE"),
    ("steps", "null", "INVALID_RECORD"),  # no measure is left
    ("steps", ABSENT, "INVALID_RECORD"),
    *(("calories_out", text, expected) for text, expected in CALORIES),
    ("calories_out", "null", OK),
    *(("hr_avg", text, expected) for text, expected in HEART_RATES),
]
HEALTH_RULES = [
    *(("timestamp", f'"{text}"', expected) for text, expected in TIMES),
    *(("timestamp", bad, "INVALID_TIMESTAMP") for bad in ("1763000000", "1.5", "true", "[]")),
    *DATES,
    *(("steps_total", text, expected) for text, expected in STEP_COUNTS),
    ("steps_total", "1000000", OK),
    ("steps_total", "1000001", "OUT_OF_RANGE"),
    ("steps_total", "1000001.0", "OUT_OF_RANGE"),
    ("steps_total", "null", "INVALID_RECORD"),
    ("steps_total", ABSENT, "INVALID_RECORD"),
    *(("calories_out_total", text, expected) for text, expected in CALORIES),
    ("calories_out_total", "null", "INVALID_RECORD"),
    ("calories_out_total", ABSENT, "INVALID_RECORD"),
    *(("hr_avg_session", text, expected) for text, expected in HEART_RATES),
]
SHARED_RULES = [
    *IDS,
    *SOURCES,
    *VERSIONS,
    *(
        (f"x{i}", odd, OK)
        for i, odd in enumerate(("null", "NaN", "9" * 400, "[[{}]]", '"é\\u0000"'))
    ),
]
RULES = [
    *((Kind.ACTIVITY, *rule) for rule in [*ACTIVITY_RULES, *SHARED_RULES]),
    *((Kind.HEALTH, *rule) for rule in [*HEALTH_RULES, *SHARED_RULES]),
]
FORMS = ["one in a list", "inlined"]


def fields_of(kind: Kind, field: str, value: str) -> tuple[dict[str, str], dict[str, str]]:
    """The record and the envelope that differ from good ones in just this field."""
    if field in ENVELOPE_FIELDS:
        return RECORD[kind], {field: value}
    record = {**RECORD[kind], field: value}
    if field == "timestamp" and value.startswith('"2'):
        record["date"] = value[:11] + '"'
    return record, {}


def told_field(field: str, value: str) -> str:
    """The field a refusal names: without steps, the good event has no measure at all."""
    is_measureless = field == "steps" and value in ("null", ABSENT)
    return "steps, calories_out or hr_avg" if is_measureless else field


def label(rule: object) -> str:
    text = rule.value if isinstance(rule, Kind) else str(rule)
    return text.replace("\\n", "newline")[:40]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("kind", "field", "value", "expected"), RULES, ids=label)
def test_a_field_is_accepted_or_refused_with_its_reason(kind, field, value, expected, form):
    record, envelope = fields_of(kind, field, value)
    if form == "inlined":
        text = inlined(record, **envelope)
    else:
        text = message(kind, object_text(record), **envelope)
    decoded = read(text, kind)
    assert decoded.records == 1
    if expected == OK:
        assert not decoded.refusals
        assert len(decoded.rows) == 1
    else:
        (refusal,) = decoded.refusals

        assert (refusal.reason, refusal.field) == (expected, told_field(field, value))
        assert refusal.original == text
        assert list(decoded.rows) == []


@pytest.mark.parametrize("value", ["null", ABSENT])
@pytest.mark.parametrize(
    ("kind", "field"), [(Kind.ACTIVITY, "ts"), (Kind.HEALTH, "timestamp")], ids=label
)
def test_a_record_needs_its_time_and_an_inlined_one_is_told_by_it(kind, field, value):
    record = {**RECORD[kind], field: value}
    assert reasons(read(message(kind, object_text(record)), kind)) == [("INVALID_TIMESTAMP", field)]
    assert reasons(read(inlined(record), kind)) == [("MALFORMED_MESSAGE", "message")]


@pytest.mark.parametrize(
    "measures",
    [{"steps": "0"}, {"calories_out": "0"}, {"hr_avg": "60"}, {"steps": "null", "hr_avg": "60"}],
    ids=str,
)
def test_one_measure_is_enough_for_an_event(measures):
    record = {"ts": RECORD[Kind.ACTIVITY]["ts"], **measures}
    assert len(read(message(Kind.ACTIVITY, object_text(record))).rows) == 1


@pytest.mark.parametrize("measures", [{}, {"steps": "null", "calories_out": "null"}], ids=str)
def test_an_event_without_any_measure_is_refused(measures):
    record = {"ts": RECORD[Kind.ACTIVITY]["ts"], "version": "3", **measures}
    decoded = read(message(Kind.ACTIVITY, object_text(record)))
    assert [r.reason for r in decoded.refusals] == ["INVALID_RECORD"]
