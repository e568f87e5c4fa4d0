"""What nobody does to a store through the pipeline: each function makes days wrong, and says which.

All of it goes through the ports, so that it is the same in every store: what is to be changed is
erased and put back.
"""

from collections.abc import Callable

from ingest.core.records import Day, Event, Kind, Snapshot
from ingest.core.totals import DailyTotal
from ingest.ports import Store
from ingest.stores.documents import EVENTS, SNAPSHOTS
from tests.batches import totals_of
from tests.stores.contents import DATE, DATE_AFTER, DATE_BEFORE, event, rows_of, snapshot

DAY, BEFORE, AFTER = (Day("u1", date) for date in (DATE, DATE_BEFORE, DATE_AFTER))
ELSEWHERE = Day("u1", "2025-11-20")


async def replace_total(
    store: Store, day: Day, change: Callable[[DailyTotal], DailyTotal | None]
) -> None:
    """Put another total in the place of one, or none."""
    user_id = day.user_id
    totals = {d: t for d, t in (await totals_of(store)).items() if d.user_id == user_id}
    totals[day] = change(totals[day])
    await store.totals.erase(user_id)
    await store.totals.restore([total for total in totals.values() if total is not None])


async def replace_events(store: Store, change: Callable[[Event], Event | None]) -> None:
    """Put other events of u1 in their places, or none."""
    rows = await rows_of(store)
    events = [change(row) for row in rows[EVENTS] if row.user_id == "u1"]
    snapshots = [row for row in rows[SNAPSHOTS] if row.user_id == "u1"]
    await _replace_log(store, [row for row in events if row is not None], snapshots)


async def replace_snapshots(store: Store, change: Callable[[Snapshot], Snapshot | None]) -> None:
    """The same of snapshots."""
    rows = await rows_of(store)
    events = [row for row in rows[EVENTS] if row.user_id == "u1"]
    snapshots = [change(row) for row in rows[SNAPSHOTS] if row.user_id == "u1"]
    await _replace_log(store, events, [row for row in snapshots if row is not None])


async def a_total_is_deleted(store: Store) -> set[Day]:
    await replace_total(store, DAY, lambda _: None)
    return {DAY}


async def a_total_has_other_steps(store: Store) -> set[Day]:
    await replace_total(store, DAY, lambda total: total._replace(steps=total.steps + 1))
    return {DAY}


async def a_total_has_another_heart_rate(store: Store) -> set[Day]:
    await replace_total(store, DAY, lambda total: total._replace(hr_avg=None))
    return {DAY}


async def a_total_has_other_state_only(store: Store) -> set[Day]:
    """A chain that ends earlier: what is told of the day is right, what folds next would not be."""

    def earlier(total: DailyTotal) -> DailyTotal:
        device = total.state["watch.2"]
        chain = device.chain._replace(last_ms=device.chain.last_ms - 1)
        return total._replace(state={**total.state, "watch.2": device._replace(chain=chain)})

    await replace_total(store, DAY, earlier)
    return {DAY}


async def a_total_has_no_record(store: Store) -> set[Day]:
    total = (await totals_of(store))[DAY]
    await store.totals.restore([total._replace(day=ELSEWHERE)])
    return {ELSEWHERE}


async def a_total_of_nothing_stands_over_records(store: Store) -> set[Day]:
    empty = {"steps": 0, "calories_out": 0, "hr_avg": None, "devices": {}, "state": {}}
    await replace_total(store, DAY, lambda total: total._replace(**empty))
    return {DAY}


async def an_event_is_added(store: Store) -> set[Day]:
    await store.log.append_events([event(700)])
    return {DAY}


async def a_snapshot_is_added(store: Store) -> set[Day]:
    await store.log.append_snapshots([snapshot(700, 900, device_id="new")])
    return {DAY}


async def a_first_record_of_a_day_is_added(store: Store) -> set[Day]:
    at = event(7 * 24 * 60, date=ELSEWHERE.date)
    await store.log.append_events([at])
    return {ELSEWHERE}


async def an_event_is_corrected(store: Store) -> set[Day]:
    await store.log.correct_events([event(61, steps=9_999, version=5)])
    return {DAY}


async def an_event_is_deleted(store: Store) -> set[Day]:
    await replace_events(store, lambda row: None if row == event(62, source="MANUAL") else row)
    return {DAY}


async def an_event_got_the_date_before(store: Store) -> set[Day]:
    await _move_first_event(store, DATE_BEFORE)
    return {DAY, BEFORE}


async def an_event_got_the_date_after(store: Store) -> set[Day]:
    await _move_first_event(store, DATE_AFTER)
    return {DAY, AFTER}


async def a_snapshot_is_deleted(store: Store) -> set[Day]:
    await replace_snapshots(store, lambda row: None if row.steps_total == 30 else row)
    return {DAY}


async def the_only_record_of_a_device_is_deleted(store: Store) -> set[Day]:
    await replace_snapshots(store, lambda row: None if row.device_id == "ring" else row)
    return {AFTER}


async def a_user_is_erased_but_for_the_totals(store: Store) -> set[Day]:
    """As an erasure that was cut short leaves it."""
    erased = await store.log.erase("u1")
    assert min(erased[Kind.ACTIVITY], erased[Kind.HEALTH]) > 0
    return {day for day in await totals_of(store) if day.user_id == "u1"}


async def all_totals_are_deleted(store: Store) -> set[Day]:
    totals = await totals_of(store)
    for user_id in {day.user_id for day in totals}:
        await store.totals.erase(user_id)
    return {day for day, total in totals.items() if total.devices}


async def _move_first_event(store: Store, date: str) -> None:
    await replace_events(store, lambda row: row._replace(date=date) if row == event(1) else row)


async def _replace_log(store: Store, events: list[Event], snapshots: list[Snapshot]) -> None:
    await store.log.erase("u1")
    await store.log.append_events(events)
    await store.log.append_snapshots(snapshots)


WAYS = (
    a_total_is_deleted,
    a_total_has_other_steps,
    a_total_has_another_heart_rate,
    a_total_has_other_state_only,
    a_total_has_no_record,
    a_total_of_nothing_stands_over_records,
    an_event_is_added,
    a_snapshot_is_added,
    a_first_record_of_a_day_is_added,
    an_event_is_corrected,
    an_event_is_deleted,
    an_event_got_the_date_before,
    an_event_got_the_date_after,
    a_snapshot_is_deleted,
    the_only_record_of_a_device_is_deleted,
    a_user_is_erased_but_for_the_totals,
    all_totals_are_deleted,
)
