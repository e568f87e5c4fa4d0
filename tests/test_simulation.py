"""What `ingest simulate` writes: messages in all the wrong ways, and totals right anyway."""

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from itertools import islice, pairwise
from typing import Any

import pytest

from ingest.core.codec import decode
from ingest.core.dedupe import identity_of, measured
from ingest.core.merge import DeviceMerge
from ingest.core.records import Day, Event, Record, Snapshot, number_of
from ingest.core.refusals import Decoded
from ingest.core.timestamps import Window
from ingest.core.totals import DailyTotal, Rules, recompute
from ingest.simulation import Plan, messages, truth

LATEST_MS = 4_102_444_800_000  # 2100-01-01
NOW = datetime(2025, 1, 1, tzinfo=UTC)
RATES = ("duplicates", "late", "resets", "corrections", "malformed")
DELIVERY_RATES = tuple(rate for rate in RATES if rate != "resets")
SEEDS = range(25)
MERGES = (
    DeviceMerge("max"),
    DeviceMerge("sum"),
    DeviceMerge("prefer", ("GARMIN", "APPLE_HEALTH")),
    DeviceMerge("prefer", ("NO_SUCH_SOURCE",)),
)


def troubled(seed: int) -> Plan:
    rates = dict.fromkeys(RATES, 0.3)
    return Plan(users=3, days=2, devices=3, seed=seed, **rates)


def small(**rates: float) -> Plan:
    return Plan(users=2, days=2, devices=2, seed=5, **rates)


def read(lines: Iterable[bytes]) -> list[Decoded]:
    return [decode(line, None, Window(0, LATEST_MS)) for line in lines]


@cache
def received(plan: Plan) -> list[Decoded]:
    return read(messages(plan))


def rows_of(plan: Plan) -> list[Record]:
    return [row for message in received(plan) for row in message.rows]


@cache
def final_rows_by_day(plan: Plan) -> dict[Day, list[Record]]:
    """The highest version of every record, by day."""
    final: dict[tuple[object, ...], Record] = {}
    for row in rows_of(plan):
        identity = identity_of(row)
        known = final.get(identity)
        if known is None or row.version > known.version:
            final[identity] = row
    days = defaultdict(list)
    for row in final.values():
        days[Day(row.user_id, row.date)].append(row)
    return days


def recomputed(plan: Plan, merge: DeviceMerge) -> Iterator[dict[str, Any]]:
    for day, rows in sorted(final_rows_by_day(plan).items()):
        events = [row for row in rows if isinstance(row, Event)]
        snapshots = [row for row in rows if isinstance(row, Snapshot)]
        total = recompute(day, events, snapshots, Rules(merge=merge), NOW)
        assert total is not None
        yield fields_of(total)


def fields_of(total: DailyTotal) -> dict[str, Any]:
    return {
        "user_id": total.day.user_id,
        "date": total.day.date,
        "steps": total.steps,
        "calories_out": number_of(total.calories_out),
        "hr_avg": number_of(total.hr_avg),
        "basis": total.basis,
        "devices": {
            device_id: {
                "steps": device.steps,
                "calories_out": number_of(device.calories_out),
                "basis": device.basis,
            }
            for device_id, device in sorted(total.devices.items())
        },
        "events_count": total.events_count,
        "snapshots_count": total.snapshots_count,
        "resets": total.resets,
    }


def ordered(value: Any) -> Any:
    """Dicts as lists of pairs, so that comparing sees the order of fields and devices."""
    if isinstance(value, dict):
        return [(key, ordered(inner)) for key, inner in value.items()]
    return value


@pytest.mark.parametrize("merge", MERGES, ids=str)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_truth_is_what_the_final_records_recompute_to(seed: int, merge: DeviceMerge) -> None:
    plan = troubled(seed)
    told, computed = [*truth(plan, merge)], [*recomputed(plan, merge)]
    assert [ordered(total) for total in told] == [ordered(total) for total in computed]
    assert len(told) == plan.users * plan.days


@pytest.mark.parametrize("rate", [0, 0.5, 1])
@pytest.mark.parametrize("fault", RATES)
def test_each_fault_alone_leaves_the_truth_right(fault: str, rate: float) -> None:
    plan = small(**{fault: rate})
    assert [*truth(plan, DeviceMerge())] == [*recomputed(plan, DeviceMerge())]


def test_all_faults_at_once_leave_the_truth_right() -> None:
    plan = small(**dict.fromkeys(RATES, 1))
    assert [*truth(plan, DeviceMerge())] == [*recomputed(plan, DeviceMerge())]


def test_what_goes_wrong_on_the_way_does_not_change_the_truth() -> None:
    untroubled = [*truth(small(), DeviceMerge())]
    assert [*truth(small(**dict.fromkeys(DELIVERY_RATES, 1)), DeviceMerge())] == untroubled
    assert [*truth(small(resets=1), DeviceMerge())] != untroubled


@pytest.mark.parametrize("seed", SEEDS)
def test_no_two_values_are_ever_sent_with_one_identity_and_version(seed: int) -> None:
    values = defaultdict(set)
    for row in rows_of(troubled(seed)):
        values[identity_of(row), row.version].add(measured(row))
    assert {len(sent) for sent in values.values()} == {1}


@pytest.mark.parametrize("seed", SEEDS)
def test_no_two_messages_share_an_idempotency_key(seed: int) -> None:
    fingerprints = defaultdict(set)
    for message in received(troubled(seed)):
        if message.idempotency_key is not None:
            fingerprints[message.user_id, message.idempotency_key].add(message.fingerprint)
    assert {len(sent) for sent in fingerprints.values()} == {1}


def test_the_same_plan_gives_the_same_bytes() -> None:
    assert [*messages(troubled(1))] == [*messages(troubled(1))]


def test_the_bytes_are_the_same_on_every_python() -> None:
    """Changes only with the simulation itself."""
    digest = hashlib.sha256(b"\n".join(messages(troubled(1)))).hexdigest()
    assert digest == "3b846aef9ea0bfc1f04699b6e3a473d42a3d51d5293c389e183d871c6131fa01"


def test_seeds_give_different_messages_and_truths() -> None:
    one, other = (Plan(users=2, days=2, seed=seed) for seed in (1, 2))
    assert {*messages(one)}.isdisjoint(messages(other))
    assert [*truth(one, DeviceMerge())] != [*truth(other, DeviceMerge())]


def test_a_user_sends_the_same_however_many_users_there_are() -> None:
    few, many = ([*messages(Plan(users=users, days=1, late=0.5))] for users in (2, 5))
    assert few == [line for line in many if b'"user-0001"' in line or b'"user-0002"' in line]


def test_the_truth_is_sorted_by_user_and_date() -> None:
    days = [(total["user_id"], total["date"]) for total in truth(Plan(users=12), DeviceMerge())]
    assert days == sorted(days)
    assert len(days) == 12 * 7


@pytest.mark.parametrize("late", [0, 1])
def test_a_stream_of_decades_starts_at_once(late: float) -> None:
    started = time.monotonic()
    first = [*islice(messages(Plan(days=10_000, late=late)), 100)]
    assert time.monotonic() - started < 2
    assert first == [*islice(messages(Plan(days=10, late=late)), 100)]


def test_nothing_is_refused_where_nothing_is_malformed() -> None:
    plan = small(**dict.fromkeys(RATES, 1) | {"malformed": 0})
    assert not [message for message in read(messages(plan)) if message.refusals]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_malformed_is_refused_and_costs_no_other_record(seed: int) -> None:
    clean, troubled_too = (
        Plan(users=2, days=1, devices=2, seed=seed, malformed=rate) for rate in (0, 1)
    )
    decoded = read(messages(troubled_too))
    sent = Counter(row for message in decoded for row in message.rows)
    assert sent == Counter(rows_of(clean))
    assert sum(len(message.refusals) for message in decoded) == len([*messages(clean)])


def test_every_kind_of_reason_comes_up() -> None:
    plan = Plan(users=10, days=3, malformed=1)
    reasons = {refusal.reason for message in read(messages(plan)) for refusal in message.refusals}
    assert reasons >= {
        "MALFORMED_MESSAGE",
        "INVALID_ID",
        "INVALID_RECORD",
        "INVALID_TIMESTAMP",
        "NAIVE_TIMESTAMP",
        "NEGATIVE_VALUE",
        "OUT_OF_RANGE",
        "OUT_OF_RANGE_HR",
    }


def test_no_message_is_blank_or_holds_a_line_end() -> None:
    for line in messages(Plan(users=10, days=3, malformed=1)):
        assert line.strip()
        assert line.splitlines() == [line]


def test_a_duplicate_is_the_same_bytes_once_or_twice_more() -> None:
    assert {*Counter(messages(small())).values()} == {1}
    assert {*Counter(messages(small(duplicates=1))).values()} == {2, 3}


def test_messages_arrive_in_order_unless_they_are_late() -> None:
    def swaps(plan: Plan) -> int:
        times = defaultdict(list)
        for row in rows_of(plan):
            if isinstance(row, Snapshot):
                times[row.user_id, row.device_id].append(row.timestamp_ms)
        return sum(a > b for chain in times.values() for a, b in pairwise(chain))

    assert swaps(small()) == 0
    assert swaps(small(late=1)) > 10


def test_every_message_with_a_mistake_is_corrected() -> None:
    rows = rows_of(small(corrections=1))
    right = {identity_of(row): measured(row) for row in rows if row.version == 1}
    wrong = [row for row in rows if row.version == 0 and identity_of(row) in right]
    assert len(wrong) == len(right) > 0
    assert all(measured(row) != right[identity_of(row)] for row in wrong)
    assert {type(row) for row in wrong} == {Event, Snapshot}


def test_a_counter_restarts_once_a_day_at_most() -> None:
    assert {total["resets"] for total in truth(small(resets=1), DeviceMerge())} == {1}
    assert {total["resets"] for total in truth(small(), DeviceMerge())} == {0}


def test_devices_are_of_every_sort() -> None:
    """Events alone, snapshots alone, both from one device, with offsets on both sides of UTC."""
    kinds = defaultdict(set)
    for row in rows_of(Plan(users=8, days=1, devices=4)):
        kinds[row.user_id, row.device_id].add(type(row))
    assert {*map(frozenset, kinds.values())} == {
        frozenset({Event}),
        frozenset({Snapshot}),
        frozenset({Event, Snapshot}),
    }
    first = b"".join(messages(Plan(users=8, days=1)))
    assert all(offset in first for offset in (b"-08:00", b"-05:00", b"+00:00", b"+05:30"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("users", 0),
        ("days", 0),
        ("days", 1_000_000),
        ("devices", 0),
        *((rate, value) for rate in RATES for value in (-0.1, 1.1, float("nan"))),
    ],
)
def test_a_plan_refuses_a_bad_value_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{field} must be [^\n]+$"):
        Plan(**{field: value})
