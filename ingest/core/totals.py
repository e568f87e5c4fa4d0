"""Daily totals: folded forward from a known total, or recomputed from every record of the day.

A day's `state` is what folding needs: per device the sums of its events per UTC hour, and its
chain of snapshots in short (DESIGN sections 5 and 6). `fold` replaces the hours and chains that
were read again from the log and adds the records that are new; `recompute` is the slow, obvious
oracle that the tests and `db verify` hold it to. All sums are integers.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Final, Literal, NamedTuple

from ingest.core.deltas import Chain, SnapshotRules, chain_of, extend, inserted
from ingest.core.merge import DeviceMerge, DeviceTotal, merged
from ingest.core.records import Day, Event, Snapshot, mean_units
from ingest.core.sums import NO_EVENTS, EventSums, minus, plus, summed, sums_of
from ingest.core.timestamps import MINUTES_PER_HOUR

Basis = Literal["snapshots", "events", "mixed"]
Counted = Mapping[str, Sequence[Snapshot]]  # what a total's chains count, by device, in time order


class DeviceDay(NamedTuple):
    """One device's part of a day's state: sums per epoch hour, their sum, and the chain."""

    hours: Mapping[int, EventSums]
    events: EventSums
    chain: Chain | None


class DailyTotal(NamedTuple):
    """The total of a day; `revision` counts its saved changes from 1, 0 is not saved yet.

    `hr_avg` and calories are in units of 1/10,000. A day whose last record moved to another date
    keeps a total of nothing, so that its revision goes on.
    """

    day: Day
    steps: int
    calories_out: int
    hr_avg: int | None
    basis: Basis
    devices: Mapping[str, DeviceTotal]
    events_count: int
    snapshots_count: int
    resets: int
    revision: int
    updated_at: datetime | None
    state: Mapping[str, DeviceDay]


class Rules(NamedTuple):
    """The settings that totals depend on; changing them takes a `db rebuild`."""

    merge: DeviceMerge = DeviceMerge()
    snapshots: SnapshotRules = SnapshotRules()


class Change(NamedTuple):
    """What new records bring to one day, by device: event sums per epoch hour, and snapshots."""

    hours: dict[str, dict[int, EventSums]]
    snapshots: dict[str, list[Snapshot]]


class Reread(NamedTuple):
    """What the log holds of one day: all of some epoch hours, and its snapshots if they were read.

    `found` may hold other hours too; only `hours` are taken from it.
    """

    hours: Collection[int]
    has_snapshots: bool
    found: Change


NO_CHANGE: Final = Change({}, {})
NOT_AT_HAND: Final[Counted] = {}
_EMPTY: Final = DeviceDay({}, NO_EVENTS, None)
_new: Final = tuple.__new__
_time: Final = attrgetter("timestamp_ms")


def changes_of(events: Iterable[Event], snapshots: Iterable[Snapshot]) -> dict[Day, Change]:
    """What records that are all new to the log bring to each day."""
    changes: dict[Day, Change] = {}
    for (user_id, date, device_id, hour), sums in sums_of(events).items():
        hours = _change(changes, user_id, date).hours
        if device_id in hours:
            hours[device_id][hour] = sums
        else:
            hours[device_id] = {hour: sums}
    for snapshot in snapshots:
        change = _change(changes, snapshot.user_id, snapshot.date)
        change.snapshots.setdefault(snapshot.device_id, []).append(snapshot)
    for change in changes.values():
        for chain in change.snapshots.values():
            chain.sort(key=_time)
    return changes


def can_fold(
    total: DailyTotal,
    change: Change,
    counted: Counted = NOT_AT_HAND,
    rules: SnapshotRules = SnapshotRules(),  # noqa: B008 - frozen
) -> bool:
    """Whether the change can be added without reading the log.

    Every chain grows but at its end, or `counted` has its snapshots and no source is authoritative.
    """
    for device_id, added in change.snapshots.items():
        chain = total.state.get(device_id, _EMPTY).chain
        if chain is None or _is_at_end(chain, added):
            continue
        sources = {*chain.sources, *(snapshot.source for snapshot in added)}
        if device_id not in counted or not sources.isdisjoint(rules.authoritative):
            return False
    return True


def fold(
    total: DailyTotal, change: Change, rules: Rules, now: datetime, counted: Counted = NOT_AT_HAND
) -> DailyTotal:
    """The next revision of a total, with a change that `can_fold` added."""
    state = dict(total.state)
    for device_id, added in change.hours.items():
        device = state.get(device_id, _EMPTY)
        hours, events = dict(device.hours), device.events
        for hour, sums in added.items():
            known = hours.get(hour)
            hours[hour] = sums if known is None else plus(known, sums)
            events = plus(events, sums)
        state[device_id] = DeviceDay(hours, events, device.chain)
    for device_id, snapshots in change.snapshots.items():
        device = state.get(device_id, _EMPTY)
        own = counted.get(device_id, ())
        state[device_id] = device._replace(chain=_grown(device.chain, own, snapshots, rules))
    return _total_of(total.day, state, rules, total.revision + 1, now)


def counted_with(counted: Counted, change: Change) -> Counted:
    """What the chains count once a change was folded."""
    after = dict(counted)
    for device_id, added in change.snapshots.items():
        own = after[device_id] = [*counted.get(device_id, ())]
        for snapshot in added:
            if own and snapshot.timestamp_ms < own[-1].timestamp_ms:
                insort(own, snapshot, key=_time)
            else:
                own.append(snapshot)
    return after


def is_counted(counted: Counted, snapshot: Snapshot) -> bool:
    """Whether the chains count this very snapshot."""
    own = counted.get(snapshot.device_id, ())
    place = bisect_left(own, snapshot.timestamp_ms, key=_time)
    return place < len(own) and own[place] == snapshot


def repair(
    total: DailyTotal | None, day: Day, reread: Reread, rules: Rules, now: datetime
) -> DailyTotal | None:
    """A total whose hours and chains are those of the log wherever they were read again.

    The same object where nothing differs; None where there is neither a total nor a record.
    """
    before = total.state if total is not None else {}
    state = {}
    for device_id in {*before, *reread.found.hours, *reread.found.snapshots}:
        known = before.get(device_id, _EMPTY)
        device = _reread_device(known, device_id, reread, rules.snapshots)
        if device.hours or device.chain is not None:
            state[device_id] = device
    if total is None:
        return _total_of(day, state, rules, 1, now) if state else None
    repaired = _total_of(day, state, rules, total.revision + 1, now)
    return total if is_same(repaired, total) else repaired


def advanced(total: DailyTotal | None, day: Day, rules: Rules, now: datetime) -> DailyTotal:
    """The next revision of a total that says the same; of none, a total of nothing."""
    if total is None:
        return _total_of(day, {}, rules, 1, now)
    return total._replace(revision=total.revision + 1, updated_at=now)


def events_in_hour(total: DailyTotal | None, hour: int) -> int:
    """How many events of an epoch hour a total counts, over all its devices."""
    if total is None:
        return 0
    hours = [device.hours.get(hour) for device in total.state.values()]
    return sum([sums.events for sums in hours if sums is not None])


def recompute(
    day: Day, events: Sequence[Event], snapshots: Sequence[Snapshot], rules: Rules, now: datetime
) -> DailyTotal | None:
    """The total of every accepted record of a day, from nothing; None of no record.

    Slow and obvious: no running sums, no state carried over, one pass over the records per
    question. Its revision is 0.
    """
    by_device: dict[str, tuple[list[Event], list[Snapshot]]] = {}
    for event in events:
        by_device.setdefault(event.device_id, ([], []))[0].append(event)
    for snapshot in snapshots:
        by_device.setdefault(snapshot.device_id, ([], []))[1].append(snapshot)
    if not by_device:
        return None
    state = {
        device_id: DeviceDay(
            {
                hour: summed([e for e in own_events if e.minute // MINUTES_PER_HOUR == hour])
                for hour in {e.minute // MINUTES_PER_HOUR for e in own_events}
            },
            summed(own_events)._replace(sources=()),
            chain_of(sorted(own_snapshots, key=_time), rules.snapshots) if own_snapshots else None,
        )
        for device_id, (own_events, own_snapshots) in by_device.items()
    }
    return _total_of(day, state, rules, 0, now)


def is_same(total: DailyTotal | None, other: DailyTotal | None) -> bool:
    """Whether two totals say the same of a day, state included; saying nothing equals no total."""
    left, right = (
        None if t is None or not t.state else t._replace(revision=0, updated_at=None)
        for t in (total, other)
    )
    return left == right


def _is_at_end(chain: Chain, added: Sequence[Snapshot]) -> bool:
    return chain.is_settled and added[0].timestamp_ms > chain.last_ms


def _grown(
    chain: Chain | None, counted: Sequence[Snapshot], added: Sequence[Snapshot], rules: Rules
) -> Chain:
    if chain is None:
        return chain_of(added, rules.snapshots)
    if not counted or _is_at_end(chain, added):
        return extend(chain, added, rules.snapshots)
    own = [*counted]
    for snapshot in added:
        chain = inserted(chain, own, snapshot, rules.snapshots)
        insort(own, snapshot, key=_time)
    return chain


def _change(changes: dict[Day, Change], user_id: str, date: str) -> Change:
    day = _new(Day, (user_id, date))
    change = changes.get(day)
    if change is None:
        change = changes[day] = Change({}, {})
    return change


def _reread_device(
    device: DeviceDay, device_id: str, reread: Reread, rules: SnapshotRules
) -> DeviceDay:
    """The device with what was read in place of what was known; itself if that is the same."""
    found = reread.found.hours.get(device_id, {})
    differing = [hour for hour in reread.hours if device.hours.get(hour) != found.get(hour)]
    chain = device.chain
    if reread.has_snapshots:
        snapshots = reread.found.snapshots.get(device_id)
        chain = chain_of(snapshots, rules) if snapshots else None
    if not differing and chain == device.chain:
        return device
    hours, events = dict(device.hours), device.events
    for hour in differing:
        if (known := hours.pop(hour, None)) is not None:
            events = minus(events, known)
        if (sums := found.get(hour)) is not None:
            hours[hour] = sums
            events = plus(events, sums)
    return DeviceDay(hours, events, chain)


def _total_of(
    day: Day, state: Mapping[str, DeviceDay], rules: Rules, revision: int, now: datetime
) -> DailyTotal:
    devices = {}
    events = snapshots = resets = hr_sum = hr_count = 0
    for device_id, (_, sums, chain) in state.items():
        events += sums.events
        hr_sum += sums.hr_sum
        hr_count += sums.hr_count
        if chain is None:
            devices[device_id] = DeviceTotal(sums.steps, sums.calories_out, "events")
        else:
            snapshots += chain.snapshots
            resets += chain.resets
            devices[device_id] = DeviceTotal(chain.steps, chain.calories_out, "snapshots")
    basis: Basis
    if len(devices) == 1:
        ((steps, calories_out, basis),) = devices.values()
    else:
        steps, calories_out = merged(devices, _sources(state, rules.merge), rules.merge)
        basis = _basis(devices)
    hr_avg = mean_units(hr_sum, hr_count)
    return _new(
        DailyTotal,
        (
            *(day, steps, calories_out, hr_avg, basis, devices, events, snapshots, resets),
            *(revision, now, state),
        ),
    )


def _basis(devices: Mapping[str, DeviceTotal]) -> Basis:
    bases = {device.basis for device in devices.values()}
    return "mixed" if len(bases) > 1 else next(iter(bases), "events")


def _sources(state: Mapping[str, DeviceDay], merge: DeviceMerge) -> dict[str, set[str]]:
    """The sources of the records that each device's total is taken from, where they matter."""
    if merge.policy != "prefer":
        return {}
    return {
        device_id: {s for sums in device.hours.values() for s in sums.sources}
        if device.chain is None
        else {*device.chain.sources}
        for device_id, device in state.items()
    }
