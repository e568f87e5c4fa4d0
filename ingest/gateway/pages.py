"""Pages of what a store holds of a user, and of its users, each read behind an id, never counted.

A page costs what it holds: one more row is read, to know whether another page follows.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from ingest.core.documents import Document
from ingest.core.records import SCALE, Event, day_id, event_id, mean_units, number_of
from ingest.core.sums import sums_of
from ingest.core.timestamps import (
    FIRST_DATE,
    LAST_DATE,
    MINUTE_MS,
    MINUTES_PER_DAY,
    MINUTES_PER_HOUR,
    first_minute,
    text_of,
)
from ingest.core.totals import DailyTotal
from ingest.gateway.parameters import cursor_of, day_behind, event_behind
from ingest.ports import RecordLog, Scope, TotalStore

TOTALS_OF_A_READ: Final = 8  # small, because all but one may be of a user who is known by then
MINUTES_END: Final = 10**8  # an id has room for 8 digits of minutes

Row = TypeVar("Row")


class Asked(NamedTuple):
    """Which rows of a user: from one date to another, both included, behind a cursor."""

    user_id: str
    first: str | None
    last: str | None
    cursor: str | None
    limit: int


class Page(NamedTuple, Generic[Row]):
    """Some rows in order, and the cursor to go on with, if there are more."""

    rows: Sequence[Row]
    next: str | None


async def page_of_days(totals: TotalStore, asked: Asked) -> Page[DailyTotal]:
    """A user's totals by date; raises a `Problem` where the cursor is none of this list."""
    user_id, last = asked.user_id, asked.last or LAST_DATE
    after = day_behind(asked.cursor, user_id) if asked.cursor is not None else ""
    scope = Scope(user_id, max(after, _just_before(f"{user_id}|{asked.first or FIRST_DATE}")))
    return await _page(
        totals.scan,
        scope,
        asked.limit,
        is_within=lambda total: total.day.date <= last,
        id_of=lambda total: day_id(total.day),
    )


async def page_of_events(log: RecordLog, asked: Asked) -> Page[Event]:
    """A user's events by time, of UTC dates; raises as `page_of_days` does."""
    user_id = asked.user_id
    first = first_minute(asked.first) if asked.first is not None else 0
    end = MINUTES_END if asked.last is None else first_minute(asked.last) + MINUTES_PER_DAY
    after = event_behind(asked.cursor, user_id) if asked.cursor is not None else ""
    bound = f"{user_id}|{min(max(first, 0), MINUTES_END - 1):08d}"
    return await _page(
        log.scan_events,
        Scope(user_id, max(after, bound)),
        asked.limit,
        is_within=lambda event: first <= event.minute < end,
        id_of=event_id,
    )


async def users_behind(
    totals: TotalStore, after: str | None, prefix: str, limit: int
) -> tuple[Sequence[str], str | None]:
    """Users who have totals and begin with a prefix, and the one to go on behind.

    They come in the order of their ids, and each is skipped whole: `|` sorts behind every
    character of a user, so all that is a user's lies together, and `~` behind `|`.
    """
    found: list[str] = []
    place = max("" if after is None else f"{after}~", prefix)
    while len(found) <= limit:
        scan = totals.scan(Scope(after=place, limit=TOTALS_OF_A_READ))
        users = [total.day.user_id async for rows in scan for total in rows]
        own = dict.fromkeys(user_id for user_id in users if user_id.startswith(prefix))
        found += own
        if not users or users[-1] not in own:
            break
        place = f"{users[-1]}~"
    return found[:limit], found[limit - 1] if len(found) > limit else None


async def hours_of_day(log: RecordLog, user_id: str, date: str) -> list[Document]:
    """What the events of a civil date come to by UTC hour and device; an offset is under a day."""
    start = first_minute(date)
    around = await log.events_between(
        user_id, max(0, start - MINUTES_PER_DAY), start + 2 * MINUTES_PER_DAY - 1
    )
    return hours_of([event for event in around if event.date == date])


def hours_of(events: Sequence[Event]) -> list[Document]:
    """The sums of each device's events of each hour, by hour, then device."""
    found = sums_of(events).items()
    return [
        {
            "hour": f"{text_of(key.hour * MINUTES_PER_HOUR * MINUTE_MS, 0)[:19]}Z",
            "steps": sums.steps,
            "calories_out": sums.calories_out / SCALE,
            "hr_avg": number_of(mean_units(sums.hr_sum, sums.hr_count)),
            "events": sums.events,
            "device_id": key.device_id,
        }
        for key, sums in sorted(found, key=lambda pair: (pair[0].hour, pair[0].device_id))
    ]


async def _page(
    scan: Callable[[Scope], AsyncIterator[Sequence[Row]]],
    scope: Scope,
    limit: int,
    *,
    is_within: Callable[[Row], bool],
    id_of: Callable[[Row], str],
) -> Page[Row]:
    read = scan(scope._replace(limit=limit + 1))
    rows = [row async for some in read for row in some if is_within(row)]
    return Page(rows[:limit], cursor_of(id_of(rows[limit - 1])) if len(rows) > limit else None)


def _just_before(row_id: str) -> str:
    """What sorts right before an id: a scan behind it begins with the id itself."""
    return f"{row_id[:-1]}{chr(ord(row_id[-1]) - 1)}~"
