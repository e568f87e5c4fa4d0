"""All that a store holds as lines of NDJSON, and back into any store, checked to the last document.

A file is a first line that says what it is, a line for each document (DESIGN section 6, dates as
RFC 3339 texts), collection by collection in the order of their ids, and a last line with their
counts and a checksum over all of them. A file without its last line is not complete.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

import orjson

from ingest.archive_lines import Row, line_of, row_of
from ingest.errors import FileUnusable
from ingest.ndjson import lines_of
from ingest.ports import Scope, Store
from ingest.stores.documents import COLLECTIONS, EVENTS, KEYS, SNAPSHOTS, TOTALS

HEADER: Final = {"ingest_export": 1}
HEADER_LINE: Final = orjson.dumps(HEADER) + b"\n"
BATCH_DOCUMENTS: Final = 5_000

Scan = Callable[[Scope], AsyncIterator[Sequence[Row]]]
Insert = Callable[[Sequence[Row]], Awaitable[Mapping[int, Row]]]


class Tally(NamedTuple):
    """Documents by collection, and the checksum over their lines in order."""

    counts: Mapping[str, int]
    checksum: str


class Imported(NamedTuple):
    """What came of an import: what the file says, what the store now holds of it.

    `new` documents were not there before; `differing` are the numbers of lines whose document was
    there already, but another one.
    """

    file: Tally
    stored: Tally
    new: int
    differing: Sequence[int]

    @property
    def is_whole(self) -> bool:
        """Whether the store holds just what the file says."""
        return self.file == self.stored


async def export(store: Store, path: Path, on_documents: Callable[[int], None]) -> Tally:
    """Write every document to a file, which appears when it is complete.

    Until then it is `<path>.partial`; one that was cut short is continued. What is written to the
    store meanwhile may be left out. Raises `FileUnusable`.
    """
    target, partial = _target_of(path), partial_of(path)
    try:
        with partial.open("a+b") as file:
            running, place = _continued(file)
            on_documents(running.documents)
            for collection, scan in _scans_from(store, place):
                async for rows in scan:
                    lines = [line_of(collection, row) for row in rows]
                    for line in lines:
                        running.add(collection, line)
                    file.writelines(lines)
                    on_documents(len(rows))
            file.write(orjson.dumps(running.tally._asdict()) + b"\n")
        if _tally_on_disk(partial) != running.tally:
            raise FileUnusable(f"{path}: what was written does not read back the same")
        partial.replace(target)
    except OSError as error:
        raise FileUnusable(f"cannot write {path}: {error.strerror}") from error
    return running.tally


def partial_of(path: Path) -> Path:
    """Where an export is written until it is complete."""
    target = path.resolve()
    return target.with_name(f"{target.name}.partial")


async def import_(store: Store, name: str, on_read: Callable[[int], None]) -> Imported:
    """Put every document of a file into the store; what is there already stays as it is.

    It may be run again, whole, after any interruption. Each batch is read back, so the tally is
    that of what the store holds. Raises `FileUnusable` at a line that is no document of an export;
    what stands before it is in the store then.
    """
    putting, is_begun = _Putting(store), False
    file_tally: Tally | None = None
    async for lines in lines_of(name, on_read):
        for number, line in lines:
            where = f"{name}, line {number}"
            fields = _parsed(line, where)
            if is_begun == (fields == HEADER):
                raise FileUnusable(f"{where}: this is no export of ingest, or two in one file")
            if file_tally is not None:
                raise FileUnusable(f"{where}: more behind the last line of an export")
            if not is_begun:
                is_begun = True
            elif "checksum" in fields:
                file_tally = _tally_in(fields, where)
            else:
                await putting.add(number, *_row_in(fields, where))
    await putting.flush()
    if file_tally is None:
        raise FileUnusable(f"{name} ends early; what it holds was imported, but more is missing")
    return Imported(file_tally, putting.running.tally, putting.new, putting.differing)


class _Running:
    """A tally in the making."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(COLLECTIONS, 0)
        self._hash = blake2b(digest_size=16)

    def add(self, collection: str, line: bytes) -> None:
        self._counts[collection] += 1
        self._hash.update(line)

    @property
    def documents(self) -> int:
        return sum(self._counts.values())

    @property
    def tally(self) -> Tally:
        return Tally({**self._counts}, self._hash.hexdigest())


class _Putting:
    """Rows on their way into a store, a batch of one collection at a time, each read back."""

    def __init__(self, store: Store) -> None:
        self._inserts: dict[str, Insert] = {
            EVENTS: store.log.append_events,
            SNAPSHOTS: store.log.append_snapshots,
            TOTALS: store.totals.restore,
            KEYS: store.keys.restore,
        }
        self._collection = EVENTS
        self._batch: list[tuple[int, Row]] = []
        self.running = _Running()
        self.new = 0
        self.differing: list[int] = []

    async def add(self, number: int, collection: str, row: Row) -> None:
        if collection != self._collection or len(self._batch) == BATCH_DOCUMENTS:
            await self.flush()
        self._collection = collection
        self._batch.append((number, row))

    async def flush(self) -> None:
        """Insert the batch, and once more: then every row is there, and comes back as stored."""
        if not self._batch:
            return
        insert, rows = self._inserts[self._collection], [row for _, row in self._batch]
        self.new += len(rows) - len(await insert(rows))
        stored = await insert(rows)
        for place, (number, row) in enumerate(self._batch):
            if stored.get(place) != row:
                self.differing.append(number)
            if place in stored:
                self.running.add(self._collection, line_of(self._collection, stored[place]))
        self._batch = []


def _tally_on_disk(path: Path) -> Tally | None:
    """What a complete file really holds, its first and last line apart; None if it is broken."""
    running = _Running()
    with path.open("rb") as file:
        for line in file:
            try:
                fields = orjson.loads(line)
                if fields != HEADER and "checksum" not in fields:
                    running.add(fields["collection"], line)
            except (ValueError, KeyError, TypeError):
                return None
    return running.tally


def _target_of(path: Path) -> Path:
    """What a path names in the end; a pipe or a device would be replaced, so it is refused."""
    if path.exists() and not path.is_file():
        raise FileUnusable(f"cannot write {path}: it is no regular file")
    return path.resolve()


def _continued(file: IO[bytes]) -> tuple[_Running, tuple[str, str] | None]:
    """The tally of the whole lines of a partial file, and the last document's collection and id.

    The file is cut behind them, and begun where there are none.
    """
    running, place, end = _Running(), None, 0
    file.seek(0)
    unusable = FileUnusable(f"{file.name} is no export that was cut short; move it away")
    try:
        for number, line in enumerate(file):
            if number == 0 and not HEADER_LINE.startswith(line):
                raise unusable
            if not line.endswith(b"\n"):
                break
            if number:
                fields = orjson.loads(line)
                if "checksum" in fields:
                    break
                before, place = place, (fields["collection"], fields["document"]["_id"])
                if before is not None and _order_of(place) <= _order_of(before):
                    raise unusable  # two exports wrote it at once
                running.add(place[0], line)
            end += len(line)
    except (ValueError, KeyError, TypeError):
        raise unusable from None
    file.truncate(end)
    if not end:
        file.write(HEADER_LINE)
    return running, place


def _order_of(place: tuple[str, str]) -> tuple[int, str]:
    collection, document_id = place
    return COLLECTIONS.index(collection), document_id


def _scans_from(
    store: Store, place: tuple[str, str] | None
) -> Iterator[tuple[str, AsyncIterator[Sequence[Row]]]]:
    scans: dict[str, Scan] = {
        EVENTS: store.log.scan_events,
        SNAPSHOTS: store.log.scan_snapshots,
        TOTALS: store.totals.scan,
        KEYS: store.keys.scan,
    }
    first, after = place or (COLLECTIONS[0], "")
    for collection in COLLECTIONS[COLLECTIONS.index(first) :]:
        yield collection, scans[collection](Scope(after=after if collection == first else ""))


def _parsed(line: bytes, where: str) -> dict[str, Any]:
    try:
        fields = orjson.loads(line)
    except ValueError:
        raise FileUnusable(f"{where}: not JSON") from None
    if not isinstance(fields, dict):
        raise FileUnusable(f"{where}: not a JSON object")
    return fields


def _tally_in(fields: Mapping[str, Any], where: str) -> Tally:
    counts, checksum = fields.get("counts"), fields["checksum"]
    if (
        not isinstance(counts, dict)
        or {*counts} != {*COLLECTIONS}
        or not all(type(count) is int for count in counts.values())
        or not isinstance(checksum, str)
    ):
        raise FileUnusable(f"{where}: not the last line of an export")
    return Tally(counts, checksum)


def _row_in(fields: Mapping[str, Any], where: str) -> tuple[str, Row]:
    collection = fields.get("collection")
    try:
        return cast("str", collection), row_of(collection, fields.get("document"))
    except ValueError as error:
        raise FileUnusable(f"{where}: {error}") from None
