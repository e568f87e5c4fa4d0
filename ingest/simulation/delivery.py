"""In which order, how often and how whole the messages of simulated devices arrive."""

from collections.abc import Iterator
from datetime import date
from heapq import heappop, heappush, merge
from itertools import count
from operator import itemgetter
from typing import Final, NamedTuple

import orjson

from ingest.core.timestamps import MINUTES_PER_DAY, MINUTES_PER_HOUR
from ingest.simulation.devices import Device, Hour, hours_of, users_of
from ingest.simulation.draws import Draw, below, draw_of
from ingest.simulation.fields import (
    Fields,
    ListField,
    events_of,
    inlined,
    message_fields,
    mistaken,
    snapshot_of,
)
from ingest.simulation.malformed import bad_line, with_bad_record
from ingest.simulation.plan import Plan, dates_of

LATE_MIN_MINUTES: Final = 2 * MINUTES_PER_HOUR
LATE_MAX_MINUTES: Final = 3 * MINUTES_PER_DAY
REPEAT_MAX_MINUTES: Final = 4 * MINUTES_PER_HOUR
CORRECTION_MAX_MINUTES: Final = 12 * MINUTES_PER_HOUR
KEYED_SHARE: Final = 0.25
INLINED_SHARE: Final = 0.5
MISTAKEN_SHARE: Final = 0.25
BAD_RECORD_SHARE: Final = 0.5


class _Delivery(NamedTuple):
    """A message and the minute it arrives; the fields before it make the order total."""

    at: int
    user_id: str
    device_id: str
    number: int
    message: bytes


class _Sender(NamedTuple):
    plan: Plan
    device: Device
    draw: Draw
    numbers: Iterator[int]


def messages(plan: Plan) -> Iterator[bytes]:
    """The messages of all devices as they arrive, without line ends.

    Holds what is still to arrive, at most the faults of some four days, and about 14 kB for each
    device.
    """
    waiting: list[_Delivery] = []
    streams = [_deliveries_by(plan, device) for devices in users_of(plan) for device in devices]
    for at, deliveries in merge(*streams, key=itemgetter(0)):
        while waiting and waiting[0].at < at:
            yield heappop(waiting).message
        for delivery in deliveries:
            heappush(waiting, delivery)
    while waiting:
        yield heappop(waiting).message


def _deliveries_by(plan: Plan, device: Device) -> Iterator[tuple[int, list[_Delivery]]]:
    """What a device sends at each of its syncs, in order; none of it arrives before it is sent."""
    draw = draw_of(plan.seed, device.user_id, device.device_id, "delivery")
    sender = _Sender(plan, device, draw, count())
    for day in dates_of(plan):
        for hour in hours_of(plan, device, day):
            at = _synced_at(device, day, hour.hour)
            deliveries = [
                delivery
                for list_field, records in _records_of(device, day, hour)
                for delivery in _sent(sender, at, list_field, records)
            ]
            if deliveries:
                yield at, deliveries


def _synced_at(device: Device, day: date, hour: int) -> int:
    """The epoch minute of a device's sync after an hour of its day."""
    midnight = (day - date(1970, 1, 1)).days * MINUTES_PER_DAY - device.offset_minutes
    return midnight + (hour + 1) * MINUTES_PER_HOUR + device.sync_minute


def _records_of(device: Device, day: date, hour: Hour) -> Iterator[tuple[ListField, list[Fields]]]:
    if hour.reading is not None:
        yield "snapshots", [snapshot_of(device, day, hour.hour, hour.reading)]
    if hour.minutes:
        yield "events", events_of(device, day, hour)


def _sent(
    sender: _Sender, at: int, list_field: ListField, records: list[Fields]
) -> Iterator[_Delivery]:
    """The deliveries of one message, and of what goes wrong with it."""
    plan, device, draw, _ = sender
    first, corrections = records, list[Fields]()
    if draw() < plan.corrections:
        first, corrections = _with_mistakes(draw, records)
    if draw() < plan.malformed:
        if draw() < BAD_RECORD_SHARE:
            first = with_bad_record(draw, list_field, first)
        else:
            whole = message_fields(device, list_field, records, None)
            yield _delivery(sender, at, bad_line(draw, whole))
    yield from _copies(sender, at, _message(sender, list_field, first))
    if corrections:
        later = at + 1 + below(draw, CORRECTION_MAX_MINUTES)
        yield from _copies(sender, later, _message(sender, list_field, corrections))


def _with_mistakes(draw: Draw, records: list[Fields]) -> tuple[list[Fields], list[Fields]]:
    """The records with some of them wrong, at least one, and the right ones as version 1."""
    sure = below(draw, len(records))
    wrong = {i for i in range(len(records)) if i == sure or draw() < MISTAKEN_SHARE}
    first = [mistaken(draw, r) if i in wrong else r for i, r in enumerate(records)]
    return first, [{**records[i], "version": 1} for i in sorted(wrong)]


def _message(sender: _Sender, list_field: ListField, records: list[Fields]) -> bytes:
    _, device, draw, numbers = sender
    key = f"{device.device_id}/{next(numbers)}" if draw() < KEYED_SHARE else None
    fields = message_fields(device, list_field, records, key)
    if len(records) == 1 and draw() < INLINED_SHARE:
        fields = inlined(fields, list_field, records[0])
    return orjson.dumps(fields)


def _copies(sender: _Sender, at: int, message: bytes) -> Iterator[_Delivery]:
    """The message, perhaps late, and perhaps once or twice more after that."""
    plan, _, draw, _ = sender
    if draw() < plan.late:
        at += LATE_MIN_MINUTES + below(draw, LATE_MAX_MINUTES - LATE_MIN_MINUTES)
    yield _delivery(sender, at, message)
    if draw() < plan.duplicates:
        for _ in range(1 + below(draw, 2)):
            at += 1 + below(draw, REPEAT_MAX_MINUTES)
            yield _delivery(sender, at, message)


def _delivery(sender: _Sender, at: int, message: bytes) -> _Delivery:
    _, device, _, numbers = sender
    return _Delivery(at, device.user_id, device.device_id, next(numbers), message)
