from collections import Counter
from datetime import datetime

from benchmarks.crash import Held, Sums, damage, truth

MESSAGE = (
    b'{"user_id":"ann","device_id":"watch","source":"FITBIT","events":['
    b'{"ts":"2025-11-03T00:00:00+00:00","steps":2},{"ts":"2025-11-03T00:01:00+00:00","steps":3}]}'
)
FIRST = ("ann", "watch", datetime(2025, 11, 3))
SECOND = ("ann", "watch", datetime(2025, 11, 3, 0, 1))


def test_the_truth_is_what_was_sent() -> None:
    assert truth([MESSAGE]) == Held(Counter([FIRST, SECOND]), {"ann|2025-11-03": Sums(5, 2)})


def test_a_store_that_holds_the_truth_is_not_damaged() -> None:
    sent = truth([MESSAGE])
    found = damage(sent, sent, has_totals=True)
    assert (found.missing, found.copies, found.wrong_days) == (0, 0, 0)


def test_what_is_missing_and_what_is_there_twice_are_counted() -> None:
    stored = Held(Counter([FIRST, FIRST, FIRST]), {})
    found = damage(truth([MESSAGE]), stored, has_totals=False)
    assert (found.missing, found.repeated, found.copies, found.wrong_days) == (1, 1, 2, None)


def test_a_total_that_counts_too_much_is_a_wrong_day() -> None:
    sent = truth([MESSAGE])
    stored = sent._replace(totals={"ann|2025-11-03": Sums(7, 3)})
    found = damage(sent, stored, has_totals=True)
    assert (found.wrong_days, found.overcounted, found.undercounted) == (1, 1, 0)


def test_a_total_that_is_not_there_counts_nothing() -> None:
    sent = truth([MESSAGE])
    found = damage(sent, sent._replace(totals={}), has_totals=True)
    assert (found.wrong_days, found.overcounted, found.undercounted) == (1, 0, 2)
