"""What is missing, double or wrongly totalled after `kill -9`: the worker and its peers.

Run it with `python -m benchmarks.crash` (about 12 minutes; `--quick` for a look). No record of the
stream is sent twice. Each life gets a part of it: half in pieces over some seconds, as it comes
live, so that most come to commit; then the rest at once, and within half a second `kill -9`.
After three such lives the last part follows, and when nothing more comes the store is compared with
what was sent, by user, device and time. The group is told that its killed member is gone, so that
nobody waits for a session to end; what it has committed stays as it is.
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

from benchmarks.contest import arguments_of, chosen, ground, kept, stream_of
from benchmarks.contestants import Contestant
from benchmarks.track import Ground, NotThereError, Track, track

KILLS: Final = 3
RECORDS: Final = {60: 24_000, 1: 6_000}  # of a stream, by records of a message
QUICK: Final = {60: 12_000, 1: 1_200}
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


def crashes(
    ground: Ground,
    who: Sequence[Contestant],
    *,
    records: dict[int, int] = RECORDS,
    kills: int = KILLS,
) -> Iterator[dict[str, Any]]:
    """A row for each size of message and contestant, as it is found."""
    for size, most in records.items():
        for one in who:
            stream = stream_of(most // FEWER.get(one.name, 1), size)
            yield asyncio.run(crashed(ground, one, size, stream, kills))


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


HEADINGS: Final = (
    f"{'records a message':>18}  {'contestant':24}{'records':>8}{'missing':>9}{'repeated':>10}"
    f"{'copies':>8}{'wrong days':>12}{'overcounted':>13}{'undercounted':>14}"
)


def line_of(row: dict[str, Any]) -> str:
    """A row as it is printed."""
    widths = {"missing": 9, "repeated": 10, "copies": 8, "wrong_days": 12}
    widths |= {"overcounted": 13, "undercounted": 14}
    shown = [f"{'-' if row.get(n) is None else row[n]:>{width}}" for n, width in widths.items()]
    head = f"{row['size']:18}  {row['label']:24}{row['records']:8}"
    return f"{head}{''.join(shown)}  {row['failure'] or ''}"


def main() -> None:
    """Kill every contestant and print a line each."""
    parser = arguments_of(__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    arguments = parser.parse_args()
    rows = []
    with ground() as shared:
        print(HEADINGS)
        records = QUICK if arguments.quick else RECORDS
        who = chosen(arguments.only)
        for row in crashes(shared, who, records=records, kills=arguments.kills):
            rows.append(row)
            print(line_of(row), flush=True)
    kept(rows, arguments.json)


if __name__ == "__main__":
    main()
