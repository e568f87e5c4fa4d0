"""A store full of everything: every kind of record, verdict, chain, key, and a total of nothing."""

from ingest.archive_lines import line_of
from ingest.core.records import Day, Event, Snapshot
from ingest.outcome import Outcome
from ingest.ports import Scope, Store
from ingest.stores.documents import EVENTS, KEYS, SNAPSHOTS, TOTALS
from tests.batches import batch, pipeline_on, sent
from tests.core.strategies import MINUTE_MS, NOVEMBER_13
from tests.fakes import RecordingPublisher

DATE, DATE_BEFORE, DATE_AFTER = "2025-11-13", "2025-11-12", "2025-11-14"
ALIKE = ("u", "u1-", "u1.", "u10", "u1:")  # ids that begin like u1's, or like what follows it
MOVED = Day("u2", DATE_BEFORE)  # its only event got another date


def event(minute: int = 1, **changes) -> Event:
    row = Event("u1", "phone", "FITBIT", NOVEMBER_13 + minute, DATE, 10, 12_345, 610_000, 0)
    return row._replace(**changes)


def snapshot(minute: int = 1, steps: int = 100, **changes) -> Snapshot:
    at = (NOVEMBER_13 + minute) * MINUTE_MS
    row = Snapshot("u1", "watch.2", "GARMIN", DATE, at, steps, steps * 375, 612_500, 0)
    return row._replace(**changes)


FIRST = (
    sent(event(1), event(2, steps=None), event(61, calories_out=None, hr_avg=None), key="a | b"),
    sent(event(62, source="MANUAL")),
    sent(event(3, date=DATE_BEFORE), event(1439, date=DATE_AFTER)),
    sent(event(1, device_id="a.b:c"), event(2, device_id="a.b:c", calories_out=0)),
    sent(*(snapshot(minute, steps) for minute, steps in enumerate((100, 250, 30, 0, 40, 40)))),
    sent(snapshot(3, 77, device_id="ring", date=DATE_AFTER, hr_avg_session=None), key="k1"),
    sent(event(5, user_id="u2", date=DATE_BEFORE)),
    *(sent(event(7, user_id=user_id), key="k1") for user_id in ALIKE),
    *(sent(snapshot(9, 5, user_id=user_id)) for user_id in ALIKE),
)
THEN = (
    sent(event(2, steps=44, version=1)),  # a correction
    sent(event(1, steps=99)),  # a conflict
    sent(snapshot(1, 260, version=3)),  # a correction within a chain
    sent(event(5, user_id="u2", version=1)),  # a correction to another date
    sent(event(61, calories_out=None, hr_avg=None)),  # a duplicate
)


async def run(store: Store, *values: bytes) -> Outcome:
    """One batch of these messages, through a pipeline with an empty cache."""
    return await pipeline_on(store, RecordingPublisher()).run(batch(*values))


async def fill(store: Store) -> None:
    """Everything, in two batches."""
    await run(store, *FIRST)
    outcome = await run(store, *THEN)
    assert (outcome.corrected, outcome.conflicts, outcome.duplicates) == (3, 1, 1)


async def rows_of(store: Store) -> dict[str, list]:
    """All that a store holds, by collection, in the order that it is scanned."""
    scans = {
        EVENTS: store.log.scan_events,
        SNAPSHOTS: store.log.scan_snapshots,
        TOTALS: store.totals.scan,
        KEYS: store.keys.scan,
    }
    return {
        collection: [row async for page in scan(Scope()) for row in page]
        for collection, scan in scans.items()
    }


async def lines_in(store: Store) -> list[bytes]:
    """Every document as a line."""
    rows = await rows_of(store)
    return [line_of(collection, row) for collection, own in rows.items() for row in own]
