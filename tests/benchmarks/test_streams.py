from collections import Counter

import orjson
import pytest

from benchmarks.streams import START, messages_of, snapshots_of, stream_of


@pytest.mark.parametrize("size", [60, 10, 1])
def test_a_stream_has_as_many_records_as_were_asked_for(size: int) -> None:
    stream = stream_of(6_000, size=size, users=10)
    assert stream.records == stream.distinct == 6_000
    assert sum(map(records_in, stream.messages)) == 6_000


@pytest.mark.parametrize("share", [0.2, 1.0, 4.0])
def test_what_comes_twice_is_counted(share: float) -> None:
    stream = stream_of(6_000, size=10, duplicates=share, late=0.05, users=10)
    times = Counter(stream.messages)
    assert stream.records == sum(map(records_in, stream.messages))
    assert stream.distinct == sum(map(records_in, times)) == 6_000
    assert abs(len(stream.messages) / len(times) - 1 - share) < 0.1


def test_late_messages_are_the_same_in_another_order() -> None:
    in_order = stream_of(6_000, size=10, users=10).messages
    late = stream_of(6_000, size=10, late=0.05, users=10).messages
    assert late != in_order
    assert Counter(late) == Counter(in_order)


def test_a_stream_is_the_same_bytes_in_every_run() -> None:
    streams = [stream_of(600, size=1, duplicates=0.5, late=0.5, users=5) for _ in range(2)]
    assert streams[0] == streams[1]


def test_single_records_come_minute_by_minute() -> None:
    messages = [orjson.loads(m) for m in stream_of(600, size=1, users=10).messages]
    assert [m["ts"] for m in messages] == sorted(m["ts"] for m in messages)
    assert len({m["user_id"] for m in messages[:10]}) == 10


def test_a_backlog_is_whole_hours_of_a_user() -> None:
    (message,) = messages_of(60, size=60, users=1, first_hour=-1)
    assert orjson.loads(message)["events"][0]["ts"] < START.isoformat()


def test_late_snapshots_keep_their_counters() -> None:
    in_order, late = snapshots_of(3, 100), snapshots_of(3, 100, late=0.2)
    assert late != in_order
    assert Counter(late) == Counter(in_order)


def records_in(message: bytes) -> int:
    return len(orjson.loads(message).get("events", [1]))
