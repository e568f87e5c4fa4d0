"""What a time's text names: an instant, a civil date, and what is near them (DESIGN section 2)."""

import tracemalloc
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.core.timestamps import (
    Instant,
    days_between,
    first_minute,
    instant_of,
    minute_of,
    neighbouring_dates,
    text_of,
)
from ingest.errors import Reason, RecordRefused
from tests.core.messages import activity, event_text, read
from tests.core.strategies import MINUTE_MS, minutes, offsets


def ms(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp() * 1000)


INSTANTS = [
    ("2025-11-13T00:30:00Z", ms(2025, 11, 13, 0, 30), "2025-11-13"),
    ("2025-11-13t00:30:00z", ms(2025, 11, 13, 0, 30), "2025-11-13"),
    ("2025-11-13 00:30:00Z", ms(2025, 11, 13, 0, 30), "2025-11-13"),
    ("2025-11-13T00:30:00+01:00", ms(2025, 11, 12, 23, 30), "2025-11-13"),
    ("2025-11-13T23:30:00-01:30", ms(2025, 11, 14, 1), "2025-11-13"),
    ("2025-11-13T00:30:00-00:00", ms(2025, 11, 13, 0, 30), "2025-11-13"),
    ("2025-11-13T12:00:00+23:59", ms(2025, 11, 12, 12, 1), "2025-11-13"),
    ("2025-11-13T12:00:00-23:59", ms(2025, 11, 14, 11, 59), "2025-11-13"),
    ("2025-11-13T00:30:59Z", ms(2025, 11, 13, 0, 30, 59), "2025-11-13"),
    ("2025-11-13T00:30:00.5Z", ms(2025, 11, 13, 0, 30) + 500, "2025-11-13"),
    ("2025-11-13T00:30:00.05Z", ms(2025, 11, 13, 0, 30) + 50, "2025-11-13"),
    ("2025-11-13T00:30:00.007Z", ms(2025, 11, 13, 0, 30) + 7, "2025-11-13"),
    ("2025-11-13T00:30:00.9999Z", ms(2025, 11, 13, 0, 30) + 999, "2025-11-13"),
    ("2000-01-01T00:00:00Z", ms(2000, 1, 1), "2000-01-01"),
    ("1999-12-31T23:30:00-01:00", ms(2000, 1, 1, 0, 30), "1999-12-31"),
    ("2024-02-29T00:00:00Z", ms(2024, 2, 29), "2024-02-29"),
    ("2025-03-30T01:59:00+01:00", ms(2025, 3, 30, 0, 59), "2025-03-30"),  # Berlin: 23 hours
    ("2025-03-30T03:00:00+02:00", ms(2025, 3, 30, 1), "2025-03-30"),
    ("2025-10-26T02:30:00+02:00", ms(2025, 10, 26, 0, 30), "2025-10-26"),  # Berlin: 25 hours
    ("2025-10-26T02:30:00+01:00", ms(2025, 10, 26, 1, 30), "2025-10-26"),
]


@pytest.mark.parametrize(("text", "at", "date"), INSTANTS, ids=[row[0] for row in INSTANTS])
def test_a_text_names_an_instant_and_the_date_it_is_written_in(text, at, date):
    assert instant_of(text, "timestamp") == Instant(at, date)
    assert minute_of(text) == (at // MINUTE_MS, date, at)


def test_the_field_that_is_refused_is_named():
    with pytest.raises(RecordRefused) as refused:
        instant_of("soon", "timestamp")
    assert (refused.value.reason, refused.value.field) == (Reason.INVALID_TIMESTAMP, "timestamp")
    assert str(refused.value) == "timestamp: INVALID_TIMESTAMP"


@pytest.mark.parametrize("attempt", ["first", "again"])
def test_a_refused_time_is_refused_however_often_it_comes(attempt):
    with pytest.raises(RecordRefused, match="ts: NAIVE_TIMESTAMP"):
        minute_of("2025-11-13T00:30:00")


def test_times_with_a_long_fraction_do_not_fill_the_memory():
    """What remembers 65,536 times may not be made to hold a megabyte of each (DESIGN P4)."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for n in range(50):
        fraction = f"{n:02}" + "0" * 100_000
        assert len(read(activity(event_text(ts=f'"2025-11-13T00:30:00.{fraction}Z"'))).rows) <= 1
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 1_000_000


def test_an_event_belongs_to_the_date_written_in_its_ts_and_to_the_utc_minute():
    (event,) = read(activity(event_text(ts='"2025-11-13T00:30:59.9+01:00"'))).rows
    assert event.date == "2025-11-13"
    assert event.minute == ms(2025, 11, 12, 23, 30) // MINUTE_MS


def test_a_dst_day_of_25_hours_has_1500_minutes_and_one_date():
    """Berlin, 2025-10-26: three hours at +02:00, then 22 at +01:00."""
    hours = [(hour, "+02:00") for hour in range(3)] + [(hour, "+01:00") for hour in range(2, 24)]
    texts = [
        f"2025-10-26T{hour:02}:{minute:02}:00{zone}" for hour, zone in hours for minute in range(60)
    ]
    read_back = [minute_of(text) for text in texts]
    first = ms(2025, 10, 25, 22) // MINUTE_MS
    assert [minute for minute, _, _ in read_back] == [*range(first, first + 1500)]
    assert {date for _, date, _ in read_back} == {"2025-10-26"}


@given(minutes, st.integers(0, MINUTE_MS - 1), offsets)
def test_the_text_of_an_instant_names_it_at_any_offset(minute, rest, offset):
    at = minute * MINUTE_MS + rest
    text = text_of(at, offset)
    zone = timezone(timedelta(minutes=offset))
    assert instant_of(text, "ts") == Instant(
        at, datetime.fromtimestamp(at // 1000, zone).date().isoformat()
    )
    assert ("." in text) is (rest % 1000 > 0)


@pytest.mark.parametrize(
    ("at", "offset", "text"),
    [
        (ms(2025, 11, 13, 0, 30), 0, "2025-11-13T00:30:00+00:00"),
        (ms(2025, 11, 13, 0, 30), 90, "2025-11-13T02:00:00+01:30"),
        (ms(2025, 11, 13, 0, 30), -60, "2025-11-12T23:30:00-01:00"),
        (ms(2025, 11, 13, 0, 30) + 7, 0, "2025-11-13T00:30:00.007+00:00"),
    ],
)
def test_a_text_has_whole_seconds_where_there_is_no_fraction(at, offset, text):
    assert text_of(at, offset) == text


@pytest.mark.parametrize(
    ("earlier", "later", "days"),
    [
        ("2025-11-13", "2025-11-13", 0),
        ("2025-11-13", "2025-11-15", 2),
        ("2025-11-15", "2025-11-13", -2),
        ("2024-02-28", "2024-03-01", 2),
        ("2025-02-28", "2025-03-01", 1),
        ("2025-12-31", "2026-01-01", 1),
        ("2025-10-26", "2025-10-27", 1),
    ],
)
def test_days_between_two_dates_are_whole_days_of_the_calendar(earlier, later, days):
    assert days_between(earlier, later) == days


@pytest.mark.parametrize("no_date", ["2025-11-31", "20251113", "2025-W46-4", "", "2025-11-13T"])
def test_days_between_refuses_what_is_no_date(no_date):
    for pair in ((no_date, "2025-11-13"), ("2025-11-13", no_date)):
        with pytest.raises(ValueError):  # noqa: PT011 - the contract promises no more
            days_between(*pair)


def test_a_date_begins_at_its_first_utc_minute():
    assert first_minute("1970-01-02") == 1440
    assert first_minute("2025-11-13") == ms(2025, 11, 13) // MINUTE_MS
    with pytest.raises(ValueError, match="out of range"):
        first_minute("2025-11-31")


@pytest.mark.parametrize(
    ("minute", "dates"),
    [
        (ms(2025, 11, 13) // MINUTE_MS, ("2025-11-12", "2025-11-13", "2025-11-14")),
        (ms(2025, 11, 13, 23, 59) // MINUTE_MS, ("2025-11-12", "2025-11-13", "2025-11-14")),
        (ms(2024, 3, 1) // MINUTE_MS, ("2024-02-29", "2024-03-01", "2024-03-02")),
    ],
)
def test_the_neighbouring_dates_of_a_minute_are_in_order(minute, dates):
    assert neighbouring_dates(minute) == dates


@given(minutes, offsets)
def test_every_offset_gives_a_minute_one_of_its_neighbouring_dates(minute, offset):
    assert text_of(minute * MINUTE_MS, offset)[:10] in neighbouring_dates(minute)
