"""The day cache: bounded, and what was saved last stays longest."""

import pytest

from ingest.core.records import Day
from ingest.core.totals import DailyTotal
from ingest.day_cache import DayCache


def total(name: str, revision: int = 1) -> DailyTotal:
    return DailyTotal(Day(name, "d"), 0, 0, None, "events", {}, 0, 0, 0, revision, None, {})


def kept(cache: DayCache, names: str) -> str:
    return "".join(name for name in names if cache.get(Day(name, "d")) is not None)


@pytest.mark.parametrize("size_max", [1, 2, 3])
def test_no_more_than_its_size_is_kept_whether_put_together_or_apart(size_max):
    for portions in (["abcd"], ["a", "b", "c", "d"], ["ab", "cd"]):
        cache = DayCache(size_max)
        for names in portions:
            cache.put([total(name) for name in names])
            assert len(cache) <= size_max
        assert kept(cache, "abcd") == "abcd"[-size_max:]


def test_asking_for_a_day_is_no_use_of_it():
    cache = DayCache(2)
    cache.put([total("a"), total("b")])
    assert cache.get(Day("a", "d")) == total("a")
    cache.put([total("c")])
    assert kept(cache, "abc") == "bc"


def test_what_was_put_again_last_stays_longest_as_it_was_put_last():
    cache = DayCache(2)
    cache.put([total("a"), total("b")])
    cache.put([total("a", revision=2)])
    cache.put([total("c")])
    assert kept(cache, "abc") == "ac"
    assert cache.get(Day("a", "d")) == total("a", revision=2)


def test_asking_for_what_is_not_there_keeps_nothing():
    cache = DayCache(2)
    assert cache.get(Day("a", "d")) is None
    assert len(cache) == 0


def test_a_cleared_cache_is_empty():
    cache = DayCache(2)
    cache.put([total("a")])
    cache.clear()
    assert (len(cache), kept(cache, "a")) == (0, "")
