"""The answers as the document of the service describes them; nothing is validated against these.

What is sent is what `ingest.core.documents` writes; these are the same shapes as types.
"""

from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

_CLOSED = ConfigDict(extra="forbid")
Id = Annotated[str, Field(examples=["ann"])]
Device = Annotated[str, Field(examples=["watch"])]
Date = Annotated[str, Field(json_schema_extra={"format": "date"}, examples=["2025-11-13"])]
Instant = Annotated[
    str, Field(json_schema_extra={"format": "date-time"}, examples=["2025-11-13T07:30:00+00:00"])
]
Count = Annotated[int, Field(ge=0, examples=[60])]
Steps = Annotated[int, Field(examples=[8_214])]
Calories = Annotated[float, Field(description="kcal", examples=[412.5])]
HeartRate = Annotated[float, Field(description="beats a minute", examples=[71.25])]
Next = Annotated[str | None, Field(description="What to go on with; null at the end.")]


@with_config(_CLOSED)
class DeviceTotal(TypedDict):
    """One device's part of a total."""

    steps: Steps
    calories_out: Calories
    basis: Literal["snapshots", "events"]


@with_config(_CLOSED)
class Total(TypedDict):
    """The total of a day, as the topic of daily totals has it."""

    user_id: Id
    date: Date
    steps: Steps
    calories_out: Calories
    hr_avg: HeartRate | None
    basis: Annotated[
        Literal["snapshots", "events", "mixed"], Field(description="What it was summed from.")
    ]
    devices: Annotated[dict[str, DeviceTotal], Field(description="By device.")]
    events_count: Count
    snapshots_count: Count
    resets: Count
    revision: Annotated[int, Field(ge=1, description="Of two, the higher one is right.")]
    updated_at: Instant


@with_config(_CLOSED)
class Delta(TypedDict):
    """What a snapshot adds to its day."""

    user_id: Id
    device_id: Device
    date: Date
    timestamp: Instant
    kind: Literal["bootstrap", "increment", "duplicate", "reset", "adjustment", "glitch"]
    steps_delta: Steps
    calories_out_delta: Calories
    steps_total: Count
    calories_out_total: Calories


@with_config(_CLOSED)
class Hour(TypedDict):
    """What the events of one device in one UTC hour come to."""

    hour: Annotated[Instant, Field(examples=["2025-11-13T07:00:00Z"])]
    steps: Count
    calories_out: Calories
    hr_avg: HeartRate | None
    events: Annotated[int, Field(ge=1, examples=[60])]
    device_id: Device


@with_config(_CLOSED)
class Event(TypedDict):
    """One accepted minute of one device."""

    user_id: Id
    device_id: Device
    source: Annotated[str, Field(examples=["APPLE_HEALTH"])]
    ts: Instant
    date: Date
    steps: Count | None
    calories_out: Calories | None
    hr_avg: HeartRate | None
    version: Count


@with_config(_CLOSED)
class Users(TypedDict):
    """Users who have totals, in the order of the store."""

    users: list[Id]
    next: Next


@with_config(_CLOSED)
class Days(TypedDict):
    """A page of totals, by date. It may hold fewer than were asked for and still go on."""

    user_id: Id
    days: list[Total]
    next: Next


@with_config(_CLOSED)
class OneDay(TypedDict):
    """A day: its total, and what it is made of."""

    total: Total
    deltas: Annotated[list[Delta], Field(description="By device, then time.")]
    hours: Annotated[list[Hour], Field(description="By hour, then device.")]


@with_config(_CLOSED)
class Events(TypedDict):
    """A page of events, by time."""

    events: list[Event]
    next: Next


@with_config(_CLOSED)
class Erased(TypedDict):
    """How many documents of a user there were."""

    activity_events: Count
    health_snapshots: Count
    daily_totals: Count
    idempotency_keys: Count
    tombstones: NotRequired[
        Annotated[int, Field(ge=0, description="Totals deleted from their topic.")]
    ]
