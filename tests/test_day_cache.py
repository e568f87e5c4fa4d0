"""The day cache: bounded, and what was saved last stays longest."""

import pytest

from ingest.core.records import Day, Snapshot
from ingest.core.totals import Counted, DailyTotal
from ingest.day_cache import SNAPSHOTS_A_DAY, DayCache


def total(name: str, revision: int = 1) -> DailyTotal:
    return DailyTotal(Day(name, "d"), 0, 0, None, "events", {}, 0, 0, 0, revision, None, {})


COUNTED = {"phone": [Snapshot("a", "phone", "FITBIT", "d", 1, 10, 20, None, 0)]}


def chained(name: str, snapshots: int) -> DailyTotal:
    return total(name)._replace(snapshots_count=snapshots)


def counted(name: str) -> dict[Day, Counted]:
    return {Day(name, "d"): COUNTED}


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


def test_the_snapshots_that_a_total_counts_are_kept_for_this_total_only():
    cache = DayCache(2)
    cache.put([chained("a", 1)], counted("a"))
    assert cache.counted(chained("a", 1)) == COUNTED
    assert cache.counted(chained("a", 1)._replace(revision=2)) == {}
    assert cache.counted(chained("b", 1)) == {}


def test_they_are_forgotten_where_they_are_not_put_again():
    cache = DayCache(2)
    cache.put([chained("a", 1)], counted("a"))
    cache.put([chained("a", 1)])
    assert cache.counted(chained("a", 1)) == {}


def test_many_snapshots_are_forgotten_before_their_totals():
    cache = DayCache(2)
    most = 2 * SNAPSHOTS_A_DAY
    cache.put([chained("a", 1), chained("b", most)], counted("a") | counted("b"))
    assert kept(cache, "ab") == "ab"
    assert not cache.counted(chained("a", 1))
    assert cache.counted(chained("b", most))
    cache.put([chained("c", 1)], counted("c"))
    assert kept(cache, "abc") == "bc"
    assert not cache.counted(chained("b", most))
    assert cache.counted(chained("c", 1))


def test_room_for_snapshots_is_given_back_when_a_day_is_forgotten_or_all_are():
    cache = DayCache(1)
    most = SNAPSHOTS_A_DAY
    for name in "ab":
        cache.put([chained(name, most)], counted(name))
    assert cache.counted(chained("b", most))
    cache.clear()
    cache.put([chained("c", most)], counted("c"))
    assert cache.counted(chained("c", most))
