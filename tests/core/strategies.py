"""What hypothesis draws from: rows of a message, days full of collisions, messages as text."""

from datetime import UTC, date, datetime, timedelta, timezone

from hypothesis import strategies as st

from ingest.core.codec import encode
from ingest.core.deltas import SnapshotRules
from ingest.core.merge import DeviceMerge
from ingest.core.records import Event, Record, Snapshot
from ingest.core.totals import Rules
from tests.core.messages import TS

MINUTE_MS = 60_000
FIRST_MINUTE = int(datetime(2000, 1, 3, tzinfo=UTC).timestamp()) // 60
LAST_MINUTE = int(datetime(2099, 12, 28, tzinfo=UTC).timestamp()) // 60
FAR_MS = (LAST_MINUTE + 10_000) * MINUTE_MS  # later than every record drawn here

ids = st.text("aZ09._:@-", min_size=1, max_size=128)
sources = st.text("AZ09_", min_size=1, max_size=64)
minutes = st.integers(FIRST_MINUTE, LAST_MINUTE)
offsets = st.integers(-1439, 1439)
calories = st.integers(0, 1_000_000_000)
heart_rates = st.integers(250_000, 2_400_000)
versions = st.integers(0, 2**53 - 1)


def civil_date(ms: int, offset_minutes: int) -> date:
    return datetime.fromtimestamp(ms // 1000, timezone(timedelta(minutes=offset_minutes))).date()


@st.composite
def one_message(draw: st.DrawFn) -> tuple[list[Record], int]:
    """Rows of one message, and the offset that gives each event its date."""
    shared = draw(ids), draw(ids), draw(sources)
    offset = draw(offsets)
    row = draw(st.sampled_from([event_rows, snapshot_rows]))
    return draw(st.lists(row(shared, offset), min_size=1, max_size=8)), offset


@st.composite
def event_rows(draw: st.DrawFn, shared: tuple[str, str, str], offset: int) -> Event:
    minute = draw(minutes)
    measures = st.tuples(
        st.none() | st.integers(0, 10_000), st.none() | calories, st.none() | heart_rates
    )
    steps, calories_out, hr_avg = draw(measures.filter(lambda m: m != (None, None, None)))
    civil = civil_date(minute * MINUTE_MS, offset).isoformat()
    return Event(*shared, minute, civil, steps, calories_out, hr_avg, draw(versions))


@st.composite
def snapshot_rows(draw: st.DrawFn, shared: tuple[str, str, str], offset: int) -> Snapshot:
    ms = draw(minutes) * MINUTE_MS + draw(st.integers(0, MINUTE_MS - 1))
    civil = civil_date(ms, offset) + timedelta(days=draw(st.integers(-2, 2)))
    totals = draw(st.integers(0, 1_000_000)), draw(calories), draw(st.none() | heart_rates)
    return Snapshot(*shared, civil.isoformat(), ms, *totals, draw(versions))


NOVEMBER_13 = int(datetime(2025, 11, 13, tzinfo=UTC).timestamp()) // 60
DATES = ("2025-11-13", "2025-11-14")
few_users = st.sampled_from(["u1", "u2"])
few_devices = st.sampled_from(["phone", "watch"])
few_sources = st.sampled_from(["MANUAL", "FITBIT", "GARMIN"])
few_totals = st.sampled_from([0, 0, 10, 95, 100, 120])  # zeros, falls within 10 % and beyond it

few_events = st.builds(
    Event,
    few_users,
    few_devices,
    few_sources,
    st.integers(NOVEMBER_13, NOVEMBER_13 + 150),
    st.sampled_from(DATES),
    st.none() | st.integers(0, 9),
    st.none() | st.integers(0, 99_999),
    st.none() | st.integers(250_000, 250_009),
    st.just(0),
).filter(lambda e: (e.steps, e.calories_out, e.hr_avg) != (None, None, None))
few_snapshots = st.builds(
    Snapshot,
    few_users,
    few_devices,
    few_sources,
    st.sampled_from(DATES),
    st.integers(1, 20).map(lambda n: (NOVEMBER_13 + n) * MINUTE_MS),
    few_totals,
    few_totals,
    st.none(),
    st.just(0),
)
rules = st.builds(
    Rules,
    merge=st.sampled_from(
        [
            DeviceMerge(),
            DeviceMerge("sum"),
            DeviceMerge("prefer", ("GARMIN", "FITBIT")),
        ]
    ),
    snapshots=st.builds(
        SnapshotRules,
        reset_tolerance=st.sampled_from([0, 100_000]),
        authoritative=st.sampled_from([frozenset(), frozenset({"GARMIN"})]),
    ),
)


def identity(record: Record) -> tuple[object, ...]:
    """DESIGN section 3, written again."""
    owner = record.user_id, record.device_id
    if isinstance(record, Event):
        return (*owner, record.minute)
    return (*owner, record.date, record.timestamp_ms)


distinct_records = st.lists(few_events | few_snapshots, max_size=30, unique_by=identity)


def chains(max_size: int = 9) -> st.SearchStrategy[list[Snapshot]]:
    """The snapshots of one device and day in time order, at least one."""

    def chain(parts: list[tuple[str, int, int]]) -> list[Snapshot]:
        return [
            Snapshot("u1", "phone", source, DATES[0], at * 2, steps, calories_out, None, 0)
            for at, (source, steps, calories_out) in enumerate(parts)
        ]

    part = st.tuples(few_sources, few_totals, few_totals)
    return st.lists(part, min_size=1, max_size=max_size).map(chain)


# Messages as text: most values good, some odd, anywhere.
ODD = (
    *("null", "true", '""', '"x"', "[]", "{}", "-1", "-0.0", "12.0", "12.5", "1e999", "NaN"),
    *("123456789012345678901234567890", "[123456789012345678901234567890]", "1e5", "0.12345"),
    *('"2025-11-13T00:30:00"', '"2199-01-01T00:00:00Z"', '"é\\u0000\\ud83d\\ude00"', "[[{}]]"),
)
spaces = st.sampled_from(["", "", "", " ", "\n\t "])


def value(*good: str) -> st.SearchStrategy[str]:
    """Good values mostly, so that many messages are good everywhere."""
    return st.integers(0, 19).flatmap(lambda n: st.sampled_from(good if n else ODD))


@st.composite
def objects(draw: st.DrawFn, fields: dict[str, st.SearchStrategy[str]], needed: int) -> str:
    """An object of the first fields, which it needs, and some of the others, in any order."""
    names = [*fields]
    optional = draw(st.lists(st.sampled_from(names[needed:]), max_size=4))
    chosen = draw(st.permutations([*names[:needed], *optional]))
    parts = []
    for name in chosen:
        before, behind, end = draw(spaces), draw(spaces), draw(spaces)
        parts.append(f'{before}"{name}"{behind}:{before}{draw(fields[name])}{end}')
    return "{" + ",".join(parts) + "}"


event_fields = {
    "ts": value(TS, '"2025-11-13t23:59:59.999+01:30"'),
    "steps": value("0", "12", "10000"),
    "calories_out": value("0", "1.5", "0.00005", "100000"),
    "hr_avg": value("61", "25", "240.0", "null"),
    "version": value("0", "7"),
    "note": st.sampled_from([*ODD, '"events"', '"timestamp"']),
}
snapshot_fields = {
    "date": value('"2025-11-13"', '"2025-11-15"'),
    "timestamp": value('"2025-11-13T10:00:00Z"', '"2025-11-14T00:00:00-05:00"'),
    "steps_total": value("0", "1000000"),
    "calories_out_total": value("0", "2.67505"),
    "hr_avg_session": value("61", "null"),
    "version": value("0", "7"),
    "note": st.sampled_from([*ODD, '"snapshots"', '"ts"']),
}
envelope_fields = {
    "user_id": value('"u1"'),
    "idempotency_key": value('"k"', "null"),
    "device_id": value('"watch"'),
    "source": value('"FITBIT"'),
    "note": st.sampled_from(ODD),
}


def listed(record: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    odd_or_record = st.integers(0, 19).flatmap(lambda n: record if n else st.sampled_from(ODD))
    return st.lists(odd_or_record, min_size=1, max_size=5).map(
        lambda records: "[" + ",".join(records) + "]"
    )


events = objects(event_fields, 2)
snapshots = objects(snapshot_fields, 4)
texts = st.one_of(
    objects({"events": listed(events), **envelope_fields}, 3),
    objects({"snapshots": listed(snapshots), **envelope_fields}, 3),
    objects({**event_fields, **envelope_fields}, 2).map(
        lambda t: t.replace("{", '{"user_id":"u1",', 1)
    ),
    objects({"user_id": value('"u1"'), **snapshot_fields, **envelope_fields}, 5),
    objects({"user_id": value('"u1"'), **snapshot_fields, **event_fields}, 6),
    objects({"events": listed(events), "snapshots": listed(snapshots), **envelope_fields}, 3),
    objects({"user_id": value('"u1"'), **event_fields, "events": listed(events)}, 3),
).map(str.encode)
encoded = one_message().map(lambda rows: encode(rows[0], offset_minutes=rows[1]))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A message with a few bytes changed, put in, or cut off."""
    text = bytearray(draw(texts | encoded))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(text)))
        match draw(st.sampled_from(["flip", "insert", "cut", "remove"])):
            case "flip" if place < len(text):
                text[place] ^= 1 << draw(st.integers(0, 7))
            case "insert":
                text[place:place] = draw(st.binary(min_size=1, max_size=4))
            case "cut":
                del text[place:]
            case _:
                del text[place : place + draw(st.integers(1, 9))]
    return bytes(text)
