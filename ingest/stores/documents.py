"""The stored documents of DESIGN section 6, and the rows, totals and keys they hold.

Dates are naive datetimes in UTC with whole milliseconds: what BSON has, and what a driver turns
fastest. What people read shows ordinary numbers; the `state` of a total is only for folding and
keeps calories and heart rates in units of 1/10,000, so that they stay whole.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, cast

from ingest.core.dedupe import KeyRef, RememberedKey
from ingest.core.deltas import Chain
from ingest.core.documents import total_message
from ingest.core.merge import DeviceTotal
from ingest.core.records import (
    SCALE,
    Day,
    Event,
    Snapshot,
    day_id,
    number_of,
    shared_date,
    snapshot_id,
    units,
)
from ingest.core.sums import NO_EVENTS, EventSums, plus
from ingest.core.timestamps import REMEMBERED_MAX
from ingest.core.totals import DailyTotal, DeviceDay

Document = dict[str, Any]
EVENTS: Final = "activity_events"
SNAPSHOTS: Final = "health_snapshots"
TOTALS: Final = "daily_totals"
KEYS: Final = "idempotency_keys"
COLLECTIONS: Final = (EVENTS, SNAPSHOTS, TOTALS, KEYS)

_EPOCH: Final = datetime(1970, 1, 1)
_MS: Final = timedelta(milliseconds=1)
_new: Final = tuple.__new__


def event_documents(events: Iterable[Event]) -> list[Document]:
    """The documents of `activity_events`."""
    documents = []
    for user_id, device_id, source, minute, date, steps, calories_out, hr_avg, version in events:
        in_id, ts = _minute_at(minute)
        documents.append(
            {
                "_id": user_id + in_id + device_id,
                "user_id": user_id,
                "device_id": device_id,
                "source": source,
                "ts": ts,
                "date": date,
                "steps": steps,
                "calories_out": None if calories_out is None else calories_out / SCALE,
                "hr_avg": None if hr_avg is None else hr_avg / SCALE,
                "version": version,
            }
        )
    return documents


def event_of(document: Mapping[str, Any]) -> Event:
    """The event of a document, of which `user_id`, `device_id` and `ts` may be left out."""
    user_id, minute, device_id = document["_id"].split("|")
    calories_out, hr_avg = document["calories_out"], document["hr_avg"]
    return _new(
        Event,
        (
            *(user_id, device_id, document["source"], int(minute)),
            *(shared_date(document["date"]), document["steps"]),
            None if calories_out is None else units(calories_out),
            None if hr_avg is None else units(hr_avg),
            int(document["version"]),
        ),
    )


def snapshot_document(snapshot: Snapshot) -> Document:
    """A document of `health_snapshots`."""
    return {
        "_id": snapshot_id(snapshot),
        "user_id": snapshot.user_id,
        "device_id": snapshot.device_id,
        "source": snapshot.source,
        "date": snapshot.date,
        "timestamp": _EPOCH + snapshot.timestamp_ms * _MS,
        "steps_total": snapshot.steps_total,
        "calories_out_total": number_of(snapshot.calories_out_total),
        "hr_avg_session": number_of(snapshot.hr_avg_session),
        "version": snapshot.version,
    }


def snapshot_of(document: Mapping[str, Any]) -> Snapshot:
    """The snapshot of a document, of which what stands in its `_id` may be left out."""
    user_id, date, timestamp_ms, device_id = document["_id"].split("|")
    return Snapshot(
        user_id,
        device_id,
        document["source"],
        shared_date(date),
        int(timestamp_ms),
        document["steps_total"],
        units(document["calories_out_total"]),
        _units(document["hr_avg_session"]),
        int(document["version"]),
    )


def total_document(total: DailyTotal) -> Document:
    """A document of `daily_totals`: the message, with the state."""
    return {
        "_id": day_id(total.day),
        **total_message(total),
        "updated_at": stored_instant(cast("datetime", total.updated_at)),
        "state": {
            device_id: {
                "hours": {str(hour): [*sums[:-1], *sums.sources] for hour, sums in hours.items()},
                "chain": None
                if chain is None
                else {**chain._asdict(), "sources": [*chain.sources]},
            }
            for device_id, (hours, _, chain) in total.state.items()
        },
    }


def total_of(document: Mapping[str, Any]) -> DailyTotal:
    """The total of a document."""
    return DailyTotal(
        day=Day(document["user_id"], shared_date(document["date"])),
        steps=document["steps"],
        calories_out=units(document["calories_out"]),
        hr_avg=_units(document["hr_avg"]),
        basis=document["basis"],
        devices={
            device_id: DeviceTotal(device["steps"], units(device["calories_out"]), device["basis"])
            for device_id, device in document["devices"].items()
        },
        events_count=document["events_count"],
        snapshots_count=document["snapshots_count"],
        resets=document["resets"],
        revision=int(document["revision"]),
        updated_at=document["updated_at"].replace(tzinfo=UTC),
        state={
            device_id: _device_day_of(device) for device_id, device in document["state"].items()
        },
    )


def key_id(ref: KeyRef) -> str:
    """`user|key` (DESIGN section 6)."""
    return f"{ref.user_id}|{ref.key}"


def key_document(key: RememberedKey) -> Document:
    """A document of `idempotency_keys`; its `user_id` is what the collection is sharded by."""
    return {
        "_id": key_id(key.ref),
        "user_id": key.ref.user_id,
        "fingerprint": key.fingerprint,
        "created_at": stored_instant(key.created_at),
    }


def key_of(document: Mapping[str, Any]) -> RememberedKey:
    """The key of a document."""
    user_id, key = document["_id"].split("|", 1)
    created_at = document["created_at"].replace(tzinfo=UTC)
    return RememberedKey(KeyRef(user_id, key), document["fingerprint"], created_at)


def _device_day_of(device: Mapping[str, Any]) -> DeviceDay:
    hours, events = {}, NO_EVENTS
    for hour, sums in device["hours"].items():
        hours[int(hour)] = own = _sums_of(sums)
        events = plus(events, own)
    return DeviceDay(hours, events, None if device["chain"] is None else _chain_of(device["chain"]))


def _sums_of(stored: Sequence[Any]) -> EventSums:
    return _new(EventSums, (*map(int, stored[:5]), tuple(stored[5:])))


def _chain_of(stored: Mapping[str, Any]) -> Chain:
    numbers = {name: int(stored[name]) for name in Chain._fields[:8]}
    return Chain(**numbers, sources=tuple(stored["sources"]), is_settled=stored["is_settled"])


def _units(number: float | None) -> int | None:
    return None if number is None else units(number)


def stored_instant(instant: datetime) -> datetime:
    """An instant as it is stored."""
    return instant.astimezone(UTC).replace(tzinfo=None)


@lru_cache(maxsize=REMEMBERED_MAX)
def _minute_at(minute: int) -> tuple[str, datetime]:
    """An epoch minute as an `_id` holds it, and its instant; users share their minutes."""
    return f"|{minute:08d}|", _EPOCH + timedelta(minutes=minute)
