"""The reference store: the ports' contract in plain dicts, bounded by nothing but memory.

Everything happens between two awaits, so a method is atomic; nothing that was handed in is changed.
"""

import sys
from bisect import bisect_right
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import TypeVar

from ingest.core.dedupe import KeyRef, RememberedKey
from ingest.core.records import Day, Event, Kind, Snapshot, day_id, event_id, snapshot_id
from ingest.core.timestamps import MINUTES_PER_HOUR
from ingest.core.totals import DailyTotal
from ingest.ports import Scope, Store

Row = TypeVar("Row")


def memory_store(idempotency_ttl: timedelta) -> Store:
    """An empty store that lives as long as it is referred to."""
    return Store(MemoryLog(), MemoryTotals(), MemoryKeys(idempotency_ttl))


class MemoryLog:
    """A `RecordLog`: events by user, device, hour and minute; snapshots by user, date and time."""

    def __init__(self) -> None:
        self._events: dict[str, dict[str, dict[int, dict[int, Event]]]] = {}
        self._snapshots: dict[str, dict[str, dict[tuple[int, str], Snapshot]]] = {}

    async def append_events(self, events: Sequence[Event]) -> Mapping[int, Event]:
        known: dict[int, Event] = {}
        user_id = device_id = None
        run_hour = -1
        stored: dict[int, Event] = {}
        for place, event in enumerate(events):
            minute = event.minute
            hour = minute // MINUTES_PER_HOUR
            if hour != run_hour or event.user_id is not user_id or event.device_id is not device_id:
                user_id, device_id, run_hour = event.user_id, event.device_id, hour
                stored = self._hour(user_id, device_id, hour)
            first = stored.get(minute)
            if first is None:
                stored[minute] = event
            else:
                known[place] = first
        return known

    async def append_snapshots(self, snapshots: Sequence[Snapshot]) -> Mapping[int, Snapshot]:
        known = {}
        for place, snapshot in enumerate(snapshots):
            stored, identity = self._date(snapshot), (snapshot.timestamp_ms, snapshot.device_id)
            first = stored.get(identity)
            if first is None:
                stored[identity] = snapshot
            else:
                known[place] = first
        return known

    async def correct_events(self, events: Sequence[Event]) -> None:
        for event in events:
            by_hour = self._events.get(event.user_id, {}).get(event.device_id, {})
            stored = by_hour.get(event.minute // MINUTES_PER_HOUR, {})
            known = stored.get(event.minute)
            if known is not None and known.version < event.version:
                stored[event.minute] = event

    async def correct_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        for snapshot in snapshots:
            stored = self._snapshots.get(snapshot.user_id, {}).get(snapshot.date, {})
            identity = snapshot.timestamp_ms, snapshot.device_id
            known = stored.get(identity)
            if known is not None and known.version < snapshot.version:
                stored[identity] = snapshot

    async def events_in_hours(self, hours: Collection[tuple[str, int]]) -> Sequence[Event]:
        return [
            event
            for user_id, hour in hours
            for by_hour in self._events.get(user_id, {}).values()
            for event in by_hour.get(hour, {}).values()
        ]

    async def count_in_hours(
        self, hours: Collection[tuple[str, int]]
    ) -> Mapping[tuple[str, int], int]:
        return {
            (user_id, hour): sum(
                [len(by_hour.get(hour, ())) for by_hour in self._events.get(user_id, {}).values()]
            )
            for user_id, hour in hours
        }

    async def snapshots_of_days(self, days: Collection[Day]) -> Sequence[Snapshot]:
        return [
            snapshot
            for user_id, date in days
            for snapshot in self._snapshots.get(user_id, {}).get(date, {}).values()
        ]

    async def events_between(self, user_id: str, first: int, last: int) -> Sequence[Event]:
        first_hour, last_hour = first // MINUTES_PER_HOUR, last // MINUTES_PER_HOUR
        found = [
            event
            for by_hour in self._events.get(user_id, {}).values()
            for hour, stored in by_hour.items()
            if first_hour <= hour <= last_hour
            for event in stored.values()
            if first <= event.minute <= last
        ]
        return sorted(found, key=attrgetter("minute", "device_id"))

    async def snapshots_between(self, user_id: str, first: str, last: str) -> Sequence[Snapshot]:
        found = [
            snapshot
            for date, stored in self._snapshots.get(user_id, {}).items()
            if first <= date <= last
            for snapshot in stored.values()
        ]
        return sorted(found, key=attrgetter("date", "timestamp_ms", "device_id"))

    async def scan_events(self, scope: Scope) -> AsyncIterator[Sequence[Event]]:
        for page in _first(scope.limit, self._pages_of_events(scope)):
            yield page

    async def scan_snapshots(self, scope: Scope) -> AsyncIterator[Sequence[Snapshot]]:
        for page in _first(scope.limit, self._pages_of_snapshots(scope)):
            yield page

    async def count(self) -> int:
        events = sum(map(_events_in, self._events.values()))
        return events + sum(map(_snapshots_in, self._snapshots.values()))

    async def erase(self, user_id: str) -> Mapping[Kind, int]:
        return {
            Kind.ACTIVITY: _events_in(self._events.pop(user_id, {})),
            Kind.HEALTH: _snapshots_in(self._snapshots.pop(user_id, {})),
        }

    def _pages_of_events(self, scope: Scope) -> Iterator[list[Event]]:
        for user_id in _users_in(scope, self._events):
            hours = [
                (hour, stored)
                for by_hour in self._events.get(user_id, {}).values()
                for hour, stored in by_hour.items()
                if f"{user_id}|{(hour + 1) * MINUTES_PER_HOUR - 1:08d}}}" > scope.after
            ]
            for _, by_device in groupby(sorted(hours, key=itemgetter(0)), key=itemgetter(0)):
                rows = [event for _, stored in by_device for event in stored.values()]
                rows.sort(key=attrgetter("minute", "device_id"))
                yield [row for row in rows if event_id(row) > scope.after]

    def _pages_of_snapshots(self, scope: Scope) -> Iterator[list[Snapshot]]:
        for user_id in _users_in(scope, self._snapshots):
            for _, stored in sorted(self._snapshots.get(user_id, {}).items()):
                rows = sorted(stored.values(), key=attrgetter("timestamp_ms", "device_id"))
                yield [row for row in rows if snapshot_id(row) > scope.after]

    def _hour(self, user_id: str, device_id: str, hour: int) -> dict[int, Event]:
        by_device = self._events.get(user_id)
        if by_device is None:
            by_device = self._events[user_id] = {}
        by_hour = by_device.get(device_id)
        if by_hour is None:
            by_hour = by_device[device_id] = {}
        stored = by_hour.get(hour)
        if stored is None:
            stored = by_hour[hour] = {}
        return stored

    def _date(self, snapshot: Snapshot) -> dict[tuple[int, str], Snapshot]:
        return self._snapshots.setdefault(snapshot.user_id, {}).setdefault(snapshot.date, {})


class MemoryTotals:
    """A `TotalStore`."""

    def __init__(self) -> None:
        self._totals: dict[str, dict[str, DailyTotal]] = {}
        self._order: list[str] = []  # of the users, until one comes or goes

    async def load(self, days: Collection[Day]) -> Mapping[Day, DailyTotal]:
        found = ((day, self._totals.get(day.user_id, {}).get(day.date)) for day in days)
        return {day: total for day, total in found if total is not None}

    async def save(self, totals: Sequence[DailyTotal]) -> set[Day]:
        lost = set()
        for total in totals:
            user_id, date = total.day
            stored = self._totals.setdefault(user_id, {})
            known = stored.get(date)
            if total.revision == (1 if known is None else known.revision + 1):
                stored[date] = total
            else:
                lost.add(total.day)
        return lost

    async def totals_between(self, user_id: str, first: str, last: str) -> Sequence[DailyTotal]:
        stored = self._totals.get(user_id, {})
        return [stored[date] for date in sorted(stored) if first <= date <= last]

    async def restore(self, totals: Sequence[DailyTotal]) -> Mapping[int, DailyTotal]:
        known = {}
        for place, total in enumerate(totals):
            stored = self._totals.setdefault(total.day.user_id, {})
            if total.day.date in stored:
                known[place] = stored[total.day.date]
            else:
                stored[total.day.date] = total
        return known

    async def scan(self, scope: Scope) -> AsyncIterator[Sequence[DailyTotal]]:
        for page in _first(scope.limit, self._pages(scope)):
            yield page

    async def count(self) -> int:
        return sum(map(len, self._totals.values()))

    async def erase(self, user_id: str) -> int:
        self._order = []
        return len(self._totals.pop(user_id, {}))

    def _pages(self, scope: Scope) -> Iterator[list[DailyTotal]]:
        if len(self._order) != len(self._totals):
            self._order = _in_order(self._totals)
        for user_id in _users_in(scope, self._totals, self._order):
            totals = [total for _, total in sorted(self._totals.get(user_id, {}).items())]
            yield [total for total in totals if day_id(total.day) > scope.after]


class MemoryKeys:
    """A `KeyStore` that forgets from the oldest on, whenever it is written to."""

    def __init__(self, ttl: timedelta) -> None:
        self._ttl = ttl
        self._keys: dict[KeyRef, tuple[str, datetime]] = {}

    async def fingerprints(self, keys: Collection[KeyRef], now: datetime) -> Mapping[KeyRef, str]:
        return {key: self._keys[key][0] for key in keys if self._is_alive(key, now)}

    async def remember(self, fingerprints: Mapping[KeyRef, str], now: datetime) -> None:
        self._forget(now)
        for key, fingerprint in fingerprints.items():
            if not self._is_alive(key, now):
                self._keys.pop(key, None)
                self._keys[key] = (fingerprint, now)

    async def restore(self, keys: Sequence[RememberedKey]) -> Mapping[int, RememberedKey]:
        known = {}
        for place, (ref, fingerprint, created_at) in enumerate(keys):
            if ref in self._keys:
                known[place] = RememberedKey(ref, *self._keys[ref])
            else:
                self._keys[ref] = (fingerprint, created_at)
        return known

    async def scan(self, scope: Scope) -> AsyncIterator[Sequence[RememberedKey]]:
        own = [ref for ref in self._keys if scope.user_id in (None, ref.user_id)]
        ordered = sorted((f"{ref.user_id}|{ref.key}", ref) for ref in own)
        yield [
            RememberedKey(ref, *self._keys[ref]) for key_id, ref in ordered if key_id > scope.after
        ][: scope.limit]

    async def count(self) -> int:
        return len(self._keys)

    async def erase(self, user_id: str) -> int:
        own = [ref for ref in self._keys if ref.user_id == user_id]
        for ref in own:
            del self._keys[ref]
        return len(own)

    def _is_alive(self, key: KeyRef, now: datetime) -> bool:
        known = self._keys.get(key)
        return known is not None and now - known[1] < self._ttl

    def _forget(self, now: datetime) -> None:
        while self._keys and not self._is_alive(oldest := next(iter(self._keys)), now):
            del self._keys[oldest]


def _in_order(users: Iterable[str]) -> list[str]:
    """The users in the order of the ids of what is theirs."""
    return sorted(users, key="{}|".format)


def _users_in(
    scope: Scope, users: Collection[str], in_order: Sequence[str] | None = None
) -> Sequence[str]:
    """The users of a scope, in order; those before its place are left out."""
    if scope.user_id is not None:
        return [scope.user_id] if scope.user_id in users else []
    in_order = _in_order(users) if in_order is None else in_order
    return in_order[bisect_right(in_order, scope.after, key="{}|~".format) :]


def _first(limit: int | None, pages: Iterable[Sequence[Row]]) -> Iterator[Sequence[Row]]:
    """The pages up to this many rows."""
    left = sys.maxsize if limit is None else limit
    for page in pages:
        yield page[:left]
        left -= len(page)
        if left <= 0:
            return


def _events_in(by_device: Mapping[str, Mapping[int, Mapping[int, Event]]]) -> int:
    return sum(len(stored) for by_hour in by_device.values() for stored in by_hour.values())


def _snapshots_in(by_date: Mapping[str, Mapping[tuple[int, str], Snapshot]]) -> int:
    return sum(map(len, by_date.values()))
