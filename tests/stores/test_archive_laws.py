"""Whatever a line holds: it is the very document again, or refused; a file never does worse."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.archive import export, import_
from ingest.archive_lines import line_of, row_of
from ingest.core.dedupe import KeyRef, RememberedKey
from ingest.errors import FileUnusable
from ingest.stores.documents import COLLECTIONS, EVENTS, KEYS, SNAPSHOTS, TOTALS
from ingest.stores.memory import memory_store
from tests.batch_strategies import thorough
from tests.batches import TTL
from tests.core.folding import folded
from tests.core.messages import NOW
from tests.core.strategies import distinct_records, event_rows, ids, rules, snapshot_rows, sources
from tests.stores.contents import fill, lines_in

TIMES = ("ts", "timestamp", "updated_at", "created_at")
WHOLE_MAX = 2**53

odd_numbers = st.sampled_from([0, -1, 1.5, 0.00001, 1e300, -0.0, 2**53, 2**63, 2**64 - 1, -(2**63)])
odd_texts = st.sampled_from(
    [
        "",
        "u|1",
        "u\0",
        "2025-11-13",
        "2025-02-30",
        "2025-11-13T00:01:00",
        "0001-01-01T00:00:00+01:00",
    ]
)
leaves = (
    st.none() | st.booleans() | odd_numbers | st.integers(-9, 9) | odd_texts | st.text(max_size=5)
)
anything = st.recursive(
    leaves,
    lambda parts: (
        st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=5), parts, max_size=3)
    ),
    max_leaves=8,
)
keys = st.builds(
    lambda user_id, key: RememberedKey(KeyRef(user_id, key), "0f" * 16, NOW),
    ids,
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20),
)


def owned(rows):
    """Rows of any owner and offset."""
    return st.tuples(ids, ids, sources).flatmap(
        lambda owner: st.integers(-1439, 1439).flatmap(lambda offset: rows(owner, offset))
    )


@st.composite
def total_rows(draw):
    records = draw(distinct_records.filter(bool))
    return draw(st.sampled_from([*folded([(records, False)], draw(rules)).values()]))


rows = st.one_of(
    st.tuples(st.just(EVENTS), owned(event_rows)),
    st.tuples(st.just(SNAPSHOTS), owned(snapshot_rows)),
    st.tuples(st.just(TOTALS), total_rows()),
    st.tuples(st.just(KEYS), keys),
)


def read_again(line: bytes):
    """The collection and document of a line, as an import takes them."""
    parsed = orjson.loads(line)
    return parsed["collection"], parsed["document"]


def with_instants(document):
    """The document, its times as instants: there are many texts of one."""
    times = {name: document[name] for name in TIMES if isinstance(document.get(name), str)}
    return document | {n: datetime.fromisoformat(t).astimezone(UTC) for n, t in times.items()}


def is_exact(value) -> bool:
    """Whether every whole number in it is one that any program keeps."""
    if isinstance(value, dict | list):
        return all(map(is_exact, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, int) or abs(value) < WHOLE_MAX


def assert_is_the_document_or_refused(collection, document) -> None:
    try:
        row = row_of(collection, document)
    except ValueError:
        return
    _, again = read_again(line_of(collection, row))
    assert with_instants(again) == with_instants(document)
    assert is_exact(document)


def assert_is_refused(collection, document) -> None:
    try:
        row_of(collection, document)
    except ValueError:
        return
    raise AssertionError("it was taken")


@given(rows)
def test_every_row_comes_back_from_its_line(pair):
    collection, row = pair
    assert row_of(*read_again(line_of(collection, row))) == row


@given(st.sampled_from(COLLECTIONS) | anything, anything)
def test_anything_that_is_no_document_is_refused(collection, document):
    assert_is_refused(collection, document)


@settings(max_examples=200)
@given(rows, st.data())
def test_a_document_with_a_field_of_anything_comes_back_the_same_or_is_refused(pair, data):
    collection, document = read_again(line_of(*pair))
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(places_in(document)))
        name = data.draw(st.sampled_from([*place])) if place else "new"
        match data.draw(st.sampled_from(["change", "drop", "add"])):
            case "change":
                place[name] = data.draw(anything)
            case "drop":
                place.pop(name, None)
            case _:
                place[data.draw(st.text(max_size=5))] = data.draw(anything)
    assert_is_the_document_or_refused(collection, document)


def places_in(document) -> list[dict]:
    """The document and every object within it."""
    own = [
        part for value in document.values() if isinstance(value, dict) for part in places_in(value)
    ]
    return [document, *own]


@given(rows, st.sampled_from(COLLECTIONS))
def test_a_document_in_another_collection_is_refused(pair, collection):
    its_own, document = read_again(line_of(*pair))
    if collection != its_own:
        assert_is_refused(collection, document)


async def export_of_everything() -> bytes:
    store = memory_store(TTL)
    await fill(store)
    return await bytes_of(store)


async def bytes_of(store) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "export.ndjson"
        await export(store, path, lambda _: None)
        return path.read_bytes()


@pytest.fixture(scope="module")
def whole() -> bytes:
    return asyncio.run(export_of_everything())


def mutated(draw, whole: bytes) -> bytes:
    """The export with bytes changed, put in or taken out, lines moved, repeated or left out."""
    text = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(text)))
        match draw(st.sampled_from(["flip", "digit", "insert", "remove", "cut", "lines"])):
            case "flip" if place < len(text):
                text[place] ^= 1 << draw(st.integers(0, 7))
            case "digit":
                place = text.find(str(draw(st.integers(0, 9))).encode(), place)
                text[place : place + 1] = draw(st.sampled_from([b"-", b"9", b"99", b".5", b"null"]))
            case "insert":
                text[place:place] = draw(st.sampled_from([b"\n", b"\0", b"|", b'"', b"0", b" "]))
            case "remove":
                del text[place : place + draw(st.integers(1, 400))]
            case "lines" if text:
                lines = text.splitlines(keepends=True)
                text = bytearray(b"".join(draw(st.lists(st.sampled_from(lines), max_size=60))))
            case _:
                del text[place:]
    return bytes(text)


@settings(thorough, max_examples=150)
@given(st.data())
async def test_a_mutated_file_is_refused_or_told_of_or_is_what_it_was(whole, data):
    store = memory_store(TTL)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mutated.ndjson"
        path.write_bytes(mutated(data.draw, whole))
        try:
            done = await import_(store, str(path), lambda _: None)
        except FileUnusable:
            done = None
    if done is not None and done.is_whole:
        assert await bytes_of(store) == whole
    for line in await lines_in(store):
        assert row_of(*read_again(line)) is not None


@settings(max_examples=30)
@given(st.lists(rows, max_size=12, unique_by=lambda pair: line_of(*pair)))
async def test_any_documents_at_all_move_from_store_to_store(pairs):
    store, other = memory_store(TTL), memory_store(TTL)
    for collection, row in pairs:
        await insert(store, collection, row)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "any.ndjson"
        await export(store, path, lambda _: None)
        assert (await import_(other, str(path), lambda _: None)).is_whole
    assert await lines_in(other) == await lines_in(store)


async def insert(store, collection, row) -> None:
    inserts = {
        EVENTS: store.log.append_events,
        SNAPSHOTS: store.log.append_snapshots,
        TOTALS: store.totals.restore,
        KEYS: store.keys.restore,
    }
    await inserts[collection]([row])
