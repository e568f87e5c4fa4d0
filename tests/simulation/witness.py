"""What must hold while a run goes on, and when it is over.

Each check has a name; the first that fails ends the run. What is checked is only what the README
promises, so a check that fails is a bug, in the simulator or in what it runs.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from ingest.core.records import Day, Record
from ingest.core.totals import DailyTotal, Rules, is_same, recompute
from ingest.outcome import Outcome
from ingest.ports import DeadLetter, Message, Store
from ingest.worker.batches import Place
from tests.batches import adds_up, log_of, totals_of
from tests.core.folding import by_day, plain_total
from tests.core.strategies import identity
from tests.simulation.group import Log
from tests.simulation.plan import Plan, identities
from tests.simulation.services import finished

Spot = tuple[Place, int]
Identity = tuple[object, ...]


class Broken(NamedTuple):
    """A check that failed, and what it saw."""

    check: str
    seen: str


class Witness:
    """Sees every write, publication, acknowledgement and commit of a run."""

    def __init__(self, plan: Plan, log: Log, store: Store, on_broken: Callable[[], None]) -> None:
        self._plan = plan
        self._log = log
        self._store = store
        self._on_broken = on_broken
        self._saved: dict[tuple[Day, int], DailyTotal] = {}
        self._published: dict[Day, DailyTotal] = {}
        self._letters: set[tuple[Place, int, int | None, str]] = set()
        self._next: dict[tuple[str, int, Place], int] = {}
        self._acknowledged: set[Spot] = set()
        self._seen_committed: dict[Place, int] = defaultdict(int)
        self._contested_keys = _contested_keys(plan)
        self.broken: Broken | None = None
        self.records_acknowledged = 0

    def breaks(self, check: str, *seen: Any) -> None:
        if self.broken is None:
            self.broken = Broken(check, " ".join(map(str, seen)))
            self._on_broken()

    def saves(self, totals: Iterable[DailyTotal], lost: Collection[Day]) -> None:
        for total in totals:
            if total.day not in lost:
                known = self._saved.setdefault((total.day, total.revision), total)
                if known is not total:
                    self.breaks("a revision is saved once", total.day, total.revision)

    def publishes(self, total: DailyTotal) -> None:
        before = self._published.get(total.day)
        if self._saved.get((total.day, total.revision)) != total:
            self.breaks("only what is saved is published", total.day, total.revision)
        if before is not None and before.revision > total.revision:
            self.breaks(
                "no revision is published after a larger one",
                *(total.day, total.revision, "after", before.revision),
            )
        self._published[total.day] = total

    def refuses(self, letter: DeadLetter) -> None:
        refusal, message = letter
        place = Place(message.origin, message.partition)
        self._letters.add((place, message.offset, refusal.place, refusal.reason))

    def assigned(self, member: str, generation: int, positions: Mapping[Place, int]) -> None:
        for place, offset in positions.items():
            self._next[member, generation, place] = offset

    def acknowledges(
        self, member: str, generation: int, messages: Sequence[Message], outcome: Outcome
    ) -> None:
        """A lot is done: each message in its turn, each record with its verdict."""
        records = 0
        for message in messages:
            place = Place(message.origin, message.partition)
            turn = self._next.get((member, generation, place), 0)
            if message.offset != turn:
                self.breaks("messages are acknowledged in order, once", place, message.offset, turn)
            self._next[member, generation, place] = turn + 1
            self._acknowledged.add((place, message.offset))
            records += self._log.sent[place][message.offset].records
        if not adds_up(outcome) or outcome.records != records:
            self.breaks("every record has one verdict", records, outcome)
        self.records_acknowledged += records
        for refusal, message in outcome.dead_letters:
            place = Place(message.origin, message.partition)
            if (place, message.offset, refusal.place, refusal.reason) not in self._letters:
                self.breaks("what is refused is in the dead letters", place, message.offset)

    def commits(self, positions: Mapping[Place, int]) -> None:
        for place, position in positions.items():
            seen = self._seen_committed[place]
            if position > seen:
                self._commits(place, range(seen, position))
                self._seen_committed[place] = position
            elif position < seen:
                self.breaks("no commit goes back", place, position, "after", seen)

    def _commits(self, place: Place, offsets: Iterable[int]) -> None:
        stored = {identity(row): row for row in finished(log_of(self._store))}
        for offset in offsets:
            sending = self._log.sent[place][offset]
            if sending.sent is not None and not self._is_contested(sending.sent):
                for key, row in identities(sending.sent):
                    known = stored.get(key)
                    if known is None or known.version < row.version:
                        self.breaks("what is committed is durable", place, offset, row, known)
                    elif known == row and Day(row.user_id, row.date) not in self._published:
                        self.breaks("what is committed is published", place, offset, row)
            if (place, offset) not in self._acknowledged:
                self.breaks("only what is acknowledged is committed", place, offset)

    def is_drained(self, committed: Mapping[Place, int]) -> bool:
        return all(committed.get(place, 0) >= len(own) for place, own in self._log.messages.items())

    def ends(self, now: datetime) -> None:
        """All is committed, and nothing is under way."""
        records, totals = finished(log_of(self._store)), finished(totals_of(self._store))
        self._ends_with_the_records_sent(records)
        self._ends_with_the_totals_of(records, totals, now)
        self._ends_with_published(totals)
        for place, own in self._log.sent.items():
            for offset, sending in enumerate(own):
                rows: Sequence[Any] = (None,) if sending.sent is None else sending.sent.rows
                bad = [n for n, row in enumerate(rows) if row is None]
                letters = {letter[2] for letter in self._letters if letter[:2] == (place, offset)}
                is_whole = sending.sent is None or self._is_contested(sending.sent)
                if not is_whole and not letters.issuperset(bad):
                    if self._is_repeated(sending.sent):
                        continue
                    self.breaks("what cannot be read is in the dead letters", place, offset)
                if sending.sent is None and None not in letters:
                    self.breaks("what cannot be read is in the dead letters", place, offset)

    def _ends_with_published(self, totals: Mapping[Day, DailyTotal]) -> None:
        """What is stored was published last; a zombie may have saved it again, unchanged.

        It saves a later revision of a day to which a correction belongs, and may not publish it.
        """
        for day in sorted({*totals, *self._published}):
            stored, published = totals.get(day), self._published.get(day)
            if stored is None or published is None or stored.revision < published.revision:
                self.breaks("what is published is stored", day, _shown(stored), _shown(published))
            elif not is_same(stored, published):
                self.breaks(
                    "the last published is the stored total",
                    *(day, _shown(stored), _shown(published)),
                )

    def _ends_with_the_records_sent(self, records: Sequence[Record]) -> None:
        """Each identity is stored as one of those sent with it, of the highest version."""
        sent: dict[Identity, set[Record]] = defaultdict(set)
        needed: dict[Identity, int] = {}
        for sending in self._plan.sendings:
            if sending.sent is None:
                continue
            for key, row in identities(sending.sent):
                sent[key].add(row)
                if not self._is_contested(sending.sent):
                    needed[key] = max(needed.get(key, 0), row.version)
        stored = {identity(row): row for row in records}
        for key, version in needed.items():
            if key not in stored:
                self.breaks("every valid record is stored", key)
            elif stored[key].version < version:
                self.breaks("the highest version is stored", key, stored[key], version)
        for key, row in stored.items():
            if row not in sent[key]:
                self.breaks("what is stored was sent", row)

    def _ends_with_the_totals_of(
        self, records: Sequence[Record], totals: Mapping[Day, DailyTotal], now: datetime
    ) -> None:
        days, rules = by_day(records), self._plan.rules
        for day in sorted({*days, *totals}):
            own, total = days.get(day, ([], [])), totals.get(day)
            right = recompute(day, *own, rules, now)
            if not is_same(total, right):
                self.breaks("totals are those of the log", day, _shown(total), _shown(right))
            elif total is not None and any(own) and rules == Rules():
                plain = plain_total(*own)
                if any(getattr(total, field) != plain[field] for field in plain):
                    self.breaks("totals are those of plain arithmetic", day, total, plain)

    def _is_contested(self, sent: Any) -> bool:
        return sent.key is not None and (sent.owner[0], sent.key) in self._contested_keys

    def _is_repeated(self, sent: Any) -> bool:
        """Whether it was refused as its first delivery was, and only that is in the letters."""
        return sent.key is not None


def _contested_keys(plan: Plan) -> set[tuple[str, str]]:
    """The keys that several messages have: only one of these is taken."""
    values: dict[tuple[str, str], set[bytes]] = defaultdict(set)
    for sending in plan.sendings:
        if sending.sent is not None and sending.sent.key is not None:
            values[sending.sent.owner[0], sending.sent.key].add(sending.value)
    return {key for key, own in values.items() if len(own) > 1}


def _shown(total: DailyTotal | None) -> str:
    if total is None:
        return "none"
    return f"r{total.revision} {total.steps} steps {total.calories_out} kcal {total.devices}"
