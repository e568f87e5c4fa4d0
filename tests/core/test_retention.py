"""Which records and days a store that deletes old ones can still be right about."""

from datetime import UTC, datetime, timedelta

import pytest

from ingest.core.codec import decode
from ingest.core.retention import whole_from, window_of
from ingest.core.timestamps import EARLIEST_MS, FIRST_DATE
from tests.core.messages import activity, event_text, health, snapshot_text

NOW = datetime(2025, 11, 30, 12, tzinfo=UTC)
SKEW = timedelta(hours=24)
KEPT = timedelta(days=20)


def ms(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)


def test_without_retention_only_the_future_and_the_year_2000_bound_a_time() -> None:
    window = window_of(NOW, SKEW, None)
    assert window.earliest_ms <= EARLIEST_MS
    assert window.latest_ms == ms(NOW + SKEW)
    assert whole_from(NOW, None) == FIRST_DATE


def test_every_day_of_a_record_that_is_accepted_is_still_whole() -> None:
    """A snapshot's date is up to 2 days before its timestamp's, an offset up to a day off."""
    earliest = datetime.fromtimestamp(window_of(NOW, SKEW, KEPT).earliest_ms / 1000, UTC)
    assert (earliest - timedelta(days=3)).date().isoformat() >= whole_from(NOW, KEPT)


def test_no_record_of_a_whole_day_has_been_deleted() -> None:
    """Nor will be before the slack of three days is over."""
    first = datetime.fromisoformat(whole_from(NOW, KEPT)).replace(tzinfo=UTC)
    assert first - timedelta(days=3) >= NOW - KEPT


@pytest.mark.parametrize(("ms_later", "is_accepted"), [(-1, False), (0, True)])
def test_a_time_before_the_window_is_refused_and_its_bound_is_not(
    ms_later: int, is_accepted: bool
) -> None:
    window = window_of(NOW, SKEW, KEPT)
    at = datetime.fromtimestamp((window.earliest_ms + ms_later) / 1000, UTC)
    text = f'"{at.isoformat(timespec="milliseconds")}"'
    date = f'"{at.date().isoformat()}"'
    for message in (
        activity(event_text(ts=text)),
        health(snapshot_text(timestamp=text, date=date)),
    ):
        decoded = decode(message, None, window)
        assert [refusal.reason for refusal in decoded.refusals] == (
            [] if is_accepted else ["INVALID_TIMESTAMP"]
        )
