from functools import cache

import bson
import orjson
import pymongo
import pytest
from bson.raw_bson import RawBSONDocument

from benchmarks.disk import fill, last_revisions, others_of
from benchmarks.disk_population import Population, by_user, live, packed, population_of, with_uuids
from benchmarks.disk_wiredtiger import COLLECTION, CREATED, ID, USER, Layout, record_id, written
from ingest.stores.documents import COLLECTIONS, EVENTS, KEYS, TOTALS, event_documents
from tests.mongodb import connection_to

LZ4 = Layout("lz4")


@cache
def population(events: int = 3_000) -> Population:
    return population_of(events)


def test_a_population_has_as_many_events_as_were_asked_for() -> None:
    assert len({*population().events}) == len(population().events) == 3_000
    assert sum(total.events_count for total in last_revisions(population().totals)) == 3_000
    assert len(population().snapshots) == len(population().health)


def test_twice_the_events_take_about_twice_the_bytes() -> None:
    one, two = (written(event_documents(population(n).events), LZ4) for n in (8_000, 16_000))
    assert one.documents == 8_000
    assert one.file_bytes.keys() == {COLLECTION, ID, USER}
    for name, size in one.file_bytes.items():
        assert two.file_bytes[name] / size == pytest.approx(2, rel=0.2)


def test_what_is_compressed_is_smaller_and_timestamps_take_their_place() -> None:
    documents = event_documents(population().events)
    own = written(documents, LZ4)
    assert written(documents, Layout("none")).file_bytes[COLLECTION] > own.bson_bytes
    assert own.file_bytes[COLLECTION] < own.bson_bytes / 2
    stamped = written(documents, LZ4._replace(keeps_timestamps=True)).file_bytes
    assert all(stamped[name] > size for name, size in own.file_bytes.items())


def test_a_document_that_comes_again_is_replaced() -> None:
    totals = others_of(population())[TOTALS]
    found = written(totals, LZ4)
    assert found.writes == len(totals) > 5 * found.documents
    last = {total["_id"]: total for total in totals}.values()
    assert (found.documents, found.bson_bytes) == (
        len(last),
        sum(len(bson.encode(t)) for t in last),
    )


def test_only_keys_have_an_index_on_their_time() -> None:
    names = {name: {*written(own, LZ4).file_bytes} for name, own in others_of(population()).items()}
    assert [name for name, own in names.items() if CREATED in own] == [KEYS]


async def test_the_documents_are_those_that_the_store_holds(
    mongodb_uri: str, mongodb_database: str
) -> None:
    await fill(connection_to(mongodb_uri, mongodb_database), population())
    wanted = {EVENTS: event_documents(population().events), **others_of(population())}
    with pymongo.MongoClient(mongodb_uri, document_class=RawBSONDocument) as client:
        for name in COLLECTIONS:
            stored = {found["_id"]: found.raw for found in client[mongodb_database][name].find()}
            assert stored == {own["_id"]: bson.encode(own) for own in wanted[name]}


def test_other_orders_and_ids_are_of_the_same_events() -> None:
    events = population().events
    assert {*live(events)} == {*by_user(events)} == {*events}
    renamed = with_uuids(events)
    assert [event[1:] for event in renamed] == [event[1:] for event in events]
    assert len({event.user_id for event in renamed}) == len({event.user_id for event in events})


@pytest.mark.parametrize("size", [1, 60])
def test_messages_of_another_size_hold_the_same_events(size: int) -> None:
    sent = [orjson.loads(message) for message in packed(population().activity, size)]
    sizes = [len(message.get("events", [1])) for message in sent]
    assert sum(sizes) == 3_000
    assert max(sizes) == size
    assert len([own for own in sizes if own < size]) <= len(
        {(m["user_id"], m["device_id"]) for m in sent}
    )


@pytest.mark.parametrize(
    ("number", "encoded"),
    [(1, "0008"), (1023, "1ff8"), (1024, "202001"), (262_143, "3ffff9"), (262_144, "40200002")],
)
def test_a_record_id_takes_a_byte_more_for_each_8_bits_beyond_10(number: int, encoded: str) -> None:
    assert record_id(number).hex() == encoded


def test_record_ids_sort_as_their_numbers() -> None:
    numbers = [2**power + step for power in range(1, 40) for step in (-1, 0, 1)]
    assert sorted(numbers) == sorted(numbers, key=record_id)
