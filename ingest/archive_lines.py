"""One line of an export: a stored document as JSON, and back to the row it holds, checked.

What comes back is valid by construction: types and ranges are those of the decoder, and the row
must give the very document that was read, its `_id` included.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal, NamedTuple

import orjson
from pydantic import AwareDatetime, Field
from pydantic_core import SchemaValidator, ValidationError
from typing_extensions import TypedDict

from ingest.core.dedupe import RememberedKey
from ingest.core.records import Event, Snapshot
from ingest.core.rows import DATE_DISTANCE_MAX_DAYS
from ingest.core.schema import (
    VERSION_MAX,
    Calories,
    HeartRate,
    Id,
    Source,
    Steps,
    StepsTotal,
    Version,
    validator_of,
)
from ingest.core.timestamps import (
    EARLIEST_MS,
    MINUTE_MS,
    days_between,
    neighbouring_dates,
    text_of,
)
from ingest.core.totals import DailyTotal
from ingest.stores.documents import (
    EVENTS,
    KEYS,
    SNAPSHOTS,
    TOTALS,
    event_documents,
    event_of,
    key_document,
    key_of,
    snapshot_document,
    snapshot_of,
    stored_instant,
    total_document,
    total_of,
)

Row = Any  # an event, a snapshot, a total or a key
Date = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
Instant = Annotated[AwareDatetime, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=0, le=VERSION_MAX)]
Whole = Annotated[int, Field(strict=True, ge=-VERSION_MAX, le=VERSION_MAX)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Basis = Literal["snapshots", "events", "mixed"]
_DATES: Final = ("ts", "timestamp", "updated_at", "created_at")


class _Event(TypedDict):
    _id: str
    user_id: Id
    device_id: Id
    source: Source
    ts: Instant
    date: Date
    steps: Steps | None
    calories_out: Calories | None
    hr_avg: HeartRate | None
    version: Version


class _Snapshot(TypedDict):
    _id: str
    user_id: Id
    device_id: Id
    source: Source
    date: Date
    timestamp: Instant
    steps_total: StepsTotal
    calories_out_total: Calories
    hr_avg_session: HeartRate | None
    version: Version


class _Device(TypedDict):
    steps: Whole
    calories_out: Number
    basis: Literal["snapshots", "events"]


class _Chain(TypedDict):
    last_ms: Count
    steps_total: Count
    calories_out_total: Count
    steps: Whole
    calories_out: Whole
    snapshots: Count
    resets: Count
    glitches: Count
    sources: list[Source]
    is_settled: Annotated[bool, Field(strict=True)]


_Sums = Annotated[list[Count | Source], Field(min_length=5)]


class _DeviceState(TypedDict):
    hours: dict[Annotated[str, Field(pattern=r"^\d{1,7}$")], _Sums]
    chain: _Chain | None


class _Total(TypedDict):
    _id: str
    user_id: Id
    date: Date
    steps: Whole
    calories_out: Number
    hr_avg: HeartRate | None
    basis: Basis
    devices: dict[Id, _Device]
    events_count: Count
    snapshots_count: Count
    resets: Count
    revision: Annotated[Count, Field(ge=1)]
    updated_at: Instant
    state: dict[Id, _DeviceState]


class _Key(TypedDict):
    _id: Annotated[str, Field(pattern=r"^[^|]+\|[ -~]{1,255}$")]
    user_id: Id
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    created_at: Instant


class _Form(NamedTuple):
    validator: SchemaValidator
    document_of: Callable[[Row], dict[str, Any]]
    row_of: Callable[[Mapping[str, Any]], Row]


_FORMS: Final = {
    EVENTS: _Form(validator_of(_Event), lambda row: event_documents([row])[0], event_of),
    SNAPSHOTS: _Form(validator_of(_Snapshot), snapshot_document, snapshot_of),
    TOTALS: _Form(validator_of(_Total), total_document, total_of),
    KEYS: _Form(validator_of(_Key), key_document, key_of),
}


def line_of(collection: str, row: Row) -> bytes:
    """A row of a collection as a line, its end included."""
    document = _FORMS[collection].document_of(row)
    return orjson.dumps({"collection": collection, "document": document}, option=_OPTIONS)


def row_of(collection: Any, document: Any) -> Row:
    """The row of what a line holds; raises ValueError, with the field but no value of it."""
    form = _FORMS.get(collection) if isinstance(collection, str) else None
    if form is None:
        raise ValueError("collection: unknown")
    try:
        fields = form.validator.validate_json(orjson.dumps(document))
    except TypeError:
        raise ValueError("document: nested too deeply") from None
    except ValidationError as error:
        broken = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, broken["loc"][:1])) or "document"
        raise ValueError(f"{field}: {broken['msg']}") from None
    try:
        instants = {name: stored_instant(fields[name]) for name in _DATES if name in fields}
        read = {**document, **instants}
        row = form.row_of(read)
        is_possible = form.document_of(row) == read and _IS_POSSIBLE[collection](row)
    except (ValueError, TypeError, OverflowError):
        is_possible = False
    if not is_possible:
        raise ValueError("its fields do not belong together, or hold more than 4 decimals")
    return row


def _is_possible_event(event: Event) -> bool:
    """Whether a message could have brought it; the `_id` has room for 8 digits of minutes."""
    return (
        EARLIEST_MS // MINUTE_MS <= event.minute < 10**8
        and event.date in neighbouring_dates(event.minute)
        and (event.steps, event.calories_out, event.hr_avg) != (None, None, None)
    )


def _is_possible_snapshot(snapshot: Snapshot) -> bool:
    """As `_is_possible_event`; 13 digits of milliseconds."""
    utc_date = text_of(snapshot.timestamp_ms, 0)[:10]
    return (
        EARLIEST_MS <= snapshot.timestamp_ms < 10**13
        and abs(days_between(snapshot.date, utc_date)) <= DATE_DISTANCE_MAX_DAYS + 1
    )


def _is_possible_total(total: DailyTotal) -> bool:
    """Whether its date is one, its instant in whole milliseconds and its sources are texts."""
    hours = [sums for device in total.state.values() for sums in device.hours.values()]
    return (
        days_between(total.day.date, total.day.date) == 0
        and _is_whole_ms(total.updated_at)
        and all(isinstance(source, str) for sums in hours for source in sums.sources)
    )


def _is_possible_key(key: RememberedKey) -> bool:
    return _is_whole_ms(key.created_at)


def _is_whole_ms(instant: datetime | None) -> bool:
    return instant is not None and instant.microsecond % 1000 == 0


_IS_POSSIBLE: Final[dict[str, Callable[[Row], bool]]] = {
    EVENTS: _is_possible_event,
    SNAPSHOTS: _is_possible_snapshot,
    TOTALS: _is_possible_total,
    KEYS: _is_possible_key,
}


# Sorted, so that one document is one line: the devices of a total stand in any order.
_OPTIONS: Final = (
    orjson.OPT_APPEND_NEWLINE | orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z | orjson.OPT_SORT_KEYS
)
