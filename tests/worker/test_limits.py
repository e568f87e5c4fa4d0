"""When so much is refused that something upstream must be broken."""

import pytest

from ingest.errors import WorkerStopped
from ingest.worker.limits import WINDOW_RECORDS, DeadLetterLimits


def limits(*, share_max: float = 0.5, consecutive_max: int = 10**9) -> DeadLetterLimits:
    return DeadLetterLimits(share_max=share_max, consecutive_max=consecutive_max)


def test_a_share_counts_only_over_a_whole_window():
    counted = limits()
    counted.add(WINDOW_RECORDS - 2, WINDOW_RECORDS - 3)
    counted.check(1, 1)
    with pytest.raises(WorkerStopped, match="9,999 of the last 10,000 records were refused"):
        counted.check(2, 2)


def test_a_share_at_the_limit_is_no_reason_to_stop():
    counted = limits()
    counted.add(WINDOW_RECORDS, WINDOW_RECORDS // 2 - 1)
    counted.check(2, 2)
    with pytest.raises(WorkerStopped, match="DEAD_LETTER_SHARE_MAX"):
        counted.check(3, 3)


def test_what_is_older_than_the_window_is_forgotten():
    counted = limits()
    counted.add(WINDOW_RECORDS, WINDOW_RECORDS)
    for _ in range(10):
        counted.add(WINDOW_RECORDS // 10, 0)
    counted.check(WINDOW_RECORDS // 2, WINDOW_RECORDS // 2)


def test_records_in_a_row_are_those_of_batches_refused_whole():
    counted = limits(consecutive_max=10)
    counted.add(6, 6)
    counted.check(4, 4)
    with pytest.raises(WorkerStopped, match="11 records in a row were refused"):
        counted.check(5, 5)
    counted.add(100, 99)
    counted.check(10, 10)


def test_a_batch_without_a_refusal_is_always_let_through():
    counted = limits(share_max=0.01)
    counted.add(WINDOW_RECORDS, WINDOW_RECORDS)
    counted.check(5, 0)


def test_checking_twice_counts_nothing():
    counted = limits(consecutive_max=10)
    for _ in range(5):
        counted.check(6, 6)


def test_a_share_of_one_never_stops():
    counted = limits(share_max=1)
    counted.add(WINDOW_RECORDS, WINDOW_RECORDS)
    counted.check(WINDOW_RECORDS, WINDOW_RECORDS)
