"""The store on MongoDB: each port on its own collections, every write a single-document one.

What the ports promise holds on a standalone server, a replica set and a cluster sharded by hashed
`user_id`: nothing here needs a transaction, every query names its users, and every range is one
of `_id`. The ids of a user lie together: `|` sorts behind every character that an id may have, and
`}` behind `|`.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from pymongo import ReplaceOne, UpdateOne

from ingest.core.dedupe import KeyRef, RememberedKey
from ingest.core.records import Day, Event, Kind, Snapshot, day_id
from ingest.core.timestamps import MINUTES_PER_HOUR
from ingest.core.totals import DailyTotal
from ingest.ports import Scope, Store
from ingest.stores.documents import (
    EVENTS,
    KEYS,
    SNAPSHOTS,
    TOTALS,
    event_documents,
    event_of,
    key_document,
    key_id,
    key_of,
    snapshot_document,
    snapshot_of,
    stored_instant,
    total_document,
    total_of,
)
from ingest.stores.mongo.client import Database, documents_of, translated_errors
from ingest.stores.mongo.collection import (
    IN_ID,
    RANGES_MAX,
    WRITES_MAX,
    Filter,
    Range,
    RowCollection,
    ids_of,
    in_any,
    slices,
)

HOUR_MS: Final = 3_600_000


def mongo_store(database: Database, idempotency_ttl: timedelta) -> Store:
    """The store in an open database."""
    return Store(MongoLog(database), MongoTotals(database), MongoKeys(database, idempotency_ttl))


class MongoLog:
    """A `RecordLog` in `activity_events` and `health_snapshots`."""

    def __init__(self, database: Database) -> None:
        self._events = RowCollection(database[EVENTS], event_documents, event_of, IN_ID)
        self._snapshots = RowCollection(
            database[SNAPSHOTS], lambda rows: [*map(snapshot_document, rows)], snapshot_of, IN_ID
        )

    async def append_events(self, events: Sequence[Event]) -> Mapping[int, Event]:
        return await self._events.append(events)

    async def append_snapshots(self, snapshots: Sequence[Snapshot]) -> Mapping[int, Snapshot]:
        return await self._snapshots.append(snapshots)

    async def correct_events(self, events: Sequence[Event]) -> None:
        await self._events.correct(events)

    async def correct_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        await self._snapshots.correct(snapshots)

    async def events_in_hours(self, hours: Collection[tuple[str, int]]) -> Sequence[Event]:
        return await self._events.within(_hour_ranges(hours))

    async def count_in_hours(
        self, hours: Collection[tuple[str, int]]
    ) -> Mapping[tuple[str, int], int]:
        counts = dict.fromkeys(hours, 0)
        hour = {"$floor": {"$divide": [{"$toLong": "$ts"}, HOUR_MS]}}
        by_hour = {"_id": {"user_id": "$user_id", "hour": hour}, "count": {"$sum": 1}}
        for ranges in slices(_hour_ranges(hours), RANGES_MAX):
            stages: list[Filter] = [{"$match": in_any(ranges)}, {"$group": by_hour}]
            with translated_errors():
                found = await documents_of(self._events.collection.aggregate(stages))
            for group in found:
                counts[group["_id"]["user_id"], int(group["_id"]["hour"])] = group["count"]
        return counts

    async def snapshots_of_days(self, days: Collection[Day]) -> Sequence[Snapshot]:
        return await self._snapshots.within(
            [Range(day.user_id, f"{day_id(day)}|", f"{day_id(day)}}}") for day in sorted(days)]
        )

    async def events_between(self, user_id: str, first: int, last: int) -> Sequence[Event]:
        return await self._events.in_order(_minutes(user_id, first, last))

    async def snapshots_between(self, user_id: str, first: str, last: str) -> Sequence[Snapshot]:
        bounds = Range(user_id, f"{user_id}|{first}|", f"{user_id}|{last}}}")
        return await self._snapshots.in_order(bounds)

    def scan_events(self, scope: Scope) -> AsyncIterator[Sequence[Event]]:
        return self._events.scan(scope)

    def scan_snapshots(self, scope: Scope) -> AsyncIterator[Sequence[Snapshot]]:
        return self._snapshots.scan(scope)

    async def count(self) -> int:
        return await self._events.count() + await self._snapshots.count()

    async def erase(self, user_id: str) -> Mapping[Kind, int]:
        return {
            Kind.ACTIVITY: await self._events.erase(user_id),
            Kind.HEALTH: await self._snapshots.erase(user_id),
        }


class MongoTotals:
    """A `TotalStore` in `daily_totals`."""

    def __init__(self, database: Database) -> None:
        self._totals = RowCollection(
            database[TOTALS], lambda totals: [*map(total_document, totals)], total_of
        )

    async def load(self, days: Collection[Day]) -> Mapping[Day, DailyTotal]:
        ids = [{"_id": day_id(day), "user_id": day.user_id} for day in days]
        return {total.day: total for total in (await self._totals.by_id(ids)).values()}

    async def save(self, totals: Sequence[DailyTotal]) -> set[Day]:
        lost: set[Day] = set()
        for chunk in slices(totals, WRITES_MAX):
            lost |= await self._save(chunk)
        return lost

    async def totals_between(self, user_id: str, first: str, last: str) -> Sequence[DailyTotal]:
        bounds = Range(user_id, f"{user_id}|{first}", f"{user_id}|{last}}}")
        return await self._totals.in_order(bounds)

    async def restore(self, totals: Sequence[DailyTotal]) -> Mapping[int, DailyTotal]:
        return await self._totals.append(totals)

    def scan(self, scope: Scope) -> AsyncIterator[Sequence[DailyTotal]]:
        return self._totals.scan(scope)

    async def count(self) -> int:
        return await self._totals.count()

    async def erase(self, user_id: str) -> int:
        return await self._totals.erase(user_id)

    async def _save(self, totals: Sequence[DailyTotal]) -> set[Day]:
        """One bulk of compare-and-sets; the upsert of a first revision collides with any other.

        The server tells only how many it matched. Where it matched too few, see `_lost_of`.
        """
        documents = self._totals.documents_of_rows(totals)
        swaps = [
            ReplaceOne(
                ids_of(document) | {"revision": document["revision"] - 1},
                document,
                upsert=document["revision"] == 1,
            )
            for document in documents
        ]
        written, taken = await self._totals.write(swaps)
        lost = {totals[place].day for place in taken}
        failed = len(totals) - written - len(taken)
        if failed:
            following = [total for total in totals if total.revision > 1]
            lost |= _lost_of(following, await self.load([t.day for t in following]), failed)
        return lost


def _lost_of(
    drafts: Sequence[DailyTotal], stored: Mapping[Day, DailyTotal], failed: int
) -> set[Day]:
    """Which of these drafts, of which so many failed, must be taken as lost.

    A draft that is not stored as it is was lost, or saved and then followed by another. One that
    is may still be another writer's: two that add different records of equal values draft equal
    totals. So it counts as saved only if the failures are accounted for without it; to take a
    saved one as lost costs no more than reading its day again.
    """
    others = [draft for draft in drafts if stored.get(draft.day) != draft]
    surely_lost = [
        draft
        for draft in others
        if draft.day not in stored or stored[draft.day].revision <= draft.revision
    ]
    return {draft.day for draft in (others if len(surely_lost) == failed else drafts)}


class MongoKeys:
    """A `KeyStore` in `idempotency_keys`; the server sweeps out what has expired, some day."""

    def __init__(self, database: Database, ttl: timedelta) -> None:
        self._ttl = ttl
        self._keys = RowCollection(
            database[KEYS], lambda keys: [*map(key_document, keys)], key_of, IN_ID
        )

    async def fingerprints(self, keys: Collection[KeyRef], now: datetime) -> Mapping[KeyRef, str]:
        ids = [{"_id": key_id(key), "user_id": key.user_id} for key in keys]
        found = (await self._keys.by_id(ids)).values()
        return {key.ref: key.fingerprint for key in found if now - key.created_at < self._ttl}

    async def remember(self, fingerprints: Mapping[KeyRef, str], now: datetime) -> None:
        """Each key is written if it is unknown or expired; one that is alive collides."""
        expired = {"created_at": {"$lte": stored_instant(now - self._ttl)}}
        keys = [RememberedKey(ref, text, now) for ref, text in fingerprints.items()]
        for documents in slices(self._keys.documents_of_rows(keys), WRITES_MAX):
            await self._keys.write(
                [
                    UpdateOne(ids_of(document) | expired, {"$set": document}, upsert=True)
                    for document in documents
                ]
            )

    async def restore(self, keys: Sequence[RememberedKey]) -> Mapping[int, RememberedKey]:
        return await self._keys.append(keys)

    def scan(self, scope: Scope) -> AsyncIterator[Sequence[RememberedKey]]:
        return self._keys.scan(scope)

    async def count(self) -> int:
        return await self._keys.count()

    async def erase(self, user_id: str) -> int:
        return await self._keys.erase(user_id)


def _hour_ranges(hours: Collection[tuple[str, int]]) -> list[Range]:
    """A range for each run of hours of a user that follow one another."""
    ranges: list[Range] = []
    run_user, run_first, run_last = "", 0, -1
    for user_id, hour in sorted(hours):
        if user_id == run_user and hour == run_last + 1:
            ranges.pop()
        else:
            run_user, run_first = user_id, hour
        run_last = hour
        last_minute = (hour + 1) * MINUTES_PER_HOUR - 1
        ranges.append(_minutes(user_id, run_first * MINUTES_PER_HOUR, last_minute))
    return ranges


def _minutes(user_id: str, first: int, last: int) -> Range:
    return Range(user_id, f"{user_id}|{first:08d}|", f"{user_id}|{last:08d}}}")
