"""`push`: every line of the files is in its topic, as it is, and what is not is said."""

import gzip
import os
import re
import signal
import subprocess
from collections.abc import Sequence

import orjson
import pytest

from tests.e2e.conftest import DEADLINE_SECONDS, ENVIRONMENT, Ingest, eventually
from tests.e2e.mongodb import ended_well, shown_on_a_terminal
from tests.e2e.test_mongodb_bad_input import is_one_clear_line
from tests.kafka.broker import Broker
from tests.kafka.topics import make_topics, pairs_in, records_in
from tests.lines import event, events, snapshot, snapshots
from tests.mongodb import free_port

pytestmark = pytest.mark.e2e

Settings = dict[str, str]
MIB = 1024 * 1024


@pytest.fixture
def settings(kafka_settings: Settings) -> Settings:
    make_topics(kafka_settings)
    return kafka_settings


def written(settings: Settings) -> list[bytes | None]:
    """The values of the activity events, partition by partition."""
    return [record.value for record in records_in(settings, settings["TOPIC_ACTIVITY_EVENTS"])]


def numbered(first: int, last: int, user: str = "u1") -> list[bytes]:
    """Lines of events that differ, without their ends."""
    return [events(event(0), user=user, number=n).rstrip() for n in range(first, last + 1)]


def lines_of(messages: Sequence[bytes]) -> bytes:
    return b"".join(message + b"\n" for message in messages)


def test_each_line_goes_to_the_topic_of_its_kind_as_it_is_keyed_by_user(
    ingest: Ingest, settings: Settings
) -> None:
    odd = b' {"events" : [{"ts":"x"}],"user_id":\t"u2" }\r'
    inlined = b'{"user_id":"u1","timestamp":"2025-11-13T10:00:00Z"}'
    file = ingest.write("a.ndjson", odd + b"\n\n" + events(event(0), event(1)))
    zipped = ingest.write("b.gz", gzip.compress(snapshots(snapshot(1), user="u3")))
    done = ingest("push", "--json", file, "-", zipped, stdin=inlined, **settings)
    summary = done.summary()
    assert (done.status, done.err, summary.pop("seconds") > 0) == (0, "", True)
    counts = {"messages": 4, "activity_events": 2, "health_snapshots": 2, "unreadable": 0}
    assert summary == counts
    assert pairs_in(settings, settings["TOPIC_ACTIVITY_EVENTS"]) == [
        (b"u1", events(event(0), event(1)).rstrip()),
        (b"u2", odd),
    ]
    assert pairs_in(settings, settings["TOPIC_HEALTH_SNAPSHOTS"]) == [
        (b"u1", inlined),
        (b"u3", snapshots(snapshot(1), user="u3").rstrip()),
    ]


def test_a_line_that_cannot_be_read_goes_to_the_activity_events_without_a_key(
    ingest: Ingest, settings: Settings
) -> None:
    unreadable = [
        b"\x00\xff",
        b'["u1"]',
        b"[" * 300,
        b'{"user_id":"u1","events":[',
        b'{"user_id":"u1"}',
        b'{"user_id":"u1","events":[],"snapshots":[]}',
        b'{"user_id":7,"events":[{}]}',
        b'{"events":[{}]}',
    ]
    done = ingest("push", ingest.write("a", lines_of(unreadable)), **settings)
    assert ended_well(done) == "8 messages pushed, 8 of them unreadable\n"
    keyless = [(None, line) for line in sorted(unreadable)]
    assert pairs_in(settings, settings["TOPIC_ACTIVITY_EVENTS"]) == keyless


def test_a_users_lines_keep_their_order(ingest: Ingest, settings: Settings) -> None:
    users = [f"u{number}" for number in range(5)]
    own = {user: numbered(1, 2500, user) for user in users}
    lines = [line for together in zip(*own.values(), strict=True) for line in together]
    done = ingest("push", ingest.write("a", lines_of(lines)), **settings)
    assert ended_well(done) == "12,500 messages pushed\n"
    values = written(settings)
    for user in users:
        assert [value for value in values if value in set(own[user])] == own[user]


def test_a_line_larger_than_its_topic_is_named_and_can_be_gone_around(
    ingest: Ingest, settings: Settings
) -> None:
    large = b'{"user_id":"u1","events":[{"x":"' + b"x" * 4 * MIB + b'"}]}'
    lines = [*numbered(1, 3), large, *numbered(5, 6)]
    file = ingest.write("a", lines_of(lines))
    done = ingest("push", file, **settings)
    assert is_one_clear_line(done, 2)
    assert done.err.startswith("ingest: a, line 4: a message is larger than its topic takes")
    assert done.err.endswith("; a: lines up to 3 are written; go on with --from 4\n")
    assert set(written(settings)) == {*numbered(1, 3)}
    done = ingest("push", "--from", "5", file, **settings)
    assert ended_well(done) == "2 messages pushed\n"
    assert {*numbered(5, 6)} < set(written(settings))


def test_a_line_without_an_end_is_not_cut_short(ingest: Ingest, settings: Settings) -> None:
    done = ingest("push", "-", stdin=b'{"' + b"x" * 17 * MIB, **settings)
    assert is_one_clear_line(done, 2)
    assert "ingest: -, line 1: " in done.err
    assert written(settings) == []


def test_a_line_of_two_mib_goes_to_where_it_is_refused_with_a_reason(
    ingest: Ingest, settings: Settings
) -> None:
    large = b'{"user_id":"u1","events":[{"x":"' + b"x" * 2 * MIB + b'"}]}'
    ended_well(ingest("push", "-", stdin=large, **settings))
    assert written(settings) == [large]


def test_missing_topics_are_one_clear_line(ingest: Ingest, kafka_settings: Settings) -> None:
    done = ingest("push", "-", stdin=events(event(0)), **kafka_settings)
    assert is_one_clear_line(done, 2)
    assert "missing: run `ingest topics init`" in done.err


def test_no_broker_is_one_clear_line(ingest: Ingest) -> None:
    done = ingest("push", "-", stdin=b"{}\n", KAFKA_BROKERS=f"127.0.0.1:{free_port()}")
    assert is_one_clear_line(done, 3)


def test_a_missing_file_is_one_clear_line_and_nothing_is_sent(
    ingest: Ingest, settings: Settings
) -> None:
    done = ingest("push", ingest.write("a", lines_of(numbered(1, 2))), "none", **settings)
    assert is_one_clear_line(done, 2)
    assert written(settings) == []


def test_a_file_that_breaks_off_says_how_to_go_on(ingest: Ingest, settings: Settings) -> None:
    whole = gzip.compress(lines_of(numbered(1, 2)))
    ingest.write("a", lines_of(numbered(3, 4)))
    broken = ingest.write("b.gz", whole[:-4])
    done = ingest("push", "a", broken, "a", **settings)
    assert is_one_clear_line(done, 2)
    assert done.err.startswith("ingest: cannot read b.gz: ")
    values = set(written(settings))
    assert values <= {*numbered(1, 4)}
    if values:  # reading may fail before anything was sent
        assert "go on with --from 3" in done.err


def test_from_is_for_one_file(ingest: Ingest) -> None:
    done = ingest("push", "--from", "2", "a", "b")
    assert is_one_clear_line(done, 2)
    assert "--from is for one file" in done.err


def test_from_skips_what_stands_before(ingest: Ingest, settings: Settings) -> None:
    file = ingest.write("a", b"\n" + lines_of(numbered(2, 5)))
    assert ended_well(ingest("push", "--from", "4", file, **settings)) == "2 messages pushed\n"
    assert written(settings) == numbered(4, 5)


def test_what_is_simulated_can_be_pushed_at_once(ingest: Ingest, settings: Settings) -> None:
    script = "set -o pipefail; ingest simulate --users 2 --malformed 0.1 | tee all | ingest push -"
    done = ingest.shell(script, **settings)
    lines = (ingest.folder / "all").read_bytes().splitlines()
    assert ended_well(done).startswith(f"{len(lines)} messages pushed, ")
    health = records_in(settings, settings["TOPIC_HEALTH_SNAPSHOTS"])
    values = [*written(settings), *(record.value for record in health)]
    assert sorted(values) == sorted(line for line in lines if line.strip())


def test_a_bar_shows_on_a_terminal_only(ingest: Ingest, settings: Settings) -> None:
    file = ingest.write("a", lines_of(numbered(1, 2)))
    status, shown = shown_on_a_terminal(ingest, "push", file, **settings)
    assert (status, b"reading" in shown) == (0, True)


@pytest.fixture
def own(breakable_settings: Settings) -> Settings:
    """Settings of topics on a broker that may be hurt."""
    make_topics(breakable_settings)
    return breakable_settings


def feed(process: "subprocess.Popen[bytes]", lines: Sequence[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(lines_of(lines))
    process.stdin.flush()


def feed_until_acknowledged(
    process: "subprocess.Popen[bytes]", settings: Settings, last: int
) -> None:
    """Feed lines to `last`; all but the last are acknowledged then, since that one was sent."""
    feed(process, numbered(1, last - 1))
    eventually(lambda: len(written(settings)) == last - 1)
    feed(process, numbered(last, last))
    eventually(lambda: len(written(settings)) == last)


def line_to_go_on_with(line: str, *, last: int) -> int:
    """The line that an error says to go on with: the last one, or that behind it."""
    (before, after) = re.findall(r"\d+", line.rpartition("-: ")[2])
    assert line.endswith(f"-: lines up to {before} are written; go on with --from {after}")
    assert int(after) == int(before) + 1
    assert int(after) in (last, last + 1)
    return int(after)


def test_a_broker_that_stays_away_ends_it_and_it_can_be_gone_on_with(
    ingest: Ingest, breakable_broker: Broker, own: Settings
) -> None:
    environment = {**ENVIRONMENT, **own, "RETRY_TIMEOUT": "3s"}
    with ingest.started("push", "-", environment=environment) as process:
        feed_until_acknowledged(process, own, 100)
        breakable_broker.kill()
        feed(process, numbered(101, 200))
        out, err = process.communicate(timeout=DEADLINE_SECONDS)
    breakable_broker.start()
    assert (process.returncode, out) == (3, b"")
    line = err.decode().splitlines()[-1]
    assert line.startswith("ingest: Kafka does not answer in time; -: ")
    start = line_to_go_on_with(line, last=100)
    file = ingest.write("all", lines_of(numbered(1, 200)))
    ended_well(ingest("push", "--from", str(start), file, **own))
    again = numbered(100, 100) if start == 100 else []  # it may repeat what was not acknowledged
    assert written(own) == [*numbered(1, 100), *again, *numbered(101, 200)]


def test_a_broker_that_comes_back_is_waited_for(
    ingest: Ingest, breakable_broker: Broker, own: Settings
) -> None:
    environment = {**ENVIRONMENT, **own}
    with ingest.started("push", "-", "--json", environment=environment) as process:
        feed(process, numbered(1, 100))
        eventually(lambda: len(written(own)) == 100)
        breakable_broker.kill()
        feed(process, numbered(101, 600))
        breakable_broker.start()
        out, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0, err
    assert orjson.loads(out)["messages"] == 600
    assert written(own) == numbered(1, 600)


def test_interrupted_it_says_how_to_go_on(ingest: Ingest, settings: Settings) -> None:
    with ingest.started("push", "-", environment={**ENVIRONMENT, **settings}) as process:
        feed_until_acknowledged(process, settings, 7)
        os.kill(process.pid, signal.SIGINT)
        process.wait(DEADLINE_SECONDS)  # before its input ends, which would be the end of a push
        out, err = process.communicate()
    assert (process.returncode, out) == (130, b"")
    where, end = err.decode().splitlines()
    assert end == "ingest: interrupted before it was done"
    line_to_go_on_with(where, last=7)
