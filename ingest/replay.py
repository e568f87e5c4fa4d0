"""A replay: files of messages through the in-process queue and the pipeline into a store."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any

from ingest.core.deltas import Delta, SnapshotRules, deltas_of
from ingest.core.documents import dead_letter_document
from ingest.core.records import Snapshot
from ingest.core.timestamps import FIRST_DATE, LAST_DATE
from ingest.core.totals import DailyTotal
from ingest.embedded import drain, fill, patience_of, pipeline_of
from ingest.errors import Reason
from ingest.ndjson import Write
from ingest.outcome import Outcome
from ingest.ports import DeadLetter, RecordLog, Store
from ingest.queues.memory import MemoryQueue, MemoryTopics
from ingest.settings import Settings


@dataclass(slots=True)
class Summary:
    """What a replay came to; accepted + duplicates + corrected + stale + rejected = records."""

    messages: int = 0
    records: int = 0
    accepted: int = 0
    duplicates: int = 0
    corrected: int = 0
    stale: int = 0
    rejected: int = 0
    conflicts: int = 0
    seconds: float = 0.0
    reasons: Counter[Reason] = field(default_factory=Counter)
    users: set[str] = field(default_factory=set)

    def add(self, outcome: Outcome) -> None:
        """Count one more batch."""
        self.messages += outcome.messages
        self.records += outcome.records
        self.accepted += outcome.accepted
        self.duplicates += outcome.duplicates
        self.corrected += outcome.corrected
        self.stale += outcome.stale
        self.rejected += outcome.rejected
        self.conflicts += outcome.conflicts
        self.users |= outcome.users
        for (_, reason), records in outcome.rejections.items():
            self.reasons[reason] += records

    def document(self) -> dict[str, Any]:
        """The one object of `--json` (DESIGN section 9)."""
        rate = self.records / self.seconds if self.seconds else 0.0
        return {
            "messages": self.messages,
            "records": self.records,
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "corrected": self.corrected,
            "stale": self.stale,
            "rejected": self.rejected,
            "conflicts": self.conflicts,
            "seconds": round(self.seconds, 3),
            "records_per_second": round(rate),
        }


async def replay(
    files: Sequence[str],
    store: Store,
    settings: Settings,
    *,
    write_dead_letter: Write,
    on_read: Callable[[int], None],
) -> Summary:
    """Every message of the files, in order, into the store; raises `FileUnusable`.

    Reading and running take turns through a bounded queue, so memory does not grow with the files.
    `on_read` is told how many bytes of all files together were read.
    """
    summary = Summary()
    queue = MemoryQueue()

    def keep(dead_letter: DeadLetter) -> None:
        refusal, message = dead_letter
        write_dead_letter(dead_letter_document(refusal, message.origin, message.offset))

    pipeline = pipeline_of(store, MemoryTopics(keep), settings)
    started = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fill(queue, files, on_read))
            tasks.create_task(
                drain(
                    queue,
                    pipeline,
                    batch_size_max=settings.batch_size_max,
                    patience=patience_of(settings),
                    on_outcome=summary.add,
                )
            )
    except* Exception as errors:
        raise errors.exceptions[0] from None
    summary.seconds = time.perf_counter() - started
    return summary


async def totals_of(users: Iterable[str], store: Store) -> AsyncIterator[DailyTotal]:
    """Every total of these users that says something, by user, then date."""
    for user_id in sorted(users):
        for total in await store.totals.totals_between(user_id, FIRST_DATE, LAST_DATE):
            if total.devices:
                yield total


async def all_deltas(
    users: Iterable[str], store: Store, rules: SnapshotRules
) -> AsyncIterator[Delta]:
    """The deltas of every snapshot of these users, by user, device, date, then time."""
    for user_id in sorted(users):
        for delta in await deltas_between(store.log, user_id, FIRST_DATE, LAST_DATE, rules):
            yield delta


async def deltas_between(
    log: RecordLog,
    user_id: str,
    first: str,
    last: str,
    rules: SnapshotRules,
    *,
    after_ms: int = 0,
) -> list[Delta]:
    """A user's deltas of the dates from `first` to `last`, by device, date, then time.

    Those up to `after_ms` are left out, but the first behind it is still compared with them.
    """
    snapshots = await log.snapshots_between(user_id, first, last)
    deltas = [delta for chain in _chains(snapshots) for delta in deltas_of(chain, rules)]
    return [delta for delta in deltas if delta.snapshot.timestamp_ms > after_ms]


def _chains(snapshots: Sequence[Snapshot]) -> Iterator[list[Snapshot]]:
    chain = attrgetter("device_id", "date")
    for _, own in groupby(sorted(snapshots, key=chain), key=chain):
        yield list(own)
