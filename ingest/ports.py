"""What the pipeline needs from a queue, a database and a broker, and what each must keep.

Every method may raise `BatchRetryable` when its service is away, having applied all, some or none
of a write; the batch is then run again whole. Writes are durable when they return.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from ingest.core.dedupe import KeyRef, RememberedKey
from ingest.core.records import Day, Event, Kind, Snapshot
from ingest.core.refusals import Refusal
from ingest.core.totals import DailyTotal


class Message(NamedTuple):
    """One queue message and where it came from.

    `kind` is None where the message's own fields must tell it. `origin` is a topic or a file;
    `offset` counts messages, or lines from 1. `key` is None where a queue has none.
    """

    value: bytes
    kind: Kind | None
    origin: str
    partition: int
    offset: int
    key: bytes | None = None


class DeadLetter(NamedTuple):
    """A refusal, and the message it came from."""

    refusal: Refusal
    message: Message


class Scope(NamedTuple):
    """What to scan: of one user or, where it is None, of all; only ids that sort behind `after`.

    Of these the first `limit`, at least 1, and no more is read for them; where it is None, all.
    """

    user_id: str | None = None
    after: str = ""
    limit: int | None = None


class RecordLog(Protocol):
    """The accepted records: the only source of truth."""

    async def append_events(self, events: Sequence[Event]) -> Mapping[int, Event]:
        """Insert each event whose identity is not there yet; never change one that is.

        Returns the stored event for the place of each one that was already there. Of two with one
        identity in the same call, one is inserted and the other was already there.
        """

    async def append_snapshots(self, snapshots: Sequence[Snapshot]) -> Mapping[int, Snapshot]:
        """As `append_events`."""

    async def correct_events(self, events: Sequence[Event]) -> None:
        """Replace each stored event of the same identity whose version is lower."""

    async def correct_snapshots(self, snapshots: Sequence[Snapshot]) -> None:
        """As `correct_events`."""

    async def events_in_hours(self, hours: Collection[tuple[str, int]]) -> Sequence[Event]:
        """Every event of these (user_id, epoch hour) pairs, of all devices and dates."""

    async def count_in_hours(
        self, hours: Collection[tuple[str, int]]
    ) -> Mapping[tuple[str, int], int]:
        """How many events `events_in_hours` would return for each pair."""

    async def snapshots_of_days(self, days: Collection[Day]) -> Sequence[Snapshot]:
        """Every snapshot of these days, of all devices."""

    async def events_between(self, user_id: str, first: int, last: int) -> Sequence[Event]:
        """A user's events from epoch minute `first` to `last`, both included, in time order."""

    async def snapshots_between(self, user_id: str, first: str, last: str) -> Sequence[Snapshot]:
        """A user's snapshots from date `first` to `last`, both included, by date, then time."""

    def scan_events(self, scope: Scope) -> AsyncIterator[Sequence[Event]]:
        """Every event in the scope, some at a time, in the order of their ids (DESIGN 6).

        Records that are written meanwhile may be left out.
        """

    def scan_snapshots(self, scope: Scope) -> AsyncIterator[Sequence[Snapshot]]:
        """As `scan_events`."""

    async def count(self) -> int:
        """About how many records there are: as many as a progress bar needs to know."""

    async def erase(self, user_id: str) -> Mapping[Kind, int]:
        """Delete every record of a user; how many there were."""


class TotalStore(Protocol):
    """The day totals, derived from the log."""

    async def load(self, days: Collection[Day]) -> Mapping[Day, DailyTotal]:
        """The totals that are there."""

    async def save(self, totals: Sequence[DailyTotal]) -> set[Day]:
        """Compare and set: write each total whose day is stored at the revision before it.

        A total of revision 1 expects none. Returns the days that were not written, because the
        stored revision is another one or there is none.
        """

    async def totals_between(self, user_id: str, first: str, last: str) -> Sequence[DailyTotal]:
        """A user's totals from date `first` to `last`, both included, in order."""

    async def restore(self, totals: Sequence[DailyTotal]) -> Mapping[int, DailyTotal]:
        """Insert each total, at its revision, whose day has none; never change one that is there.

        Returns the stored total for the place of each one that was already there.
        """

    def scan(self, scope: Scope) -> AsyncIterator[Sequence[DailyTotal]]:
        """As `RecordLog.scan_events`."""

    async def count(self) -> int:
        """As `RecordLog.count`."""

    async def erase(self, user_id: str) -> int:
        """Delete every total of a user; how many there were."""


class KeyStore(Protocol):
    """The idempotency keys of messages that are done, for as long as they are remembered."""

    async def fingerprints(self, keys: Collection[KeyRef], now: datetime) -> Mapping[KeyRef, str]:
        """The fingerprint of the message that each known key was remembered with."""

    async def remember(self, fingerprints: Mapping[KeyRef, str], now: datetime) -> None:
        """Remember these keys from now on; one that is known keeps its fingerprint."""

    async def restore(self, keys: Sequence[RememberedKey]) -> Mapping[int, RememberedKey]:
        """As `TotalStore.restore`, expired or not."""

    def scan(self, scope: Scope) -> AsyncIterator[Sequence[RememberedKey]]:
        """As `RecordLog.scan_events`, expired or not."""

    async def count(self) -> int:
        """As `RecordLog.count`."""

    async def erase(self, user_id: str) -> int:
        """Forget every key of a user; how many there were."""


class Publisher(Protocol):
    """Where totals and refused records go. A method returns when all of it is acknowledged."""

    async def publish_totals(self, totals: Sequence[DailyTotal]) -> None:
        """Send each total to `daily-totals`; a reader keeps the highest revision of a day."""

    async def publish_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Send each refusal to the dead letters."""


class Store(NamedTuple):
    """The three parts of a database that belong together."""

    log: RecordLog
    totals: TotalStore
    keys: KeyStore
