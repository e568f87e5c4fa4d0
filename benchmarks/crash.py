"""What is missing, double or wrongly totalled after `kill -9`: the worker and its peers.

No record of the stream is sent twice. Each life gets a part of it: half in pieces over some
seconds, as it comes live, so that most come to commit; then the rest at once, and within half a
second `kill -9`. After so many lives the last part follows, and when nothing more comes the store
is compared with what was sent, by user, device and time. The group is told that its killed member
is gone, so that nobody waits for a session to end; what it has committed stays as it is.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson

from benchmarks.contestants import Contestant, contestants
from benchmarks.plan import Plan
from benchmarks.servers import Ground
from benchmarks.streams import stream_of
from benchmarks.track import NotThereError, Track, track

FEWER: Final = {"faust_textbook": 8}  # a part of the stream: it is slow
PIECES: Final = 8  # of the half that comes live
PIECE_SECONDS: Final = 0.75
STORED_MIN: Final = 0.3  # the share of a part that is stored when the kill comes, at least
STORED_SECONDS: Final = 60
KILL_SECONDS_MAX: Final = 0.5  # after the other half was sent
STEADY_SECONDS: Final = 3
COMMIT_SECONDS: Final = 15  # steady for so long, nothing comes: Connect commits each minute
QUIET_SECONDS: Final = 120
Key = tuple[str, str, datetime]


class Sums(NamedTuple):
    """The total of a day."""

    steps: int
    events: int


class Held(NamedTuple):
    """Records by user, device and time, how often each is there; totals by `user|date`."""

    records: Counter[Key]
    totals: Mapping[str, Sums]


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong with a store, in records, documents and days."""

    missing: int  # records that are not there
    repeated: int  # records that are there more than once
    copies: int  # how many documents too many
    wrong_days: int | None = None  # none where there are no totals
    overcounted: int | None = None  # records that totals count too many, on days that have too many
    undercounted: int | None = None


def crashes(plan: Plan, ground: Ground) -> Iterator[dict[str, Any]]:
    """A row for each size of message and contestant, as it is found."""
    for size, most in plan.crash_records.items():
        for one in contestants(plan.crash_contestants):
            stream = stream_of(most // FEWER.get(one.name, 1), size=size).messages
            yield asyncio.run(crashed(ground, one, size, stream, plan.kills))


async def crashed(
    ground: Ground, contestant: Contestant, size: int, stream: Sequence[bytes], kills: int
) -> dict[str, Any]:
    """A contestant's row; where it has a `failure`, the counts are of what was there by then."""
    row: dict[str, Any] = {
        "contestant": contestant.name,
        "label": contestant.label,
        "versions": contestant.versions(),
        "size": size,
        "records": len(stream) * size,
        "kills": kills,
        "failure": None if contestant.can_run else "cannot run here",
    }
    if not contestant.can_run:
        return row
    async with track(ground, contestant, size) as own:
        try:
            await _run(own, stream, kills, size)
        except NotThereError as error:
            row["failure"] = str(error)
        sent = truth([*stream][: own.sent])
        return row | asdict(damage(sent, await held(own), has_totals=contestant.has_totals))


async def _run(own: Track, stream: Sequence[bytes], kills: int, size: int) -> None:
    """Send the stream in as many parts as there are lives; end each life but the last."""
    step = -(-len(stream) // (kills + 1))
    parts = [stream[first : first + step] for first in range(0, len(stream), step)]
    await own.start()
    for place, part in enumerate(parts[:-1]):
        await _kill_during(own, part, random.Random(place), size)
        await own.start()
    await own.send(parts[-1])
    await _until_quiet(own)


async def _kill_during(own: Track, part: Sequence[bytes], rng: random.Random, size: int) -> None:
    """Send the part, and end the contestant while it works on it."""
    documents = own.contestant.documents(records=len(part) * size, messages=len(part))
    wanted = await own.stored() + STORED_MIN * documents
    await _send_live(own, part[: len(part) // 2])
    await own.send(part[len(part) // 2 :])

    async def is_time() -> bool:
        return await own.stored() >= wanted

    await own.until(is_time, STORED_SECONDS)
    await asyncio.sleep(rng.uniform(0, KILL_SECONDS_MAX))
    await own.kill()


async def _send_live(own: Track, messages: Sequence[bytes]) -> None:
    step = -(-len(messages) // PIECES)
    for first in range(0, len(messages), step):
        await own.send(messages[first : first + step])
        await asyncio.sleep(PIECE_SECONDS)


async def _until_quiet(own: Track) -> None:
    """Return when no document has come for a while and all is committed, or for long."""
    before, since = -1, time.monotonic()

    async def is_quiet() -> bool:
        nonlocal before, since
        now = await own.stored()
        if now != before:
            before, since = now, time.monotonic()
        steady = time.monotonic() - since
        if steady < STEADY_SECONDS:
            return False
        return steady > COMMIT_SECONDS or await own.group.committed() >= own.sent

    await own.until(is_quiet, QUIET_SECONDS)


def truth(messages: Sequence[bytes]) -> Held:
    """What these messages hold."""
    return _held([event for message in messages for event in _events_of(orjson.loads(message))])


async def held(own: Track) -> Held:
    """What the store holds: the contestant's events as it stored them, and its own totals."""
    found = own.database[own.contestant.events].find({})
    events = [event async for document in found for event in _events_of(document)]
    rows = own.database[own.contestant.totals].find({})
    totals = {row["_id"]: Sums(row["steps"], row[own.contestant.counted]) async for row in rows}
    return _held(events)._replace(totals=totals)


def damage(sent: Held, stored: Held, *, has_totals: bool) -> Damage:
    """What the store lacks, and has too much."""
    found = Damage(
        missing=sum((sent.records - stored.records).values()),
        repeated=sum(times > 1 for times in stored.records.values()),
        copies=sum((stored.records - sent.records).values()),
    )
    if not has_totals:
        return found
    nothing = Sums(0, 0)
    days = {*sent.totals, *stored.totals}
    pairs = [(sent.totals.get(day, nothing), stored.totals.get(day, nothing)) for day in days]
    return Damage(
        *(found.missing, found.repeated, found.copies),
        wrong_days=sum(right != total for right, total in pairs),
        overcounted=sum(max(0, total.events - right.events) for right, total in pairs),
        undercounted=sum(max(0, right.events - total.events) for right, total in pairs),
    )


def _held(events: Sequence[Mapping[str, Any]]) -> Held:
    records: Counter[Key] = Counter()
    totals: dict[str, Sums] = {}
    for event in events:
        at = _instant(event["ts"])
        records[event["user_id"], event["device_id"], at] += 1
        day = f"{event['user_id']}|{at.date()}"
        steps, count = totals.get(day, (0, 0))
        totals[day] = Sums(steps + event["steps"], count + 1)
    return Held(records, totals)


def _events_of(sync: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    events = sync.get("events")
    return [sync] if events is None else [{**sync, **event} for event in events]


def _instant(ts: str | datetime) -> datetime:
    """A time as sent, or as the worker stores it: naive UTC."""
    at = ts if isinstance(ts, datetime) else datetime.fromisoformat(ts)
    return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
