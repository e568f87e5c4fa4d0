"""The records that are measured on disk: simulated devices' own, and the totals they lead to.

Nothing goes wrong in them: each message arrives once, in order, and none is refused. A phone sends
its minutes in motion, about a third of those awake; minutes of nothing are left out. A watch sends
what its counter shows, in most hours; every third one sends minutes too. What a device has of an
hour is one message, and a quarter of the messages has an idempotency key.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple
from uuid import NAMESPACE_OID, uuid5

import orjson

from benchmarks.embedded import NOW, SKEW_MAX, WANTED, as_messages
from ingest.core.codec import decode
from ingest.core.dedupe import RememberedKey
from ingest.core.records import Event, Kind, Snapshot
from ingest.core.refusals import Decoded
from ingest.core.retention import window_of
from ingest.core.totals import DailyTotal, Rules
from ingest.pipeline import Pipeline
from ingest.ports import DeadLetter, Scope
from ingest.simulation import Plan, messages
from ingest.stores.memory import memory_store
from ingest.stores.mongo.collection import slices

DAYS: Final = 5
EVENTS_A_DAY: Final = 380  # of a user, a little less than there are
USERS_A_MESSAGE: Final = 5  # of a batch: so few that nearly each saves a revision, as they do live
Fields = dict[str, Any]


class Population(NamedTuple):
    """Messages in the order they arrive in, and what is stored of them, in the order of writing.

    A total is there once a revision.
    """

    users: int
    activity: Sequence[bytes]
    health: Sequence[bytes]
    events: Sequence[Event]
    snapshots: Sequence[Snapshot]
    totals: Sequence[DailyTotal]
    keys: Sequence[RememberedKey]


class _Revisions:
    """A `Publisher` that keeps every revision, and wants no record refused."""

    def __init__(self) -> None:
        self.totals: list[DailyTotal] = []

    async def publish_totals(self, totals: Sequence[DailyTotal]) -> None:
        self.totals += totals

    async def publish_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> None:
        raise SystemExit(f"{len(dead_letters)} records were refused")


def population_of(events: int) -> Population:
    """So many events, with the snapshots and keys that arrive with them and the totals of both."""
    users = -(-events // (DAYS * EVENTS_A_DAY))
    sent = [*_until(events, messages(Plan(users=users, days=DAYS)))]
    batch_size = -(-users // USERS_A_MESSAGE)
    totals, keys = asyncio.run(_run([message for message, _ in sent], batch_size))
    of_kind = {
        kind: [(message, decoded) for message, decoded in sent if decoded.kind is kind]
        for kind in Kind
    }
    activity, health = of_kind[Kind.ACTIVITY], of_kind[Kind.HEALTH]
    return Population(
        users,
        [message for message, _ in activity],
        [message for message, _ in health],
        [row for _, decoded in activity for row in decoded.rows if isinstance(row, Event)],
        [row for _, decoded in health for row in decoded.rows if isinstance(row, Snapshot)],
        totals,
        keys,
    )


def last_revisions(totals: Iterable[DailyTotal]) -> list[DailyTotal]:
    """Of each day's revisions the one that came last."""
    return [*{total.day: total for total in totals}.values()]


def live(events: Iterable[Event]) -> list[Event]:
    """As if each minute were sent at once: every user's minute, then the next."""
    return sorted(events, key=lambda event: event.minute)


def by_user(events: Iterable[Event]) -> list[Event]:
    """One user after the other, in the order of time."""
    return sorted(events, key=lambda event: (event.user_id, event.minute, event.device_id))


def with_uuids(events: Iterable[Event]) -> list[Event]:
    """The same with the 36 characters of a UUID for a user id, where the simulator's have 9."""
    known: dict[str, str] = {}
    return [
        event._replace(
            user_id=known.setdefault(event.user_id, str(uuid5(NAMESPACE_OID, event.user_id)))
        )
        for event in events
    ]


def packed(activity: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The events in messages of `size`, with the fields of their device; a device's last is less.

    A message goes out as soon as it is full.
    """
    waiting: dict[tuple[str, str], list[Fields]] = {}
    heads: dict[tuple[str, str], Fields] = {}
    for message in activity:
        fields = orjson.loads(message)
        device = fields["user_id"], fields["device_id"]
        heads[device] = {name: fields[name] for name in ("user_id", "device_id", "source")}
        rest = {name: value for name, value in fields.items() if name not in heads[device]}
        rest.pop("idempotency_key", None)
        waiting.setdefault(device, []).extend(rest.get("events", [rest]))
        while len(waiting[device]) >= size:
            yield _message(heads[device], waiting[device][:size])
            del waiting[device][:size]
    yield from (_message(heads[device], events) for device, events in waiting.items() if events)


def _message(head: Fields, events: Sequence[Fields]) -> bytes:
    return orjson.dumps(head | (events[0] if len(events) == 1 else {"events": events}))


def _until(events: int, arriving: Iterable[bytes]) -> Iterator[tuple[bytes, Decoded]]:
    """The first messages, decoded, with so many events among them; the last one is cut to fit."""
    left = events
    read = partial(decode, kind=None, window=window_of(NOW, SKEW_MAX, None))
    for message in arriving:
        decoded = read(message)
        if decoded.kind is Kind.ACTIVITY and len(decoded.rows) > left:
            fields = orjson.loads(message)
            cut = orjson.dumps(fields | {"events": fields["events"][:left]})
            decoded = read(cut)
            yield cut, decoded
        else:
            yield message, decoded
        left -= len(decoded.rows) if decoded.kind is Kind.ACTIVITY else 0
        if not left:
            return
    raise SystemExit(f"the simulator sent {left} events too few")


async def _run(
    arriving: Sequence[bytes], batch_size: int
) -> tuple[list[DailyTotal], list[RememberedKey]]:
    """Every revision of a total, and the keys, each stamped with its batch's time."""
    store, revisions = memory_store(WANTED.idempotency_ttl), _Revisions()
    window = window_of(NOW, SKEW_MAX, None)
    clock = [datetime(2025, 1, 1, tzinfo=UTC)]
    pipeline = Pipeline(
        store,
        revisions,
        rules=Rules(),
        now=lambda: clock[-1],
        future_skew_max=SKEW_MAX,
        day_cache_size=50_000,
    )
    for batch in slices(arriving, batch_size):
        rows = [row for message in batch for row in decode(message, None, window).rows]
        clock.append(max(_instant_of(row) for row in rows))
        await pipeline.run([*as_messages(batch)])
    keys = [key async for page in store.keys.scan(Scope()) for key in page]
    return revisions.totals, sorted(keys, key=lambda key: key.created_at)


def _instant_of(row: Event | Snapshot) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    if isinstance(row, Event):
        return epoch + timedelta(minutes=row.minute)
    return epoch + timedelta(milliseconds=row.timestamp_ms)
