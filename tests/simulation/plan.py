"""Everything that a seed decides before a run begins, as one value that can be made smaller.

What is drawn on the way (which call fails, how long one takes) comes from generators seeded with
the same seed, so a plan says all of a run.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple
from zlib import crc32

from ingest.core.deltas import SnapshotRules
from ingest.core.merge import DeviceMerge
from ingest.core.records import Event, Record, Snapshot
from ingest.core.totals import Rules
from tests.batches import Sent
from tests.core.strategies import MINUTE_MS, NOVEMBER_13, identity

EVENTS: Final = "activity-events"
SNAPSHOTS: Final = "health-snapshots"
DATE: Final = "2025-11-13"
DATES: Final = ("2025-11-12", "2025-11-13", "2025-11-14")

CALL_FAULTS: Final = (
    *("slow", "before", "after", "part", "hang", "late"),
    *("crash before", "crash within", "crash behind"),
    *("freeze before", "freeze within", "freeze behind"),
)
CALLS: Final = (
    *("append_events", "append_snapshots", "correct_events", "correct_snapshots"),
    *("fingerprints", "remember", "load", "save", "save", "save"),
    *("events_in_hours", "count_in_hours", "snapshots_of_days"),
    *("publish_totals", "publish_dead_letters", "heartbeat"),
)
TIMED_FAULTS: Final = ("crash", "freeze", "stop", "silent broker")
BELATED: Final = frozenset(  # what makes a writer write when others have taken its place
    {"freeze", "freeze before", "freeze within", "freeze behind", "late", "silent broker"}
)


class Sending(NamedTuple):
    """A message, when it is sent and where to; `sent` is None where no record can be read."""

    at: float
    topic: str
    partition: int
    key: bytes
    value: bytes
    sent: Sent | None

    @property
    def records(self) -> int:
        return 1 if self.sent is None else len(self.sent.rows)


class TimedFault(NamedTuple):
    """What happens to a worker at a time, and for how long."""

    at: float
    kind: str
    worker: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """One run.

    A tame one has no writer that is late; it has what is not promised where there is one (see the
    README): corrections to another date, and keys that messages of both topics have.
    """

    seed: int
    sendings: Sequence[Sending]
    partitions: int
    workers: int
    rules: Rules
    batch_size: int
    batch_wait_seconds: float
    day_cache_size: int
    session_seconds: float
    rebalance_seconds: float
    store_seconds: float
    latency_seconds: float
    fault_rate: float
    call_faults: Sequence[str]
    calls_that_fail: frozenset[str]
    timed_faults: Sequence[TimedFault]
    faults_until: float
    is_tame: bool
    skipped_faults: frozenset[int] = frozenset()  # by their number in the run
    faults_max: int = 1_000_000


def plan_of(seed: int) -> Plan:
    """What this seed draws."""
    rng = random.Random(f"plan {seed}")
    partitions, workers = rng.randint(1, 4), rng.choice((1, 2, 2, 3, 3, 4))
    session = rng.choice((6.0, 10.0, 30.0))
    span = rng.uniform(1, 8) * rng.choice((1, 1, 10))
    call_faults = [kind for kind in CALL_FAULTS if rng.random() < 0.6]
    timed = [kind for kind in TIMED_FAULTS if rng.random() < 0.6]
    is_small = rng.random() < 0.3  # a few records that are corrected again and again
    is_tame = rng.random() < 0.3
    if is_tame:
        call_faults = [kind for kind in call_faults if kind not in BELATED]
        call_faults += ["crash before", "crash behind"]
        timed = [kind for kind in timed if kind not in BELATED]
    elif is_small and rng.random() < 0.5:
        call_faults, span = ["freeze before", "freeze within", "late"], span * 4
    faults_until = span + rng.uniform(0, 2) * session
    calls, rates = CALLS, (0.0, 0.03, 0.1, 0.2, 0.3)
    if rng.random() < 0.4:  # few calls fail, but these often
        calls, rates = (rng.choice(CALLS), rng.choice(CALLS)), (0.1, 0.3, 0.6)
    return Plan(
        seed=seed,
        sendings=_sendings(rng, partitions, span, is_tame=is_tame, is_small=is_small),
        partitions=partitions,
        workers=workers,
        rules=_rules(rng),
        batch_size=rng.choice((1, 2, 3, 5, 8, 20)),
        batch_wait_seconds=rng.choice((0.05, 0.2, 1.0)),
        day_cache_size=rng.choice((1, 2, 4, 100)),
        session_seconds=session,
        rebalance_seconds=session * rng.choice((0.5, 1, 2)),
        store_seconds=rng.choice((0.5, 2.0, 10.0)),
        latency_seconds=rng.choice((0.002, 0.02, 0.2)),
        fault_rate=(rng.choice(rates) if call_faults else 0.0),
        call_faults=call_faults,
        calls_that_fail=frozenset(calls),
        timed_faults=_timed_faults(rng, timed, workers, faults_until, session),
        faults_until=faults_until,
        is_tame=is_tame,
    )


def _rules(rng: random.Random) -> Rules:
    if rng.random() < 0.5:
        return Rules()
    merge = rng.choice((DeviceMerge(), DeviceMerge("sum"), DeviceMerge("prefer", ("GARMIN",))))
    authoritative = frozenset({"GARMIN"}) if rng.random() < 0.3 else frozenset()
    return Rules(merge, SnapshotRules(rng.choice((0, 0, 100_000)), authoritative))


def _timed_faults(
    rng: random.Random, kinds: Sequence[str], workers: int, until: float, session: float
) -> list[TimedFault]:
    if not kinds:
        return []
    return sorted(
        TimedFault(
            rng.uniform(0, until), rng.choice(kinds), rng.randrange(workers), freeze(rng, session)
        )
        for _ in range(rng.choice((0, 1, 2, 4)))
    )


def freeze(rng: random.Random, session: float) -> float:
    """How many seconds something is away: mostly for longer than a session."""
    return session * rng.choice((rng.uniform(0.05, 1), rng.uniform(1, 1.5), rng.uniform(1.5, 3)))


def _sendings(
    rng: random.Random, partitions: int, span: float, *, is_tame: bool, is_small: bool
) -> list[Sending]:
    records = _records(rng, is_small=is_small)
    messages: list[Sent | bytes] = [*_messages(rng, records)]
    extra: list[Sent | bytes] = []
    for version in range(1, rng.choice((3, 3, 4, 6) if is_small else (1, 2, 4))):
        chosen = [r for r in records if rng.random() < (0.8 if is_small else 0.25)]
        changed = [_corrected(rng, r, records, version, is_tame=is_tame) for r in chosen]
        extra += _messages(rng, changed)
    extra += _messages(rng, [_conflicting(rng, r) for r in records if rng.random() < 0.06])
    extra += [rng.choice(messages) for _ in range(rng.randint(0, 8)) if messages]  # as they were
    extra += _messages(rng, [r for r in records if rng.random() < 0.1])  # in other company
    keys = rng.choice((12, 30) if is_tame else (5, 40, 40))
    messages = [_keyed(rng, m, keys, is_tame=is_tame) for m in [*messages, *extra]]
    messages += [m for m in messages if isinstance(m, Sent) and m.key and rng.random() < 0.3]
    messages += [b"nonsense %d" % n for n in range(rng.choice((0, 0, 1, 2)))]
    order = sorted(
        range(len(messages)),
        key=lambda n: n / len(messages) + (rng.random() if rng.random() < 0.3 else 0),
    )
    times = sorted(rng.uniform(0, span) for _ in messages)
    return [_sending(at, messages[n], partitions) for at, n in zip(times, order, strict=True)]


def _sending(at: float, message: Sent | bytes, partitions: int) -> Sending:
    if isinstance(message, bytes):
        return Sending(at, EVENTS, crc32(message) % partitions, b"", message, None)
    key = message.owner[0].encode()
    topic = _topic_of(message)
    return Sending(at, topic, crc32(key) % partitions, key, message.value, message)


def _topic_of(message: Sent) -> str:
    return EVENTS if any(isinstance(row, Event) for row in message.rows) else SNAPSHOTS


def _records(rng: random.Random, *, is_small: bool) -> list[Record]:
    """What the devices of some users measured: all of different identities, in time order."""
    records: list[Record] = []
    for user in range(1 if is_small else rng.randint(1, 4)):
        for device in ("phone", "watch")[: 1 if is_small else rng.randint(1, 2)]:
            owner = f"user{user}", device, rng.choice(("MANUAL", "FITBIT", "GARMIN"))
            if rng.random() < 0.7:
                records += islice(_events(rng, owner), rng.choice((1, 2)) if is_small else None)
            if rng.random() < 0.7:
                records += islice(_snapshots(rng, owner), rng.choice((1, 2)) if is_small else None)
    return records


def _events(rng: random.Random, owner: tuple[str, str, str]) -> Iterator[Event]:
    for minute in sorted(rng.sample(range(1, rng.choice((60, 180))), rng.randint(1, 16))):
        yield Event(
            *owner, NOVEMBER_13 + minute, rng.choice((DATE, DATE, DATES[2])), *_measures(rng), 0
        )


def _measures(rng: random.Random) -> tuple[int | None, int | None, int | None]:
    calories = rng.choice((None, rng.randint(0, 99_999)))
    heart_rate = rng.choice((None, rng.randint(250_000, 2_400_000)))
    return rng.randint(0, 99), calories, heart_rate


def _snapshots(rng: random.Random, owner: tuple[str, str, str]) -> Iterator[Snapshot]:
    date = rng.choice((DATE, DATE, DATES[2]))
    steps = calories = 0
    for at in sorted(rng.sample(range(1, 100), rng.randint(1, 10))):
        if rng.random() < 0.1:
            steps = calories = 0  # the device restarted
        steps += rng.choice((0, rng.randint(0, 200)))
        calories += rng.choice((0, rng.randint(0, 999_999)))
        shown = (0, 0) if rng.random() < 0.1 else (steps, calories)  # a glitch, or looks like one
        yield Snapshot(*owner, date, (NOVEMBER_13 + at * 10) * MINUTE_MS, *shown, None, 0)


def _corrected(
    rng: random.Random, record: Record, records: Sequence[Record], version: int, *, is_tame: bool
) -> Record:
    """The record with a higher version: with new values, or back at those it had first."""
    if rng.random() < 0.5:
        return record._replace(version=version)
    if isinstance(record, Event):
        date = rng.choice(DATES) if is_tame else record.date
        steps, calories, heart_rate = _measures(rng)
        return record._replace(
            version=version, date=date, steps=steps, calories_out=calories, hr_avg=heart_rate
        )
    return record._replace(
        version=version,
        steps_total=rng.choice((0, rng.randint(0, 500))),
        calories_out_total=rng.choice((0, rng.randint(0, 3_000_000))),
    )


def _conflicting(rng: random.Random, record: Record) -> Record:
    if isinstance(record, Event):
        return record._replace(steps=rng.randint(100, 199))
    return record._replace(steps_total=record.steps_total + rng.randint(1, 50))


def _messages(rng: random.Random, records: Sequence[Record]) -> list[Sent]:
    """The records in messages of a few; here and there with one that cannot be read."""
    messages: list[Sent] = []
    size_max = rng.choice((1, 3, 6))
    run: list[Record] = []
    for record in [*records, None]:
        is_alike = record is not None and run and _head(record) == _head(run[-1])
        if run and not (is_alike and len(run) < size_max and rng.random() < 0.9):
            rows: list[Record | None] = [*run]
            if rng.random() < 0.06:
                rows.insert(rng.randint(0, len(rows)), None)
            messages.append(Sent(run[0][:3], rows))
            run = []
        if record is not None:
            run.append(record)
    return messages


def _head(record: Record) -> tuple[object, ...]:
    return type(record), *record[:3]


def _keyed(rng: random.Random, message: Sent | bytes, keys: int, *, is_tame: bool) -> Sent | bytes:
    """Some messages with a key, rarely one that another message has too."""
    if isinstance(message, bytes) or rng.random() > (0.7 if is_tame else 0.25):
        return message
    topic = "" if is_tame else _topic_of(message)[0]
    return message._replace(key=f"{topic}{rng.randint(1, keys)}")


def identities(sent: Sent) -> Iterator[tuple[tuple[object, ...], Record]]:
    """The records of a message that can be read, by identity."""
    for row in sent.rows:
        if row is not None:
            yield identity(row), row
