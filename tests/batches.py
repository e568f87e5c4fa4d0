"""Batches for the pipeline: records to messages, a pipeline on a store, and what must then hold.

`Model` is DESIGN section 3 written again in the plainest way: one record after the other.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson

from ingest.core.codec import event_fields, snapshot_fields
from ingest.core.records import Day, Event, Record
from ingest.core.totals import DailyTotal, Rules, is_same, recompute
from ingest.errors import BatchRetryable
from ingest.outcome import Outcome
from ingest.pipeline import Pipeline
from ingest.ports import Message, Publisher, Scope, Store
from tests.core.folding import by_day
from tests.core.messages import NOW
from tests.core.strategies import MINUTE_MS, civil_date, identity
from tests.fakes import RecordingPublisher

TTL = timedelta(days=7)
VERDICTS = ("accepted", "duplicates", "corrected", "stale", "rejected")


def pipeline_on(
    store: Store,
    publisher: Publisher,
    *,
    rules: Rules = Rules(),  # noqa: B008 - a value that cannot change
    now: Callable[[], datetime] = lambda: NOW,
    day_cache_size: int = 1_000,
) -> Pipeline:
    return Pipeline(
        store,
        publisher,
        rules=rules,
        now=now,
        future_skew_max=timedelta(hours=24),
        day_cache_size=day_cache_size,
    )


def batch(*values: bytes, first_offset: int = 0) -> list[Message]:
    """These values as messages of one partition, one offset after the other."""
    return [
        Message(value, None, "synced", 3, offset)
        for offset, value in enumerate(values, first_offset)
    ]


class Sent(NamedTuple):
    """One message to send: its rows, None for a record that cannot be read, and its key."""

    owner: tuple[str, str, str]
    rows: Sequence[Record | None]
    key: str | None = None

    @property
    def value(self) -> bytes:
        user_id, device_id, source = self.owner
        name = "events" if any(isinstance(row, Event) for row in self.rows) else "snapshots"
        key = {} if self.key is None else {"idempotency_key": self.key}
        shared = {"user_id": user_id, "device_id": device_id, "source": source, **key}
        return orjson.dumps({**shared, name: [_fields(row) for row in self.rows]})


def sent(*rows: Record, key: str | None = None) -> bytes:
    """A message of these records, which must share kind, user, device and source."""
    first = rows[0]
    return Sent((first.user_id, first.device_id, first.source), rows, key).value


def messages_of(records: Sequence[Record]) -> list[bytes]:
    """A message for each run of records that share what a message shares."""
    runs: list[list[Record]] = []
    for record in records:
        if runs and _head(runs[-1][0]) == _head(record):
            runs[-1].append(record)
        else:
            runs.append([record])
    return [sent(*run) for run in runs]


class Model:
    """Known records and keys, and the verdict on each record as it comes."""

    def __init__(self) -> None:
        self.known: dict[tuple[object, ...], Record] = {}
        self.keys: dict[tuple[str, str], bytes] = {}

    def take(self, messages: Sequence[Sent]) -> list[list[str]]:
        """The verdict on each record of each message."""
        return [self._message(message) for message in messages]

    def _message(self, message: Sent) -> list[str]:
        if message.key is not None:
            key = message.owner[0], message.key
            if key in self.keys:
                verdict = "duplicates" if self.keys[key] == message.value else "rejected"
                return [verdict] * len(message.rows)
            self.keys[key] = message.value
        return ["rejected" if row is None else self._record(row) for row in message.rows]

    def _record(self, row: Record) -> str:
        before = self.known.get(identity(row))
        if before is None or row.version > before.version:
            self.known[identity(row)] = row
            return "accepted" if before is None else "corrected"
        if row.version < before.version:
            return "stale"
        return "duplicates" if _measures(row) == _measures(before) else "rejected"


def counts_of(outcome: Outcome) -> dict[str, int]:
    """The verdict counts of an outcome that are not 0."""
    return {name: count for name in VERDICTS if (count := getattr(outcome, name))}


def adds_up(outcome: Outcome) -> bool:
    """Whether no verdict count is negative and all together are the records received."""
    counts = [getattr(outcome, name) for name in VERDICTS]
    return min(counts) >= 0 and sum(counts) == outcome.records


async def run_until_done(pipeline: Pipeline, values: Sequence[bytes]) -> Outcome:
    """Redeliver a batch until it succeeds, as the queue does."""
    for _ in range(20):
        try:
            return await pipeline.run(batch(*values))
        except BatchRetryable:
            continue
    raise AssertionError("20 deliveries were not enough")


async def log_of(store: Store) -> list[Record]:
    """Every record of the log."""
    records: list[Record] = []
    async for events in store.log.scan_events(Scope()):
        records += events
    async for snapshots in store.log.scan_snapshots(Scope()):
        records += snapshots
    return records


async def totals_of(store: Store) -> dict[Day, DailyTotal]:
    """Every stored total."""
    return {total.day: total async for page in store.totals.scan(Scope()) for total in page}


async def assert_totals_are_those_of_the_log(store: Store, rules: Rules) -> None:
    totals, days = await totals_of(store), by_day(await log_of(store))
    for day in {*totals, *days}:
        expected = recompute(day, *days.get(day, ([], [])), rules, NOW)
        assert is_same(totals.get(day), expected), (totals.get(day), expected)


async def assert_right(store: Store, publisher: RecordingPublisher, rules: Rules = Rules()) -> None:  # noqa: B008
    """Every total is that of the log, and published as it is stored; a revision never says two."""
    await assert_totals_are_those_of_the_log(store, rules)
    assert publisher.latest == await totals_of(store)
    first: dict[tuple[Day, int], DailyTotal] = {}
    for total in publisher.published:
        assert first.setdefault((total.day, total.revision), total) == total


def _head(record: Record) -> tuple[object, ...]:
    return type(record), record.user_id, record.device_id, record.source


def _measures(record: Record) -> tuple[object, ...]:
    if isinstance(record, Event):
        return record.steps, record.calories_out, record.hr_avg, record.date
    return record.steps_total, record.calories_out_total


def _fields(record: Record | None) -> dict[str, Any]:
    if record is None:
        return {"ts": "no time", "timestamp": "no time"}
    if isinstance(record, Event):
        return event_fields(record, _offset_of(record))
    return snapshot_fields(record, 0)


def _offset_of(event: Event) -> int:
    """Minutes east of UTC that give the event its date."""
    return next(
        offset
        for offset in (0, -1439, 1439)
        if civil_date(event.minute * MINUTE_MS, offset).isoformat() == event.date
    )
