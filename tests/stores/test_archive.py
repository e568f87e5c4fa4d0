"""An export imported elsewhere is the same store again; an import changes nothing it finds."""

import asyncio
import gzip

import orjson
import pymongo
import pytest
import pytest_asyncio

from ingest.archive import BATCH_DOCUMENTS, export, import_
from ingest.stores.documents import COLLECTIONS, EVENTS, KEYS, SNAPSHOTS, TOTALS
from ingest.stores.memory import memory_store
from ingest.stores.mongo import opened_to_write
from tests.batches import TTL, sent, totals_of
from tests.mongodb import KEPT, connection_to, wanted
from tests.stores.contents import MOVED, event, fill, lines_in, rows_of, run, snapshot


@pytest_asyncio.fixture(params=["memory", "mongodb"])
async def another(request):
    """A second empty store, of this kind."""
    if request.param == "memory":
        yield memory_store(TTL)
        return
    uri, database = map(request.getfixturevalue, ("mongodb_uri", "mongodb_database"))
    async with opened_to_write(connection_to(uri, f"{database}_2"), wanted(KEPT)) as store:
        yield store
    with pymongo.MongoClient(uri) as client:
        client.drop_database(f"{database}_2")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "export.ndjson"


async def exported(store, path) -> bytes:
    await export(store, path, ignore)
    return path.read_bytes()


async def imported(store, path):
    return await import_(store, str(path), ignore)


def ignore(_: int) -> None:
    pass


async def test_an_export_imported_elsewhere_is_every_document_again(store, another, path):
    await fill(store)
    tally = await export(store, path, ignore)
    done = await imported(another, path)
    assert (done.file, done.stored, done.differing) == (tally, tally, [])
    assert done.is_whole
    assert await lines_in(another) == await lines_in(store)
    assert await rows_of(another) == await rows_of(store)


async def test_a_tally_counts_the_documents_of_each_collection(store, path):
    source = memory_store(TTL)
    await fill(source)
    tally = await export(source, path, ignore)
    counts = {name: len(rows) for name, rows in (await rows_of(source)).items()}
    assert tally.counts == counts
    assert min(counts.values()) > 1
    assert (await imported(store, path)).new == sum(counts.values())


async def test_exporting_an_import_gives_the_very_same_bytes(store, another, path):
    await fill(store)
    first = await exported(store, path)
    await imported(another, path)
    assert await exported(another, path) == first


async def test_an_export_of_the_same_store_is_the_same_bytes_each_time(store, path):
    await fill(store)
    assert await exported(store, path) == await exported(store, path)


async def test_the_order_in_which_a_total_holds_its_devices_is_no_difference(store, path):
    source = memory_store(TTL)
    await fill(source)
    whole = await exported(source, path)
    await store.totals.restore([turned(t) for t in (await totals_of(source)).values()])
    assert (await imported(store, path)).is_whole
    assert await exported(store, path) == whole


def turned(total):
    """The total with what has no order in it the other way round."""
    backwards = {
        device_id: device._replace(hours=dict(reversed(device.hours.items())))
        for device_id, device in reversed(total.state.items())
    }
    return total._replace(devices=dict(reversed(total.devices.items())), state=backwards)


async def test_a_pipeline_goes_on_upon_an_import_as_upon_the_store_itself(store, path):
    more = sent(event(2, steps=45, version=2), event(63)), sent(snapshot(9, 500))
    source = memory_store(TTL)
    await fill(source)
    await export(source, path, ignore)
    await imported(store, path)
    for own in (source, store):
        await run(own, *more)
    assert await totals_of(store) == await totals_of(source)


async def test_a_total_of_nothing_moves_too_so_that_its_revision_goes_on(store, path):
    source = memory_store(TTL)
    await fill(source)
    await export(source, path, ignore)
    await imported(store, path)
    total = (await totals_of(store))[MOVED]
    assert (total.devices, total.revision) == ({}, 2)


async def test_the_lines_stand_in_the_order_of_collections_and_ids(store, path):
    await fill(store)
    _, *lines, _ = (orjson.loads(line) for line in (await exported(store, path)).splitlines())
    ids = [(COLLECTIONS.index(line["collection"]), line["document"]["_id"]) for line in lines]
    assert ids == sorted(ids)


async def test_an_empty_store_exports_and_imports_as_nothing(store, path):
    tally = await export(store, path, ignore)
    assert tally.counts == dict.fromkeys(COLLECTIONS, 0)
    assert len(path.read_bytes().splitlines()) == 2
    done = await imported(store, path)
    assert (done.is_whole, done.new) == (True, 0)


async def test_importing_twice_changes_nothing_and_says_that_nothing_is_new(store, path):
    source = memory_store(TTL)
    await fill(source)
    await export(source, path, ignore)
    await imported(store, path)
    before = await lines_in(store)
    again = await imported(store, path)
    assert (again.new, again.differing, again.is_whole) == (0, [], True)
    assert await lines_in(store) == before


async def test_importing_into_the_store_itself_changes_nothing(store, path):
    await fill(store)
    before = await exported(store, path)
    done = await imported(store, path)
    assert (done.new, done.is_whole) == (0, True)
    assert await exported(store, path) == before


async def test_an_import_cut_short_may_be_run_again_whole(store, path):
    source = memory_store(TTL)
    await fill(source)
    lines = (await exported(source, path)).splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:9]))
    with pytest.raises(Exception, match="ends early"):
        await imported(store, path)
    assert len(await lines_in(store)) == 8
    path.write_bytes(b"".join(lines))
    done = await imported(store, path)
    assert (done.new, done.is_whole) == (len(lines) - 2 - 8, True)


def _other(collection, row):
    match collection:
        case "activity_events":
            return row._replace(steps=7)
        case "health_snapshots":
            return row._replace(calories_out_total=1)
        case "daily_totals":
            return row._replace(steps=7)
        case _:
            return row._replace(fingerprint="e" * 32)


async def _insert(store, collection, row):
    puts = {
        EVENTS: store.log.append_events,
        SNAPSHOTS: store.log.append_snapshots,
        TOTALS: store.totals.restore,
        KEYS: store.keys.restore,
    }
    await puts[collection]([row])


@pytest.mark.parametrize("collection", COLLECTIONS)
async def test_another_document_of_an_id_is_left_as_it_is_and_its_line_is_named(
    store, path, collection
):
    source = memory_store(TTL)
    await fill(source)
    lines = (await exported(source, path)).splitlines()
    row = (await rows_of(source))[collection][1]
    other = _other(collection, row)
    await _insert(store, collection, other)
    done = await imported(store, path)
    number = 1 + (await lines_in(source)).index(_line(lines, collection)) + 1
    assert done.differing == [number]
    assert not done.is_whole
    assert done.stored.counts == done.file.counts
    assert done.stored.checksum != done.file.checksum
    assert done.new == len(lines) - 3
    assert (await rows_of(store))[collection][1] == other


def _line(lines, collection) -> bytes:
    """The second line of a collection."""
    own = [line for line in lines[1:-1] if orjson.loads(line)["collection"] == collection]
    return own[1] + b"\n"


@pytest.mark.parametrize("count", [BATCH_DOCUMENTS, BATCH_DOCUMENTS + 1])
async def test_documents_of_more_than_one_batch_arrive_all(path, count):
    source, store = memory_store(TTL), memory_store(TTL)
    await source.log.append_events([event(user_id=f"u{n}") for n in range(count)])
    await export(source, path, ignore)
    done = await imported(store, path)
    assert (done.is_whole, done.new) == (True, count)
    assert await rows_of(store) == await rows_of(source)


async def test_lines_in_any_order_arrive_all_but_their_checksum_is_another(store, path):
    source = memory_store(TTL)
    await fill(source)
    header, *lines, trailer = (await exported(source, path)).splitlines(keepends=True)
    path.write_bytes(b"".join([header, *reversed(lines), trailer]))
    done = await imported(store, path)
    assert (done.new, done.differing, done.is_whole) == (len(lines), [], False)
    assert await lines_in(store) == await lines_in(source)


async def test_a_gzipped_export_imports_as_it_is(store, path):
    source = memory_store(TTL)
    await fill(source)
    packed = path.with_suffix(".gz")
    packed.write_bytes(gzip.compress(await exported(source, path)))
    assert (await imported(store, packed)).is_whole


async def test_an_export_tells_how_many_documents_it_has_written(store, path):
    await fill(store)
    told: list[int] = []
    tally = await export(store, path, told.append)
    assert sum(told) == sum(tally.counts.values())


async def test_a_record_that_another_writer_adds_meanwhile_is_no_difference(store, path):
    """Imports of one file at once: each finds some there, and both end with all of it."""
    source = memory_store(TTL)
    await fill(source)
    await export(source, path, ignore)
    first, second = await asyncio.gather(imported(store, path), imported(store, path))
    assert first.is_whole
    assert second.is_whole
    assert first.new + second.new == sum(first.file.counts.values())
