"""The buckets: who may call now, and when again."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.gateway.rates import BUCKETS_MAX, Rates

SLACK_SECONDS = 2e-6
STEPS = st.lists(
    st.tuples(st.floats(0, 5), st.floats(0, 12), st.booleans()), min_size=1, max_size=60
)


class Clock:
    """Says what a test wants."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_a_burst_goes_through_at_once_and_then_the_rate():
    clock = Clock()
    rates = Rates(2, 3, clock)
    assert [rates.take("a") for _ in range(4)] == [0, 0, 0, pytest.approx(0.5)]
    clock.now += 0.4
    assert rates.take("a") == pytest.approx(0.1)
    clock.now += 0.1
    assert [rates.take("a"), rates.take("a")] == [0, pytest.approx(0.5)]


def test_what_is_refused_takes_nothing():
    clock = Clock()
    rates = Rates(1, 1, clock)
    rates.take("a")
    assert [rates.take("a") for _ in range(100)] == pytest.approx([1] * 100)


def test_a_bucket_never_holds_more_than_a_burst():
    clock = Clock()
    rates = Rates(10, 2, clock)
    rates.take("a")
    clock.now += 3600
    assert [rates.take("a") == 0 for _ in range(3)] == [True, True, False]


def test_each_name_has_a_bucket_of_its_own():
    rates = Rates(1, 1, Clock())
    assert [rates.take("a"), rates.take("b"), rates.take(("b", 1))] == [0, 0, 0]
    assert rates.take("a") > 0


def test_a_cost_is_so_many_tokens():
    rates = Rates(2, 10, Clock())
    assert rates.take("a", 9.5) == 0
    assert rates.take("a", 3) == pytest.approx(1.25)
    assert rates.take("a", 0.5) == 0


def test_what_costs_nothing_goes_through_an_empty_bucket():
    rates = Rates(1, 1, Clock())
    assert [rates.take("a"), rates.take("a", 0)] == [0, 0]


def test_what_costs_more_than_a_burst_never_goes_through_and_leaves_no_trace():
    rates = Rates(1, 5, Clock())
    assert rates.take("a", 5.1) == math.inf
    assert len(rates) == 0
    assert rates.take("a", 5) == 0


@given(STEPS, st.floats(0.01, 100), st.integers(1, 12), st.sampled_from([0.0, 1e6]))
def test_over_no_time_more_than_a_burst_and_what_came_back_goes_through(
    steps: list[tuple[float, float, bool]], per_second: float, burst: int, start: float
):
    clock = Clock(start)
    rates = Rates(per_second, burst, clock)
    taken: list[tuple[float, float]] = []
    for gap, cost, waits in steps:
        clock.now += gap
        wait = rates.take("a", cost)
        if waits and 0 < wait < math.inf:
            clock.now += wait
            wait = rates.take("a", cost)
            assert wait == 0, "who waits as long as told is let through"
        if wait == 0:
            taken.append((clock.now, cost))
    for first, (begun_at, _) in enumerate(taken):
        total = 0.0
        for at, cost in taken[first:]:
            total += cost
            assert total <= burst + per_second * (at - begun_at + SLACK_SECONDS)


def test_full_buckets_are_forgotten_and_no_other_is():
    clock = Clock()
    rates = Rates(1, 100, clock)
    for number in range(BUCKETS_MAX // 2):
        rates.take(("old", number))
    clock.now += 1
    rates.take("spent", 100)
    for number in range(BUCKETS_MAX):
        rates.take(("new", number))
        assert len(rates) <= BUCKETS_MAX
        clock.now += 0.001
    assert rates.take("spent", 100) == pytest.approx(100 - BUCKETS_MAX * 0.001)


def test_where_none_is_full_those_are_forgotten_that_would_be_soonest():
    rates = Rates(1, 100, Clock())
    assert rates.take("spent", 100) == 0
    for number in range(3 * BUCKETS_MAX):
        assert rates.take(number) == 0
        assert len(rates) <= BUCKETS_MAX
    assert rates.take("spent") == pytest.approx(1)
