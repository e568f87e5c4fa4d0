"""Units, means and ids of rows (DESIGN sections 2 and 6)."""

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.core.records import Event, Snapshot, event_id, mean_units, number_of, snapshot_id, units
from tests.core.messages import activity, event_text, health, read, snapshot_text
from tests.core.strategies import few_events, few_snapshots

ROUNDED = [
    ("0", 0),
    ("1", 10_000),
    ("0.0001", 1),
    ("0.00005", 0),
    ("0.000050000000001", 1),
    ("0.00015", 2),
    ("0.00025", 2),
    ("0.12345", 1234),
    ("0.12355", 1236),
    ("0.12344999999999", 1234),
    ("0.12345000000001", 1235),
    ("1.00005", 10_000),
    ("2.67505", 26_750),
    ("2.67515", 26_752),
    ("99999.99995", 1_000_000_000),
    ("99999.99985", 999_999_998),
    ("61.23456789012345", 612_346),
    ("100000", 1_000_000_000),
]


@pytest.mark.parametrize(("text", "expected"), ROUNDED)
def test_a_number_is_rounded_half_even_on_its_decimal_text(text, expected):
    assert units(float(text)) == expected
    (event,) = read(activity(event_text(calories_out=text))).rows
    assert event.calories_out == expected
    (snapshot,) = read(health(snapshot_text(calories_out_total=text))).rows
    assert snapshot.calories_out_total == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("61.00005", 610_000), ("61.00015", 610_002), ("25", 250_000)]
)
def test_a_heart_rate_is_rounded_as_calories_are(text, expected):
    (event,) = read(activity(event_text(hr_avg=text))).rows
    (snapshot,) = read(health(snapshot_text(hr_avg_session=text))).rows
    assert event.hr_avg == snapshot.hr_avg_session == expected


@given(st.integers(0, 10**14), st.integers(5, 14))
def test_any_number_of_15_digits_is_rounded_as_its_decimal_text_is(digits, places):
    text = str(Decimal(digits).scaleb(-places))
    if Decimal(text) > 100_000:
        text = str(Decimal(text) / 10**9)[:15]
    expected = int((Decimal(text) * 10_000).to_integral_value(ROUND_HALF_EVEN))
    (event,) = read(activity(event_text(calories_out=text))).rows
    assert event.calories_out == expected == units(float(text))


@given(st.integers(0, 10**9))
def test_a_half_goes_to_the_even_unit_and_a_hair_beside_it_does_not(amount):
    half = Decimal(2 * amount + 1) / 20_000
    assert units(float(half)) == amount + amount % 2
    assert units(float(half - Decimal("0.000001"))) == amount
    assert units(float(half + Decimal("0.000001"))) == amount + 1


@given(st.integers(0, 10**10))
def test_the_ordinary_number_of_units_is_read_back_as_the_same_units(amount):
    number = number_of(amount)
    assert Decimal(repr(number)) == Decimal(amount) / 10_000
    assert units(number) == amount


def test_nothing_has_no_number():
    assert number_of(None) is None
    assert number_of(0) == 0.0


MEANS = [
    (0, 0, None),
    (610_000, 1, 610_000),
    (3, 2, 2),
    (5, 2, 2),
    (7, 2, 4),
    (1, 3, 0),
    (2, 3, 1),
    (4, 3, 1),
    (-3, 2, -2),
    (-5, 2, -2),
    (0, 5, 0),
]


@pytest.mark.parametrize(("amount", "count", "expected"), MEANS)
def test_a_mean_is_rounded_half_even(amount, count, expected):
    assert mean_units(amount, count) == expected


@given(st.integers(-(10**12), 10**12), st.integers(1, 1440))
def test_any_mean_is_the_exact_fraction_rounded_half_even(amount, count):
    assert mean_units(amount, count) == round(Fraction(amount, count))


EVENT = Event("u1", "phone", "FITBIT", 29_383_230, "2025-11-13", 1, None, None, 0)
SNAPSHOT = Snapshot("u1", "phone", "FITBIT", "2025-11-13", 946_684_800_000, 1, 1, None, 0)


def test_ids_are_written_as_the_design_says():
    assert event_id(EVENT) == "u1|29383230|phone"
    assert snapshot_id(SNAPSHOT) == "u1|2025-11-13|0946684800000|phone"


@given(st.lists(few_events, max_size=9))
def test_ids_of_events_sort_by_user_then_time_then_device(events):
    in_time = sorted(events, key=lambda e: (e.user_id, e.minute, e.device_id))
    assert sorted(map(event_id, events)) == [event_id(event) for event in in_time]


def test_ids_sort_by_time_from_2000_to_2100():
    minutes = [15_778_080, 29_383_230, 68_374_079]
    ids = [event_id(EVENT._replace(minute=minute)) for minute in minutes]
    assert ids == sorted(ids)
    instants = [minute * 60_000 for minute in minutes]
    snapshot_ids = [snapshot_id(SNAPSHOT._replace(timestamp_ms=at)) for at in instants]
    assert snapshot_ids == sorted(snapshot_ids)


@given(st.lists(few_snapshots, max_size=9))
def test_ids_of_snapshots_sort_by_user_then_date_then_time_then_device(snapshots):
    in_time = sorted(snapshots, key=lambda s: (s.user_id, s.date, s.timestamp_ms, s.device_id))
    assert sorted(map(snapshot_id, snapshots)) == [snapshot_id(snapshot) for snapshot in in_time]
