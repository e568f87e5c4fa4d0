"""One collection of rows: inserted, corrected, read by id and by range of ids, scanned, erased."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, Final, Generic, NamedTuple, TypeVar

from pymongo import ASCENDING, ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError
from pymongo.message import _INSERT

from ingest.errors import StoreUnavailable
from ingest.ports import Scope
from ingest.stores.documents import Document
from ingest.stores.mongo.client import (
    DUPLICATE_KEY,
    Collection,
    documents_of,
    error_of_bulk,
    translated_errors,
)

WRITES_MAX: Final = 10_000  # documents in a bulk, so that each fits MONGODB_TIMEOUT_SECONDS
IDS_MAX: Final = 250  # ids in a query
RANGES_MAX: Final = 200  # ranges of ids in a query
PAGE_DOCUMENTS: Final = 5_000  # of a scan
SCANS_MAX: Final = 10  # times that a scan is taken up again at one place
# What the `_id` says again: not worth reading.
IN_ID: Final = {"user_id": False, "device_id": False, "ts": False, "timestamp": False}

_BY_ID: Final = [("_id", ASCENDING)]

Row = TypeVar("Row")
Item = TypeVar("Item")
Filter = dict[str, Any]


class Inserts:
    """Every insert of a bulk as one request of it.

    The driver's own are one a document, and each is looked at twice on its way, which costs as much
    as to encode it (`benchmarks/inserts.py`). `_add_to_bulk` is how PyMongo 4.13 to 4.20 has a bulk
    take any request, and the rest, retries and errors included, is the driver's.
    """

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = documents

    def _add_to_bulk(self, bulk: Any) -> None:
        bulk.ops += zip(repeat(_INSERT), self._documents)


Write = ReplaceOne[Document] | UpdateOne | Inserts


class Range(NamedTuple):
    """A user's documents from the id `first` to those before the id `before`."""

    user_id: str
    first: str
    before: str


class Written(NamedTuple):
    """How many documents a bulk wrote, and the places of those whose id was taken."""

    documents: int
    taken: Sequence[int]


class RowCollection(Generic[Row]):
    """Rows of one kind and their documents; `row_of` needs what `projection` leaves of one."""

    def __init__(
        self,
        collection: Collection,
        documents_of_rows: Callable[[Iterable[Row]], list[Document]],
        row_of: Callable[[Mapping[str, Any]], Row],
        projection: Mapping[str, Any] | None = None,
    ) -> None:
        self.collection = collection
        self.documents_of_rows = documents_of_rows
        self._row_of = row_of
        self._projection = projection

    async def append(self, rows: Sequence[Row]) -> dict[int, Row]:
        """Insert the rows whose ids are free; for the places of the others, what is stored."""
        known: dict[int, Row] = {}
        for start in range(0, len(rows), WRITES_MAX):
            documents = self.documents_of_rows(rows[start : start + WRITES_MAX])
            if taken := (await self.write([Inserts(documents)])).taken:
                stored = await self.by_id([documents[place] for place in taken])
                known |= {
                    start + place: self._there(stored, documents[place]["_id"]) for place in taken
                }
        return known

    async def correct(self, rows: Sequence[Row]) -> None:
        """Replace each stored row of the same id whose version is lower."""
        for documents in slices(self.documents_of_rows(rows), WRITES_MAX):
            await self.write(
                [
                    UpdateOne(
                        ids_of(document) | {"version": {"$lt": document["version"]}},
                        {"$set": document},
                    )
                    for document in documents
                ]
            )

    async def write(self, writes: Sequence[Write]) -> Written:
        """One unordered bulk; raises `StoreUnavailable` unless all of it is durable."""
        with translated_errors():
            try:
                result = await self.collection.bulk_write(
                    writes,  # type: ignore[arg-type]  # `Inserts` is a request of ours
                    ordered=False,
                )
            except BulkWriteError as error:  # quotes what was written: nothing is raised from here
                details = error.details or {}
            else:
                return Written(result.matched_count + result.upserted_count, ())
        return _written_but_for(details)

    async def by_id(self, documents: Sequence[Mapping[str, Any]]) -> dict[str, Row]:
        """The stored rows of these ids; a document needs only its `_id` and `user_id`."""
        found: dict[str, Row] = {}
        for chunk in slices(documents, IDS_MAX):
            ids = {"$in": [document["_id"] for document in chunk]}
            users = {"$in": [*{document["user_id"] for document in chunk}]}
            with translated_errors():
                documents_found = await documents_of(
                    self.collection.find({"_id": ids, "user_id": users}, self._projection)
                )
            found |= {document["_id"]: self._row_of(document) for document in documents_found}
        return found

    async def within(self, ranges: Sequence[Range]) -> list[Row]:
        """The rows in any of these ranges, which do not overlap."""
        rows: list[Row] = []
        for chunk in slices(ranges, RANGES_MAX):
            rows += await self._find(in_any(chunk))
        return rows

    async def in_order(self, bounds: Range) -> list[Row]:
        """The rows in one range, in the order of their ids."""
        return await self._find(in_any([bounds]), sort=_BY_ID)

    async def scan(self, scope: Scope) -> AsyncIterator[Sequence[Row]]:
        """Page by page, in the order of their ids; taken up again where a cursor was lost."""
        async for page in self._pages(scope, self._projection):
            yield [self._row_of(document) for document in page]

    async def count(self) -> int:
        """How many there are by the server's own account, which a crash can put off a little."""
        with translated_errors():
            return await self.collection.estimated_document_count()

    async def erase(self, user_id: str) -> int:
        """Delete all of a user, page by page, so that no deletion takes long; how many."""
        count = 0
        async for page in self._pages(Scope(user_id), {"_id": True}):
            for chunk in slices(page, IDS_MAX):
                ids = {"$in": [document["_id"] for document in chunk]}
                with translated_errors():
                    deleted = await self.collection.delete_many({"user_id": user_id, "_id": ids})
                count += deleted.deleted_count
        return count

    async def _pages(
        self, scope: Scope, projection: Mapping[str, Any] | None
    ) -> AsyncIterator[list[Document]]:
        after, left, failures = scope.after, scope.limit or 0, 0  # the server takes 0 for all
        while True:
            try:
                with translated_errors():
                    cursor = self.collection.find(
                        _bounds_of(scope._replace(after=after)),
                        projection,
                        sort=_BY_ID,
                        batch_size=PAGE_DOCUMENTS,
                        limit=left,
                    )
                    while page := await cursor.to_list(PAGE_DOCUMENTS):
                        yield page
                        after, failures = page[-1]["_id"], 0
                        if left == len(page):
                            return
                        left -= min(left, len(page))
                    return
            except StoreUnavailable:
                failures += 1
                if failures == SCANS_MAX:
                    raise

    async def _find(self, where: Filter, **options: Any) -> list[Row]:
        with translated_errors():
            found = await documents_of(self.collection.find(where, self._projection, **options))
        return [*map(self._row_of, found)]

    def _there(self, stored: Mapping[str, Row], row_id: str) -> Row:
        """A row whose id was taken; it may have been deleted, or not be held by a majority yet."""
        try:
            return stored[row_id]
        except KeyError:
            raise StoreUnavailable(
                f"a document of {self.collection.name} was there but cannot be read yet; if this "
                "goes on, look for a unique index besides _id"
            ) from None


def ids_of(document: Mapping[str, Any]) -> Filter:
    """The filter that one document matches; with its shard key, so that one shard is asked."""
    return {"_id": document["_id"], "user_id": document["user_id"]}


def in_any(ranges: Sequence[Range]) -> Filter:
    """The filter of the documents in any of these ranges, with their shard key before all."""
    users = {own.user_id for own in ranges}
    user_id = next(iter(users)) if len(users) == 1 else {"$in": sorted(users)}
    bounds = [{"_id": {"$gte": own.first, "$lt": own.before}} for own in ranges]
    return {"user_id": user_id, **(bounds[0] if len(bounds) == 1 else {"$or": bounds})}


def slices(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items in order, at most `size` at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))


def _bounds_of(scope: Scope) -> Filter:
    if scope.user_id is None:
        return {"_id": {"$gt": scope.after}}
    after = max(scope.after, f"{scope.user_id}|")
    return {"user_id": scope.user_id, "_id": {"$gt": after, "$lt": f"{scope.user_id}}}"}}


def _written_but_for(details: Mapping[str, Any]) -> Written:
    """What a bulk wrote, if nothing kept the others from being written but their ids."""
    errors = details["writeErrors"]
    if details["writeConcernErrors"] or any(e["code"] != DUPLICATE_KEY for e in errors):
        raise error_of_bulk(details)
    return Written(details["nMatched"] + details["nUpserted"], [error["index"] for error in errors])
