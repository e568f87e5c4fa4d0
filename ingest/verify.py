"""Every day recomputed from the log, beside its stored total: what differs, and how it is mended.

Memory is bounded by a user's busiest three days: events, snapshots and totals are scanned in the
order of their ids, so the days of all three come by side by side.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from ingest.core.documents import Document, total_message
from ingest.core.records import Day, Event, Snapshot, day_id
from ingest.core.timestamps import MINUTES_PER_DAY, first_minute, neighbouring_dates
from ingest.core.totals import DailyTotal, Rules, advanced, is_same, recompute
from ingest.errors import BatchRetryable
from ingest.ports import Scope, Store

RACES_MAX: Final = 10
_DERIVED: Final = (
    *("steps", "calories_out", "hr_avg", "basis", "devices"),
    *("events_count", "snapshots_count", "resets"),
)


class Difference(NamedTuple):
    """A day whose stored total is not what its records come to; None is no total, or no record."""

    day: Day
    stored: DailyTotal | None
    right: DailyTotal | None

    def document(self) -> Document:
        """The day and each field that differs, as [stored, right]; of none, the hidden state."""
        stored, right = _fields_of(self.stored), _fields_of(self.right)
        fields = {
            name: [stored.get(name), right.get(name)]
            for name in _DERIVED
            if stored.get(name) != right.get(name)
        }
        return {
            "user_id": self.day.user_id,
            "date": self.day.date,
            "differs": fields or {"state": ["as it was folded", "as it is recomputed"]},
        }


async def differences(
    store: Store,
    rules: Rules,
    *,
    user_id: str | None,
    first_date: str,
    now: datetime,
    on_day: Callable[[], None],
) -> AsyncIterator[Difference]:
    """The days from `first_date` on that differ, of one user or of all.

    Each is looked at once more by itself, so that what was being written meanwhile is not told of,
    unless its batch is still on its way from the log to the totals.
    """
    scope = Scope(user_id)
    streams = (
        _by_day(store.totals.scan(scope)),
        _by_date_of_event(store.log.scan_events(scope)),
        _by_date_of_snapshot(store.log.scan_snapshots(scope)),
    )
    async for day, (total, events, snapshots) in _side_by_side(streams):
        on_day()
        if day.date < first_date:
            continue
        if not is_same(total, recompute(day, events or (), snapshots or (), rules, now)):
            found = await difference_of(store, rules, day, now)
            if found is not None:
                yield found


async def difference_of(store: Store, rules: Rules, day: Day, now: datetime) -> Difference | None:
    """How a day differs, if it does; its total is read before the log, as DESIGN section 7 says."""
    stored = (await store.totals.load([day])).get(day)
    start = first_minute(day.date)
    around = await store.log.events_between(
        day.user_id, start - MINUTES_PER_DAY, start + 2 * MINUTES_PER_DAY - 1
    )
    events = [event for event in around if event.date == day.date]
    right = recompute(day, events, await store.log.snapshots_of_days([day]), rules, now)
    return None if is_same(stored, right) else Difference(day, stored, right)


async def mend(store: Store, rules: Rules, difference: Difference, now: datetime) -> None:
    """Save a day as its records come to, at its next revision, unless a worker just did.

    Raises `BatchRetryable` if the day keeps changing.
    """
    found: Difference | None = difference
    for _ in range(RACES_MAX):
        if found is None:
            return
        day, stored, right = found
        revision = 1 if stored is None else stored.revision + 1
        mended = right or advanced(None, day, rules, now)
        if not await store.totals.save([mended._replace(revision=revision)]):
            return
        found = await difference_of(store, rules, day, now)
    raise BatchRetryable(f"a day kept changing under {RACES_MAX} attempts to mend it")


def _fields_of(total: DailyTotal | None) -> Document:
    return total_message(total) if total is not None and total.state else {}


async def _side_by_side(
    streams: Sequence[AsyncIterator[tuple[Day, Any]]],
) -> AsyncIterator[tuple[Day, list[Any]]]:
    """Each day that any stream has, with what each stream has of it; all are in one order."""
    heads = [await anext(stream, None) for stream in streams]
    while present := [head for head in heads if head is not None]:
        day = min((head[0] for head in present), key=day_id)
        is_own = [head is not None and head[0] == day for head in heads]
        yield (
            day,
            [head[1] if head and own else None for head, own in zip(heads, is_own, strict=True)],
        )
        heads = [
            await anext(stream, None) if own else head
            for stream, head, own in zip(streams, heads, is_own, strict=True)
        ]


async def _by_day(
    pages: AsyncIterator[Sequence[DailyTotal]],
) -> AsyncIterator[tuple[Day, DailyTotal]]:
    async for page in pages:
        for total in page:
            yield total.day, total


async def _by_date_of_snapshot(
    pages: AsyncIterator[Sequence[Snapshot]],
) -> AsyncIterator[tuple[Day, list[Snapshot]]]:
    day, own = Day("", ""), list[Snapshot]()
    async for page in pages:
        for snapshot in page:
            its_day = Day(snapshot.user_id, snapshot.date)
            if its_day != day:
                if own:
                    yield day, own
                day, own = its_day, []
            own.append(snapshot)
    if own:
        yield day, own


async def _by_date_of_event(
    pages: AsyncIterator[Sequence[Event]],
) -> AsyncIterator[tuple[Day, list[Event]]]:
    """Events come by minute: a date is complete behind the last minute that can have it."""
    user_id, utc_day = "", 0
    waiting: dict[str, list[Event]] = {}
    async for page in pages:
        for event in page:
            its_utc_day = event.minute // MINUTES_PER_DAY
            if event.user_id != user_id or its_utc_day != utc_day:
                earliest = neighbouring_dates(event.minute)[0]
                is_over = event.user_id != user_id
                for date in sorted(d for d in waiting if is_over or d < earliest):
                    yield Day(user_id, date), waiting.pop(date)
                user_id, utc_day = event.user_id, its_utc_day
            waiting.setdefault(event.date, []).append(event)
    for date in sorted(waiting):
        yield Day(user_id, date), waiting[date]
