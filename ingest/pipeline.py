"""One batch of messages, step by step (DESIGN section 7), over the ports.

The order of the steps is what makes totals exact with plain single-document writes: records are
durable before they are folded, totals are saved before they are published, keys are remembered
last, and the caller acknowledges only what `run` returned from. A run that raised may be repeated,
whole, any number of times.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, cast

from ingest.core.capacity import admit
from ingest.core.codec import decode
from ingest.core.dedupe import Judgement, Keyed, KeyRef, Row, Verdict, judge, verdicts_of, with_keys
from ingest.core.records import Day, Event, Kind, Record, Snapshot
from ingest.core.refusals import Decoded
from ingest.core.retention import window_of
from ingest.core.timestamps import MINUTES_PER_HOUR, neighbouring_dates
from ingest.core.totals import (
    NO_CHANGE,
    NOT_AT_HAND,
    Change,
    Counted,
    DailyTotal,
    Reread,
    Rules,
    advanced,
    can_fold,
    changes_of,
    counted_with,
    events_in_hour,
    fold,
    is_counted,
    repair,
)
from ingest.day_cache import DayCache
from ingest.errors import BatchRetryable
from ingest.outcome import Judged, Outcome, Settled, dead_letters_of, outcome_of
from ingest.ports import Message, Publisher, Store

RACES_MAX: Final = 10
REREAD_DAYS_MAX: Final = 256  # days read again at once, so that a batch of late records is bounded

Permit = Callable[[Outcome], Awaitable[None]]


async def _permitted(_: Outcome) -> None:
    """Nothing stands against publishing."""


class Pipeline:
    """Turns batches of messages into saved and published totals.

    Batches that share a day must be run one after another. `now` gives the time as aware UTC.
    """

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        *,
        rules: Rules,
        now: Callable[[], datetime],
        future_skew_max: timedelta,
        day_cache_size: int,
        retention: timedelta | None = None,
    ) -> None:
        self._log, self._totals, self._keys = store
        self._publisher = publisher
        self._rules = rules
        self._now = now
        self._future_skew_max = future_skew_max
        self._retention = retention
        self.cache = DayCache(day_cache_size)

    async def run(self, messages: Sequence[Message], permit: Permit = _permitted) -> Outcome:
        """Bring a batch to its outcome; only when this returns may the caller acknowledge it.

        `permit` is asked right before anything is published, when records and totals are saved;
        what it raises ends the batch there. Raises `BatchRetryable` (nothing was acknowledged, run
        it again) or what a port or `permit` raised.
        """
        now = _whole_ms(self._now())
        window = window_of(now, self._future_skew_max, self._retention)
        decoded = [decode(message.value, message.kind, window) for message in messages]
        keyed = self._admit(messages, await self._apply_keys(messages, decoded, now))
        events = cast("list[Event]", _rows(keyed.decoded, Kind.ACTIVITY))
        snapshots = cast("list[Snapshot]", _rows(keyed.decoded, Kind.HEALTH))
        known_events = await self._log.append_events(events) if events else {}
        known_snapshots = await self._log.append_snapshots(snapshots) if snapshots else {}
        judged_events = _judged(events, known_events)
        judged_snapshots = _judged(snapshots, known_snapshots)
        await self._correct(judged_events, judged_snapshots)
        new_events = _unknown(events, known_events)
        new_snapshots = _unknown(snapshots, known_snapshots)
        changes = changes_of(new_events, new_snapshots)
        left_events, left_snapshots = _left_by_an_attempt(keyed.refused)
        touched = _touched_by(judged_events + left_events, judged_snapshots + left_snapshots)
        settled = await self._settle(changes, touched, now)
        dead_letters = dead_letters_of(messages, keyed.decoded, judged_events, judged_snapshots)
        verdicts = {
            Kind.ACTIVITY: (len(new_events), verdicts_of(judged_events)),
            Kind.HEALTH: (len(new_snapshots), verdicts_of(judged_snapshots)),
        }
        judged = Judged(keyed.decoded, judged_events, judged_snapshots)
        outcome = outcome_of(messages, keyed, verdicts, dead_letters, settled, judged)
        await permit(outcome)
        if settled.totals:
            await self._publisher.publish_totals(settled.totals)
        if dead_letters:
            await self._publisher.publish_dead_letters(dead_letters)
        if keyed.fresh:
            await self._keys.remember(keyed.fresh, now)
        return outcome

    async def _apply_keys(
        self, messages: Sequence[Message], decoded: list[Decoded], now: datetime
    ) -> Keyed:
        keys = {
            place: KeyRef(d.user_id, d.idempotency_key)
            for place, d in enumerate(decoded)
            if d.idempotency_key is not None
        }
        if not keys:
            return Keyed(decoded, {}, {})
        known = await self._keys.fingerprints({*keys.values()}, now)
        return with_keys([m.value for m in messages], decoded, keys, known)

    def _admit(self, messages: Sequence[Message], keyed: Keyed) -> Keyed:
        """The batch without what days that are full do not take, as far as is known unread."""
        admitted = admit(lambda place: messages[place].value, keyed.decoded, self.cache.get)
        return keyed if admitted is keyed.decoded else keyed._replace(decoded=admitted)

    async def _correct(
        self, events: Iterable[Judgement[Event]], snapshots: Iterable[Judgement[Snapshot]]
    ) -> None:
        corrected_events = [j.incoming for j in events if j.verdict is Verdict.CORRECTED]
        if corrected_events:
            await self._log.correct_events(corrected_events)
        corrected_snapshots = [j.incoming for j in snapshots if j.verdict is Verdict.CORRECTED]
        if corrected_snapshots:
            await self._log.correct_snapshots(corrected_snapshots)

    async def _settle(
        self, changes: Mapping[Day, Change], touched: dict[Day, "_Touched"], now: datetime
    ) -> Settled:
        """Save the total of every touched day: folded where that needs no read, else read again."""
        counted: dict[Day, Counted] = {}
        before, drafts = self._folded(changes, touched, counted, now)
        settled = await self._save(drafts)
        self.cache.put(settled, counted)
        races = len(drafts) - len(settled)
        saved = {total.day for total in settled}
        for day, change in changes.items():
            if day not in saved:
                touched.setdefault(day, _Touched()).add(change)
        folded, left = len(settled), iter([day for day in touched if day not in saved])
        while chunk := {day: touched[day] for day in islice(left, REREAD_DAYS_MAX)}:
            reread, lost_races = await self._settle_by_reading(chunk, before, now)
            settled += reread
            races += lost_races
        return Settled(settled, folded, len(settled) - folded, races, before)

    def _folded(
        self,
        changes: Mapping[Day, Change],
        touched: Mapping[Day, "_Touched"],
        counted: dict[Day, Counted],
        now: datetime,
    ) -> tuple[dict[Day, DailyTotal], list[DailyTotal]]:
        """The totals at hand that can take their change, and what they are with it.

        `counted` is told what snapshots the latter count, where that is known.
        """
        before: dict[Day, DailyTotal] = {}
        drafts = []
        for day, change in changes.items():
            total = self.cache.get(day)
            if total is None:
                continue
            own, part = self.cache.counted(total), touched.get(day)
            is_known = own or not total.snapshots_count
            after = counted_with(own, change) if change.snapshots and is_known else own
            if part is not None and not part.is_counted_in(after):
                continue
            if can_fold(total, change, own, self._rules.snapshots):
                before[day], counted[day] = total, after
                drafts.append(fold(total, change, self._rules, now, own))
        return before, drafts

    async def _settle_by_reading(
        self, touched: Mapping[Day, "_Touched"], before: dict[Day, DailyTotal], now: datetime
    ) -> tuple[list[DailyTotal], int]:
        settled: list[DailyTotal] = []
        counted: dict[Day, Counted] = {}
        races = 0
        for _ in range(RACES_MAX):
            known = await self._totals.load(touched)
            before.update(known)
            unchanged, drafts = await self._repair(touched, known, counted, now)
            saved = await self._save(drafts)
            settled += unchanged + saved
            if len(saved) == len(drafts):
                self.cache.put(settled, counted)
                return settled, races
            races += len(drafts) - len(saved)
            lost = {draft.day for draft in drafts} - {total.day for total in saved}
            touched = {day: touched[day] for day in lost}
        raise BatchRetryable(f"{len(touched)} days kept changing under {RACES_MAX} attempts")

    async def _repair(
        self,
        touched: Mapping[Day, "_Touched"],
        known: Mapping[Day, DailyTotal],
        counted: dict[Day, Counted],
        now: datetime,
    ) -> tuple[list[DailyTotal], list[DailyTotal]]:
        """The totals that are right as they are, and the drafts of the others.

        `counted` is told what snapshots they count, of the days where that is known.

        Totals were read before the log is: whoever then loses the compare-and-set reads again and
        sees the winner's records.
        """
        differing = await self._differing_hours(touched, known)
        hours = {(day.user_id, hour) for day, own in differing.items() for hour in own}
        events = await self._log.events_in_hours(hours) if hours else ()
        at_hand = {day: self.cache.counted(total) for day, total in known.items()}
        chained = dict.fromkeys(
            day
            for day, part in touched.items()
            if part.has_snapshots or not part.has_counted(at_hand.get(day, NOT_AT_HAND))
        )
        snapshots = await self._log.snapshots_of_days(chained) if chained else ()
        found = changes_of(events, snapshots)
        unchanged: list[DailyTotal] = []
        drafts: list[DailyTotal] = []
        for day, part in touched.items():
            reread = Reread(differing[day], day in chained, found.get(day, NO_CHANGE))
            before = known.get(day)
            counted[day] = (
                reread.found.snapshots if day in chained else at_hand.get(day, NOT_AT_HAND)
            )
            total = repair(before, day, reread, self._rules, now)
            if total is before and (part.was_left or (part.is_contested and before is not None)):
                total = advanced(before, day, self._rules, now)
            if total is not None:
                (unchanged if total is before else drafts).append(total)
        return unchanged, drafts

    async def _differing_hours(
        self, touched: Mapping[Day, "_Touched"], known: Mapping[Day, DailyTotal]
    ) -> dict[Day, set[int]]:
        """The hours of each day that must be summed again.

        An hour that was only repeated is not one of them if its total counts as many events as
        the log holds: a total counts no event that is not in the log, so it counts them all. (A
        corrected value does not show in a count; the correction itself has a version, and its
        hour is always summed.)
        """
        repeated = {(day.user_id, hour) for day, part in touched.items() for hour in part.repeated}
        counts = await self._log.count_in_hours(repeated) if repeated else {}
        return {
            day: part.hours
            | {
                hour
                for hour in part.repeated
                if counts[day.user_id, hour] != events_in_hour(known.get(day), hour)
            }
            for day, part in touched.items()
        }

    async def _save(self, drafts: Sequence[DailyTotal]) -> list[DailyTotal]:
        lost = await self._totals.save(drafts) if drafts else set()
        return [draft for draft in drafts if draft.day not in lost]


@dataclass(slots=True)
class _Touched:
    """What of a day may not be right: epoch hours that changed or were only repeated, snapshots.

    `repeated_snapshots` may be right: they are, where the total is known to count each of them.

    A day is contested where a record was corrected in it, or may have left it by a correction, and
    `was_left` where one is known to have: another writer may still be about to save it with what
    the record was before. Its revision then goes on even if nothing else changes, so that the other
    loses its compare-and-set and reads again; where there is no total yet, only a day that was left
    gets one, of nothing.
    """

    hours: set[int] = field(default_factory=set)
    repeated: set[int] = field(default_factory=set)
    has_snapshots: bool = False
    repeated_snapshots: list[Snapshot] = field(default_factory=list)
    is_contested: bool = False
    was_left: bool = False

    def add(self, change: Change) -> None:
        self.hours.update(*change.hours.values())
        self.has_snapshots |= bool(change.snapshots)

    def has_counted(self, counted: Counted) -> bool:
        """Whether the chains count every snapshot that was only repeated."""
        return all(is_counted(counted, snapshot) for snapshot in self.repeated_snapshots)

    def is_counted_in(self, counted: Counted) -> bool:
        """Whether nothing but snapshots was repeated, and the chains count them all."""
        needs_reading = (
            self.hours or self.repeated or self.has_snapshots or self.is_contested or self.was_left
        )
        return not needs_reading and self.has_counted(counted)


def _whole_ms(instant: datetime) -> datetime:
    """The instant as every store keeps it (a BSON date has milliseconds)."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def _rows(decoded: Iterable[Decoded], kind: Kind) -> list[Record]:
    rows: list[Record] = []
    for message in decoded:
        if message.kind is kind:
            rows += message.rows
    return rows


def _judged(rows: Sequence[Row], known: Mapping[int, Row]) -> list[Judgement[Row]]:
    return judge([(place, rows[place], known[place]) for place in sorted(known)]) if known else []


def _unknown(rows: Sequence[Row], known: Mapping[int, Row]) -> Sequence[Row]:
    return [row for place, row in enumerate(rows) if place not in known] if known else rows


def _left_by_an_attempt(
    refused: Iterable[Record],
) -> tuple[list[Judgement[Event]], list[Judgement[Snapshot]]]:
    """Rows that a key refuses now, as if they were stored: an attempt that failed may have done so.

    It may have come first then: which message of two topics does, is not the same each time.
    """
    events: list[Judgement[Event]] = []
    snapshots: list[Judgement[Snapshot]] = []
    for row in refused:
        if isinstance(row, Event):
            events.append(Judgement(-1, row, row, Verdict.DUPLICATE))
        else:
            snapshots.append(Judgement(-1, row, row, Verdict.DUPLICATE))
    return events, snapshots


def _touched_by(
    events: Iterable[Judgement[Event]], snapshots: Iterable[Judgement[Snapshot]]
) -> dict[Day, _Touched]:
    """The days to read again: a duplicate may repeat what a crash left half done.

    A correction may have moved an event to another date, and one that is repeated no longer shows
    from which; so an event with a version touches every date its minute can have.
    """
    touched: dict[Day, _Touched] = {}
    user_id = date = ""
    hour = 0
    for _, event, known, verdict in events:
        if verdict not in _TOUCHING:
            continue
        own_hour = event.minute // MINUTES_PER_HOUR
        if event.version:
            _contest(touched, event)
            if known.date != event.date:
                left = touched.setdefault(Day(event.user_id, known.date), _Touched())
                left.was_left = True
        elif own_hour != hour or event.date != date or event.user_id != user_id:
            user_id, date, hour = event.user_id, event.date, own_hour
            touched.setdefault(Day(user_id, date), _Touched()).repeated.add(hour)
    for _, snapshot, known_snapshot, verdict in snapshots:
        if verdict not in _TOUCHING:
            continue
        part = touched.setdefault(Day(snapshot.user_id, snapshot.date), _Touched())
        if snapshot.version:
            part.has_snapshots = part.is_contested = True
        else:
            part.repeated_snapshots.append(known_snapshot)
    return touched


def _contest(touched: dict[Day, _Touched], event: Event) -> None:
    for date in neighbouring_dates(event.minute):
        part = touched.setdefault(Day(event.user_id, date), _Touched())
        part.hours.add(event.minute // MINUTES_PER_HOUR)
        part.is_contested = True


_TOUCHING: Final = (Verdict.DUPLICATE, Verdict.CORRECTED)
