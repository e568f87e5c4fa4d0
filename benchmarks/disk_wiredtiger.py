"""What documents take in the files of a mongod: its storage engine, table settings and key layout.

The engine is WiredTiger, as the Python module that the test server brings along (GPL): it is here
for that reason only, and its version is not a mongod's. The tables are created with the texts that
mongod creates its own with (`WiredTigerRecordStore` and `WiredTigerIndex::generateCreateString`),
and the keys are those of its `key_string` V1: a collection maps a record id to BSON, `_id` maps a
string to a record id, any other index a value and a record id to the type bits.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import bson
import wiredtiger

COLLECTION_TABLE: Final = (
    "type=file,memory_page_max=10m,split_pct=90,leaf_value_max=64MB,checksum=on,"
    "block_compressor={},key_format=q,value_format=u"
)
INDEX_TABLE: Final = (
    "type=file,internal_page_max=16k,leaf_page_max=16k,checksum=on,prefix_compression=true,"
    "key_format=u,value_format=u"
)
CACHE: Final = "1GB"
BULK: Final = 500  # writes of a transaction, as mongod groups the inserts of a command
CHECKPOINT_EVERY: Final = 100_000  # writes; mongod does one a minute
FIRST_SECOND: Final = 1_762_128_000  # of the timestamps, which are seconds and a counter
COLLECTION, ID, USER, CREATED = "collection", "_id", "user_id hashed", "created_at"
STRING, DATE, LONG, END = b"\x3c", b"\x78", b"\x32", b"\x04"  # types of a key, and its last byte
OF_A_STRING, OF_A_LONG = b"", b"\x02"  # type bits, which are left out where they are all zero
SIGN: Final = 1 << 63

Document = Mapping[str, Any]
Entry = tuple[bytes, bytes]


class Layout(NamedTuple):
    """How the collection is compressed, and whether each write keeps its timestamp.

    A replica set writes one with each value and index entry that is younger than its window of
    snapshots (5 minutes) when a page is written; it goes when the page is written again later, if
    it is. So without them is the least that there can be, with all of them the most.
    `snappy` is the file of WiredTiger's own extension, which this build of it does not have inside.
    """

    compressor: str
    keeps_timestamps: bool = False
    snappy: str | None = None


class Written(NamedTuple):
    """How many documents there are, their BSON, and by table the bytes: in all, and free in it."""

    documents: int
    writes: int
    bson_bytes: int
    file_bytes: dict[str, int]
    free_bytes: dict[str, int]


def written(documents: Iterable[Document], layout: Layout) -> Written:
    """Write documents in their order; one whose `_id` is there is replaced.

    Only what has `created_at` has an index on it. Pages go to the file in checkpoints on the way,
    and what is measured is there after the last: no journal, no oplog, and not the history of
    replaced documents, which a replica set keeps for its window.
    """
    with _opened(layout) as connection:
        session = connection.open_session()
        tables = _Tables(session, layout)
        ids: dict[str, tuple[int, int]] = {}
        number = 0
        for number, document in enumerate(documents, 1):
            encoded = bson.encode(document)
            is_new = document["_id"] not in ids
            record = len(ids) + 1 if is_new else ids[document["_id"]][0]
            ids[document["_id"]] = record, len(encoded)
            tables.write(number, record, document, encoded, is_new=is_new)
        tables.checkpoint(number)
        session.checkpoint("force=true")  # what the last one replaced is free only after another
        found = {name: _block_bytes(session, place) for name, place in tables.places.items()}
    return Written(
        len(ids),
        number,
        sum(size for _, size in ids.values()),
        {name: in_all for name, (in_all, _) in found.items()},
        {name: free for name, (_, free) in found.items()},
    )


def engine() -> str:
    """The engine, with its version."""
    text: str = wiredtiger.wiredtiger_version()[0]
    return text.split(":", maxsplit=1)[0]


class _Tables:
    """A collection's tables, made when they are first written to."""

    def __init__(self, session: Any, layout: Layout) -> None:
        self.places: dict[str, str] = {}
        self._session = session
        self._layout = layout
        self._cursors: dict[str, Any] = {}
        self._is_writing = False

    def write(
        self, number: int, record: int, document: Document, encoded: bytes, *, is_new: bool
    ) -> None:
        if not self._is_writing:
            self._session.begin_transaction()
            self._is_writing = True
        if self._layout.keeps_timestamps:
            at = (FIRST_SECOND + number // 1000) << 32 | number % 1000 + 1
            self._session.timestamp_transaction(f"commit_timestamp={at:x}")
        self._cursor(COLLECTION)[record] = encoded
        if is_new:
            for name, entry_of in ENTRIES.items():
                if name.split()[0] in document:
                    key, value = entry_of(document, record_id(record))
                    self._cursor(name)[key] = value
        if number % BULK == 0:
            self._commit()
        if number % CHECKPOINT_EVERY == 0:
            self._session.checkpoint()

    def checkpoint(self, number: int) -> None:
        if number % BULK:
            self._commit()
        for cursor in self._cursors.values():
            cursor.close()
        self._session.checkpoint()

    def _commit(self) -> None:
        self._session.commit_transaction()
        self._is_writing = False

    def _cursor(self, name: str) -> Any:
        if name not in self._cursors:
            settings = COLLECTION_TABLE.format(self._layout.compressor)
            self.places[name] = f"table:{len(self.places)}"
            self._session.create(self.places[name], settings if name == COLLECTION else INDEX_TABLE)
            self._cursors[name] = self._session.open_cursor(self.places[name])
        return self._cursors[name]


def record_id(number: int) -> bytes:
    """A record id at the end of a key or as a value: 10 bits in 2 bytes, 8 more in each other."""
    extra = max(0, -(-(number.bit_length() - 10) // 8))
    return (extra << 8 * extra + 13 | number << 3 | extra).to_bytes(extra + 2, "big")


def _id_entry(document: Document, record: bytes) -> Entry:
    return STRING + document["_id"].encode() + b"\0" + END, record


def _user_entry(document: Document, record: bytes) -> Entry:
    """Eight bytes of an MD5, which mongod takes over the value's BSON; here it is over the text."""
    digest = hashlib.md5(document["user_id"].encode(), usedforsecurity=False).digest()
    return LONG + digest[:8] + END + record, OF_A_LONG


def _created_entry(document: Document, record: bytes) -> Entry:
    created_at: datetime = document["created_at"]
    milliseconds = round(created_at.replace(tzinfo=UTC).timestamp() * 1000)
    return DATE + (milliseconds ^ SIGN).to_bytes(8, "big") + END + record, OF_A_STRING


ENTRIES: Final[Mapping[str, Callable[[Document, bytes], Entry]]] = {
    ID: _id_entry,
    USER: _user_entry,
    CREATED: _created_entry,
}


@contextmanager
def _opened(layout: Layout) -> Iterator[Any]:
    settings = f"create,cache_size={CACHE},statistics=(fast)"
    if layout.snappy is not None:
        settings += f",extensions=[{layout.snappy}]"
    with TemporaryDirectory() as folder:
        connection = wiredtiger.wiredtiger_open(folder, settings)
        try:
            if layout.keeps_timestamps:
                connection.set_timestamp(f"oldest_timestamp={FIRST_SECOND << 32:x}")
            yield connection
        finally:
            connection.close()


def _block_bytes(session: Any, place: str) -> tuple[int, int]:
    cursor = session.open_cursor(f"statistics:{place}")
    names = wiredtiger.stat.dsrc
    found = cursor[names.block_size][2], cursor[names.block_reuse_bytes][2]
    cursor.close()
    return found
