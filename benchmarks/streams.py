"""The streams that are measured: made up, the same bytes in every run, and as late as is asked."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import orjson

USERS: Final = 100
HOUR: Final = 60 * USERS  # records of all users in an hour
START: Final = datetime(2025, 11, 3, tzinfo=UTC)
LATE_HOURS: Final = 6  # how late a late or repeated message is at most


class Stream(NamedTuple):
    """Messages of `size` records; how many records they bring, how many distinct, of how many."""

    label: str
    size: int
    messages: Sequence[bytes]
    records: int
    distinct: int
    users: int

    def first(self, records: int) -> "Stream":
        """About as many of its records, from its beginning; what is distinct is not known."""
        messages = self.messages[: max(1, records // self.size)]
        return self._replace(messages=messages, records=len(messages) * self.size)


def stream_of(
    records: int, *, size: int, duplicates: float = 0.0, late: float = 0.0, users: int = USERS
) -> Stream:
    """Every user's minutes, hour by hour; a share of the messages comes late, a share twice.

    Of one record a message they come as phones send them live: every user's minute, then the next.
    """
    hour = 60 * users
    whole = messages_of(-(-records // hour) * hour, size=size, users=users)
    ordered = live_order(whole, users) if size == 1 else whole
    once = ordered[: records // size]
    messages, repeated = disturbed(once, duplicates, late, hour // size)
    label = f"{size} a message" + (f", {duplicates:.0%} twice" if duplicates else "")
    distinct = len(once) * size
    return Stream(label, size, messages, distinct + repeated * size, distinct, users)


def first_of_each_user(users: int) -> list[bytes]:
    """A record of each user's first day that no stream has: the minute before midnight in UTC."""
    ts = (START + timedelta(minutes=59)).isoformat().replace("+00:00", "+01:00")
    head = {"device_id": "watch", "source": "FITBIT", "ts": ts, "steps": 1}
    return [orjson.dumps(head | {"user_id": f"user-{user:04d}"}) for user in range(users)]


def messages_of(records: int, *, size: int, users: int = USERS, first_hour: int = 0) -> list[bytes]:
    """The events as messages of `size`: a backlog, each user's hour in one piece."""
    messages = []
    for user_id, events in _hours(records, users, first_hour):
        head = {"user_id": user_id, "device_id": "watch", "source": "FITBIT"}
        if size == 1:
            messages += [orjson.dumps(head | event) for event in events]
        else:
            messages += [
                orjson.dumps(head | {"events": events[first : first + size]})
                for first in range(0, len(events), size)
            ]
    return messages


def live_order(messages: Sequence[bytes], users: int = USERS) -> list[bytes]:
    """Messages of one record as they come live: every user's minute, then the next minute."""
    hour = 60 * users
    hours = [messages[first : first + hour] for first in range(0, len(messages), hour)]
    return [message for own in hours for minute in range(60) for message in own[minute::60]]


def disturbed(
    messages: Sequence[bytes], duplicates: float, late: float, hour: int
) -> tuple[list[bytes], int]:
    """The messages with a share of them moved back, and repeated later; how many repetitions.

    `duplicates` is how often a message comes again, on the mean; `hour` how many make an hour.
    """
    rng = random.Random(11)
    placed: list[tuple[float, bytes]] = []
    repeated = 0
    for place, message in enumerate(messages):
        delay = rng.uniform(0, LATE_HOURS * hour) if rng.random() < late else 0.0
        placed.append((place + delay, message))
        again = int(duplicates) + (rng.random() < duplicates % 1)
        placed += [(place + rng.uniform(0, LATE_HOURS * hour), message) for _ in range(again)]
        repeated += again
    if duplicates or late:
        placed.sort(key=lambda pair: pair[0])
    return [message for _, message in placed], repeated


def snapshots_of(users: int, each: int, *, late: float = 0.0) -> list[bytes]:
    """A day of every user's snapshots, one a message, in the order of their times but for the late.

    `each` is how many a user has, at most 1,440.
    """
    rng, delays = random.Random(13), random.Random(19)
    steps = [0] * users
    placed: list[tuple[float, bytes]] = []
    for place in range(each):
        at = START + timedelta(minutes=place * 1440 // each)
        for user in range(users):
            steps[user] += rng.randrange(130)
            snapshot = {
                "user_id": f"user-{user:04d}",
                "device_id": "watch",
                "source": "FITBIT",
                "date": at.date().isoformat(),
                "timestamp": at.isoformat(),
                "steps_total": steps[user],
                "calories_out_total": float(steps[user]),
            }
            delay = delays.uniform(0, each / 4) if delays.random() < late else 0.0
            placed.append((place + delay, orjson.dumps(snapshot)))
    if late:
        placed.sort(key=lambda pair: pair[0])
    return [message for _, message in placed]


def event_at(rng: random.Random, at: datetime) -> dict[str, object]:
    """One minute as a phone writes it; most have calories, half a heart rate."""
    event: dict[str, object] = {"ts": at.isoformat(), "steps": rng.randrange(130)}
    if rng.random() < 0.75:
        event["calories_out"] = round(rng.uniform(0.8, 12), 4)
    if rng.random() < 0.5:
        event["hr_avg"] = round(rng.uniform(50, 170), 1)
    return event


def _hours(
    records: int, users: int, first_hour: int
) -> Iterator[tuple[str, list[dict[str, object]]]]:
    rng = random.Random(7)
    for hour in range(records // 60 // users):
        start = START + timedelta(hours=first_hour + hour)
        for user in range(users):
            minutes = (start + timedelta(minutes=minute) for minute in range(60))
            yield f"user-{user:04d}", [event_at(rng, minute) for minute in minutes]
