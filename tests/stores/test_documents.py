"""The stored documents are those of DESIGN section 6, in Python and in MongoDB."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pymongo
import pytest
from bson.int64 import Int64
from hypothesis import given
from hypothesis import strategies as st

from ingest.core.dedupe import KeyRef, RememberedKey
from ingest.core.totals import Rules, advanced, recompute
from ingest.stores.documents import (
    EVENTS,
    KEYS,
    SNAPSHOTS,
    TOTALS,
    event_documents,
    event_of,
    key_document,
    key_of,
    snapshot_document,
    snapshot_of,
    total_document,
    total_of,
)
from ingest.stores.mongo import opened_to_write
from tests.batches import batch, pipeline_on, sent
from tests.core.folding import by_day, folded
from tests.core.messages import NOW
from tests.core.strategies import (
    DATES,
    distinct_records,
    event_rows,
    few_devices,
    ids,
    offsets,
    rules,
    snapshot_rows,
    sources,
)
from tests.fakes import RecordingPublisher
from tests.mongodb import KEPT, connection_to, wanted
from tests.stores.contents import MOVED, event, fill, run, snapshot

EVENT = {
    "_id": "u1|29383201|phone",
    "user_id": "u1",
    "device_id": "phone",
    "source": "FITBIT",
    "ts": datetime(2025, 11, 13, 0, 1),
    "date": "2025-11-13",
    "steps": 10,
    "calories_out": 1.2345,
    "hr_avg": 61.0,
    "version": 0,
}
SNAPSHOT = {
    "_id": "u1|2025-11-13|1762992060000|watch.2",
    "user_id": "u1",
    "device_id": "watch.2",
    "source": "GARMIN",
    "date": "2025-11-13",
    "timestamp": datetime(2025, 11, 13, 0, 1),
    "steps_total": 100,
    "calories_out_total": 3.75,
    "hr_avg_session": 61.25,
    "version": 0,
}
CHAIN = {
    "last_ms": 1762992060000,
    "steps_total": 100,
    "calories_out_total": 37500,
    "steps": 100,
    "calories_out": 37500,
    "snapshots": 1,
    "resets": 0,
    "glitches": 0,
    "sources": ["GARMIN"],
    "is_settled": True,
}
TOTAL = {
    "_id": "u1|2025-11-13",
    "user_id": "u1",
    "date": "2025-11-13",
    "steps": 100,
    "calories_out": 3.75,
    "hr_avg": 61.0,
    "basis": "mixed",
    "devices": {
        "phone": {"steps": 10, "calories_out": 1.2345, "basis": "events"},
        "watch.2": {"steps": 100, "calories_out": 3.75, "basis": "snapshots"},
    },
    "events_count": 1,
    "snapshots_count": 1,
    "resets": 0,
    "revision": 1,
    "updated_at": datetime(2025, 11, 13, 12),
    "state": {
        "phone": {"hours": {"489720": [1, 10, 12345, 610000, 1, "FITBIT"]}, "chain": None},
        "watch.2": {"hours": {}, "chain": CHAIN},
    },
}
KEY = {
    "_id": "u1|a|b",
    "user_id": "u1",
    "fingerprint": "0" * 32,
    "created_at": datetime(2025, 11, 13, 12),
}
BY = (Rules(), NOW)
KEY_ROW = RememberedKey(KeyRef("u1", "a|b"), "0" * 32, NOW)

# Any key, and any instant of whole milliseconds since 2000.
key_texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=255)
instants = st.integers(0, 3 * 10**12).map(
    lambda ms: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)
owners = st.tuples(ids, ids, sources)


def shape_of(document: dict) -> list:
    """The fields in order, with what each value is; what stands within one has no order."""
    return [(name, _kind_of(value)) for name, value in document.items()]


def _kind_of(value):
    if isinstance(value, dict):
        return {name: _kind_of(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_kind_of(part) for part in value]
    return "int" if isinstance(value, Int64) else type(value).__name__


def test_an_event_is_the_document_of_the_design_field_by_field_in_order():
    (document,) = event_documents([event()])
    assert document == EVENT
    assert shape_of(document) == shape_of(EVENT)


def test_a_measure_that_an_event_lacks_is_null():
    (document,) = event_documents([event(steps=None, calories_out=None, hr_avg=None)])
    assert document == EVENT | {"steps": None, "calories_out": None, "hr_avg": None}


@pytest.mark.parametrize(("minute", "text"), [(15_768_000, "15768000"), (1_234_567, "01234567")])
def test_the_minute_of_an_event_has_8_digits_in_its_id(minute, text):
    (document,) = event_documents([event()._replace(minute=minute)])
    assert document["_id"] == f"u1|{text}|phone"


def test_a_snapshot_is_the_document_of_the_design_field_by_field_in_order():
    document = snapshot_document(snapshot())
    assert document == SNAPSHOT
    assert shape_of(document) == shape_of(SNAPSHOT)


def test_the_time_of_a_snapshot_keeps_its_milliseconds_and_has_13_digits_in_its_id():
    document = snapshot_document(snapshot()._replace(timestamp_ms=946_684_800_123))
    assert document["_id"] == "u1|2025-11-13|0946684800123|watch.2"
    assert document["timestamp"] == datetime(2000, 1, 1, 0, 0, 0, 123_000)


def test_a_total_is_the_document_of_the_design_field_by_field_in_order():
    total = recompute(MOVED._replace(user_id="u1", date=DATES[0]), [event()], [snapshot()], *BY)
    document = total_document(total._replace(revision=1))
    assert document == TOTAL
    assert shape_of(document) == shape_of(TOTAL)


def test_a_key_is_the_document_of_the_design_and_may_hold_a_bar():
    document = key_document(KEY_ROW)
    assert document == KEY
    assert shape_of(document) == shape_of(KEY)
    assert key_of(KEY) == KEY_ROW


@given(owners.flatmap(lambda owner: offsets.flatmap(lambda offset: event_rows(owner, offset))))
def test_any_event_comes_back_from_its_document(row):
    (document,) = event_documents([row])
    assert event_of(document) == row
    needed = {**document, "user_id": None, "device_id": None, "ts": None}
    assert event_of(needed) == row


@given(owners.flatmap(lambda owner: offsets.flatmap(lambda offset: snapshot_rows(owner, offset))))
def test_any_snapshot_comes_back_from_its_document(row):
    document = snapshot_document(row)
    assert snapshot_of(document) == row
    needed = {**document, "user_id": None, "device_id": None, "date": None, "timestamp": None}
    assert snapshot_of(needed) == row


@given(ids, key_texts, instants)
def test_any_key_comes_back_from_its_document(user_id, text, created_at):
    key = RememberedKey(KeyRef(user_id, text), "f" * 32, created_at)
    assert key_of(key_document(key)) == key


@given(distinct_records, rules, st.dictionaries(few_devices, ids), st.booleans())
def test_any_total_that_can_come_to_be_comes_back_from_its_document(records, by, names, is_cold):
    """Folded or recomputed, of any device ids: a dot in one is only text."""
    renamed = [row._replace(device_id=names.get(row.device_id, row.device_id)) for row in records]
    totals = [*folded([(renamed, is_cold)], by).values()]
    totals += [recompute(day, *own, by, NOW) for day, own in by_day(renamed).items()]
    for total in totals:
        back = total_of(total_document(total))
        assert back == total
        assert total_document(back) == total_document(total)


def test_a_total_of_nothing_comes_back_from_its_document():
    total = advanced(None, MOVED, *BY)
    assert total_of(total_document(total)) == total
    assert total_document(total)["state"] == {}


@pytest.fixture
def raw(mongodb_uri: str, mongodb_database: str) -> Iterator[pymongo.database.Database]:
    with pymongo.MongoClient(mongodb_uri) as client:
        yield client[mongodb_database]


@pytest.fixture(params=["pymongo", "motor"])
def opened_store(request, mongodb_uri: str, mongodb_database: str):
    connection = connection_to(mongodb_uri, mongodb_database, request.param)
    return opened_to_write(connection, wanted(KEPT))


async def test_mongodb_holds_the_documents_of_the_design_after_a_batch(opened_store, raw):
    async with opened_store as store:
        await run(store, sent(event()), sent(snapshot(), key="a|b"))
    held = {name: [*raw[name].find()] for name in (EVENTS, SNAPSHOTS, TOTALS, KEYS)}
    (key,) = held.pop(KEYS)
    assert held == {EVENTS: [EVENT], SNAPSHOTS: [SNAPSHOT], TOTALS: [TOTAL]}
    assert key == KEY | {"fingerprint": key["fingerprint"]}
    for name, expected in ((EVENTS, EVENT), (SNAPSHOTS, SNAPSHOT), (TOTALS, TOTAL)):
        assert shape_of(held[name][0]) == shape_of(expected)
    assert dict(shape_of(key)) == dict(shape_of(KEY))  # the server orders what an upsert sets


async def test_whole_numbers_of_calories_and_heart_rates_are_doubles_in_mongodb(opened_store, raw):
    async with opened_store as store:
        await run(store, sent(event(calories_out=20_000)), sent(snapshot(1, 400)))
    (held,) = raw[EVENTS].find({"calories_out": {"$type": "double"}, "hr_avg": {"$type": "double"}})
    assert (held["calories_out"], type(held["steps"])) == (2.0, int)
    (total,) = raw[TOTALS].find()
    assert (total["calories_out"], type(total["calories_out"])) == (15.0, float)


async def test_a_time_is_a_date_in_mongodb_and_a_civil_date_a_text(opened_store, raw):
    async with opened_store as store:
        await run(store, sent(event()), sent(snapshot(), key="k"))
    times = {EVENTS: "ts", SNAPSHOTS: "timestamp", TOTALS: "updated_at", KEYS: "created_at"}
    for name, field in times.items():
        assert raw[name].count_documents({field: {"$type": "date"}}) == 1
    for name in (EVENTS, SNAPSHOTS, TOTALS):
        assert raw[name].count_documents({"date": {"$type": "string"}}) == 1


async def test_corrections_leave_whole_documents_in_mongodb(opened_store, raw):
    """What a correction wrote has the same fields in the same order as what it replaced."""
    corrected = event(2, steps=3, version=2), snapshot(2, 5, version=2)
    async with opened_store as store:
        pipeline = pipeline_on(store, RecordingPublisher())
        await pipeline.run(batch(sent(event(2)), sent(snapshot(2, 4))))
        await pipeline.run(batch(*(sent(row) for row in corrected)))
    assert [*raw[EVENTS].find()] == event_documents(corrected[:1])
    assert [*raw[SNAPSHOTS].find()] == [snapshot_document(corrected[1])]
    assert [*raw[EVENTS].find_one()] == [*EVENT]
    assert [*raw[SNAPSHOTS].find_one()] == [*SNAPSHOT]


async def test_every_document_in_mongodb_gives_the_row_that_is_stored_again(opened_store, raw):
    async with opened_store as store:
        await fill(store)
    assert [*raw[EVENTS].find()] == event_documents(map(event_of, raw[EVENTS].find()))
    assert [*raw[SNAPSHOTS].find()] == [
        snapshot_document(snapshot_of(d)) for d in raw[SNAPSHOTS].find()
    ]
    assert [*raw[TOTALS].find()] == [total_document(total_of(d)) for d in raw[TOTALS].find()]
    assert [*raw[KEYS].find()] == [key_document(key_of(d)) for d in raw[KEYS].find()]
