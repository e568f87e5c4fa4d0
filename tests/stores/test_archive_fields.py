"""A line whose document none could be is refused by its field, with no value shown."""

import re

import orjson
import pytest

from ingest.stores.documents import EVENTS, KEYS, SNAPSHOTS, TOTALS
from tests.stores.marked import BELONG, MARK, PLACE, marked_lines, refused


@pytest.fixture
async def lines(tmp_path) -> list[bytes]:
    return await marked_lines(tmp_path)


def with_fields(line: bytes, changes: dict) -> bytes:
    """The line with fields of its document changed; a nested one is named with dots."""
    parsed = orjson.loads(line)
    for name, value in changes.items():
        *within, last = name.split("/")
        place = parsed["document"]
        for part in within:
            place = place[part]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return orjson.dumps(parsed) + b"\n"


def test_the_table_of_places_is_that_of_the_lines(lines):
    held = [orjson.loads(line)["collection"] for line in lines[1:-1]]
    assert [(name, number) for number, name in enumerate(held, 2)] == [*PLACE.items()]


ID = f"u{MARK}|29383201|d{MARK}"
HOURS = f"state/d{MARK}/hours"
FIELDS = [
    *((name, {field: ...}, field) for name, field in ((EVENTS, "version"), (KEYS, "fingerprint"))),
    *((name, {"_id": ...}, "_id") for name in PLACE),
    (EVENTS, {"steps": -4711}, "steps"),
    (EVENTS, {"steps": 4711.0}, "steps"),
    (EVENTS, {"steps": True}, "steps"),
    (EVENTS, {"steps": "4711"}, "steps"),
    (EVENTS, {"steps": 47_110_000}, "steps"),
    (EVENTS, {"calories_out": 4711.47111}, BELONG),
    (EVENTS, {"calories_out": "4711"}, "calories_out"),
    (EVENTS, {"calories_out": True}, "calories_out"),
    (EVENTS, {"calories_out": -4711}, "calories_out"),
    (EVENTS, {"hr_avg": 4711}, "hr_avg"),
    (EVENTS, {"steps": None, "calories_out": None, "hr_avg": None}, BELONG),
    (EVENTS, {"version": 2**53 + 4711}, "version"),
    (EVENTS, {"version": 2**63}, "version"),
    (EVENTS, {"source": "s4711"}, "source"),
    (EVENTS, {"_id": ID + "0"}, BELONG),
    (EVENTS, {"_id": ID.replace("|", "")}, BELONG),
    (EVENTS, {"_id": ID.replace("29383201", "29383202")}, BELONG),
    (EVENTS, {"_id": ID.replace("29383201", "29 383 201")}, BELONG),
    (EVENTS, {"_id": ID.replace("29383201", "+29383201")}, BELONG),
    (EVENTS, {"_id": f"u4711|x|29383201|d{MARK}", "user_id": "u4711|x"}, "user_id"),
    (EVENTS, {"device_id": f"d{MARK}|x"}, "device_id"),
    (EVENTS, {"device_id": f"d{MARK}\0"}, "device_id"),
    (EVENTS, {"user_id": f"u{MARK}\n"}, "user_id"),
    (EVENTS, {"user_id": "v4711"}, BELONG),
    (EVENTS, {"ts": "2025-11-13T00:01:00"}, "ts"),
    (EVENTS, {"ts": "2025-11-13T00:01:01Z"}, BELONG),
    (EVENTS, {"ts": "2025-13-47T11:00:00Z"}, "ts"),
    (EVENTS, {"ts": 1_762_992_060}, "ts"),
    (EVENTS, {"ts": "0001-01-01T00:00:00+04:11"}, BELONG),
    (EVENTS, {"date": "2025-11-15"}, BELONG),
    (EVENTS, {"date": "2025-11-11"}, BELONG),
    (EVENTS, {"date": "4711"}, "date"),
    (EVENTS, {"mood": 4711}, BELONG),
    (SNAPSHOTS, {"steps_total": -4711}, "steps_total"),
    (SNAPSHOTS, {"steps_total": None}, "steps_total"),
    (SNAPSHOTS, {"calories_out_total": 0.47114711}, BELONG),
    (SNAPSHOTS, {"calories_out_total": 4_711_000}, "calories_out_total"),
    (SNAPSHOTS, {"hr_avg_session": 4711}, "hr_avg_session"),
    (SNAPSHOTS, {"timestamp": "2025-11-13T00:01:00.0004711Z"}, BELONG),
    (SNAPSHOTS, {"timestamp": "2025-11-13T00:01:00"}, "timestamp"),
    (SNAPSHOTS, {"date": "2025-11-14"}, BELONG),
    (TOTALS, {"steps": 4711.5}, "steps"),
    (TOTALS, {"steps": 2**63}, "steps"),
    (TOTALS, {"steps": -(2**63)}, "steps"),
    (TOTALS, {"revision": 0}, "revision"),
    (TOTALS, {"revision": 2**63 - 1}, "revision"),
    (TOTALS, {"events_count": -4711}, "events_count"),
    (TOTALS, {"basis": "4711"}, "basis"),
    (TOTALS, {"calories_out": 47.11471}, BELONG),
    (TOTALS, {"updated_at": "2025-11-13T12:00:00.004711Z"}, BELONG),
    (TOTALS, {"updated_at": "2025-11-13T12:00:00"}, "updated_at"),
    (TOTALS, {"devices": []}, "devices"),
    (TOTALS, {f"devices/d{MARK}/steps": True}, "devices"),
    (TOTALS, {f"devices/d{MARK}/calories_out": 0.00004711}, BELONG),
    (TOTALS, {"devices/4711|": {"steps": 1, "calories_out": 1, "basis": "events"}}, "devices"),
    (TOTALS, {"state": None}, "state"),
    (TOTALS, {f"{HOURS}/489720": []}, "state"),
    (TOTALS, {f"{HOURS}/489720": [1, 1, 1, 1]}, "state"),
    (TOTALS, {f"{HOURS}/489720": [1, 1, 1, 1, -4711]}, "state"),
    (TOTALS, {f"{HOURS}/489720": [1, 1, 1, 1, "4711"]}, BELONG),
    (TOTALS, {f"{HOURS}/489720": [1, 1, 1, 1, 1, 4711]}, BELONG),
    (TOTALS, {f"{HOURS}/4711": None}, "state"),
    (TOTALS, {f"{HOURS}/04711": [1, 1, 1, 1, 1]}, BELONG),
    (TOTALS, {f"{HOURS}/-4711": [1, 1, 1, 1, 1]}, "state"),
    (TOTALS, {f"state/d{MARK}/chain/is_settled": 1}, "state"),
    (TOTALS, {f"state/d{MARK}/chain/is_settled": "yes"}, "state"),
    (TOTALS, {f"state/d{MARK}/chain/steps": 2**63}, "state"),
    (TOTALS, {f"state/d{MARK}/chain/mood": 4711}, BELONG),
    (KEYS, {"fingerprint": "x4711"}, "fingerprint"),
    (KEYS, {"_id": f"u{MARK}|"}, "_id"),
    (KEYS, {"_id": f"u{MARK}|é"}, "_id"),
    (KEYS, {"_id": f"v{MARK}|k{MARK}"}, BELONG),
    (KEYS, {"created_at": None}, "created_at"),
]


@pytest.mark.parametrize(("collection", "changes", "expected"), FIELDS, ids=str)
async def test_a_document_that_none_could_be_is_refused_by_its_field(
    tmp_path, lines, collection, changes, expected
):
    number = PLACE[collection]
    lines[number - 1] = with_fields(lines[number - 1], changes)
    reason = await refused(lines, tmp_path)
    assert reason.startswith(f"FILE, line {number}: {expected}")
    assert MARK not in reason


DATES = [
    *("2025-02-30", "2025-13-01", "0000-01-01", "2025-11-00"),
    "٢٠٢٥-١١-١٣",  # noqa: RUF001 - digits, but not those of a date
]


@pytest.mark.parametrize("date", DATES)
@pytest.mark.parametrize("collection", [EVENTS, SNAPSHOTS, TOTALS])
async def test_a_date_that_is_none_is_refused(tmp_path, lines, collection, date):
    number = PLACE[collection]
    line = lines[number - 1].decode()
    lines[number - 1] = line.replace('"2025-11-13"', f'"{date}"').replace("|2025-11-13", f"|{date}")
    lines[number - 1] = lines[number - 1].encode()
    reason = await refused(lines, tmp_path)
    assert re.match(rf"FILE, line {number}: (date|{BELONG})", reason)
    assert date not in reason


@pytest.mark.parametrize(
    ("minute", "ts"),
    [
        (-1, "1969-12-31T23:59:00Z"),
        (15_778_079, "1999-12-31T23:59:00Z"),
        (100_000_000, "2160-02-18T10:40:00Z"),
        (4_223_371_679, "9999-12-31T23:59:00Z"),
    ],
)
async def test_a_minute_that_no_event_can_have_is_refused(tmp_path, lines, minute, ts):
    changes = {"_id": f"u{MARK}|{minute:08d}|d{MARK}", "ts": ts, "date": ts[:10]}
    lines[1] = with_fields(lines[1], changes)
    assert (await refused(lines, tmp_path)).startswith(f"FILE, line 2: {BELONG}")
