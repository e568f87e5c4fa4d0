"""Two workers on a real broker and a real store come to the truth, whatever is sent to them."""

import os
import signal
from collections import Counter

import orjson
import pytest

from ingest.queues.kafka import Outgoing
from tests.e2e.conftest import Ingest
from tests.e2e.workers import DEADLINE_SECONDS, Fleet, Worker, eventually, simulated
from tests.lines import event, events

pytestmark = pytest.mark.e2e

# INGEST_TEST_DAYS=30 asks for a month; the test server had not done it in 35 minutes.
DAYS = int(os.environ.get("INGEST_TEST_DAYS", "1"))
SENT = simulated(users=50, days=1)
VERDICTS = ("accepted", "duplicate", "corrected", "stale", "rejected")


def partitions(worker: Worker) -> list[int]:
    """The partitions it was given last."""
    return worker.logged("ingest.partitions_assigned")[-1]["partitions"]


def test_every_total_is_the_truth_in_the_store_and_in_the_topic(fleet: Fleet, ingest: Ingest):
    fleet.environment |= {"BATCH_SIZE_MAX": "1000", "MONGODB_TIMEOUT_SECONDS": "60"}
    ingest = ingest._replace(deadline_seconds=DEADLINE_SECONDS * DAYS)
    month = simulated(users=50, days=DAYS)
    workers = fleet.started(2)
    fleet.send(month.lines)
    fleet.finish(DEADLINE_SECONDS * DAYS)
    fleet.must_be(month.truth)
    verified = ingest("db", "verify", **fleet.environment)
    assert (verified.status, verified.err) == (0, "")
    replayed = ingest("replay", "-", "--json", stdin=b"\n".join(month.lines)).summary()
    records = sum(worker.metric("ingest_records_total") for worker in workers)
    assert records == replayed["records"]
    verdicts = {
        verdict: sum(worker.metric("ingest_records_total", verdict=verdict) for worker in workers)
        for verdict in VERDICTS
    }
    assert verdicts["accepted"] == replayed["accepted"]
    assert verdicts["rejected"] == replayed["rejected"]
    letters = fleet.dead_letters()
    assert sum(int(letter.headers["records"]) for letter in letters) == replayed["rejected"]
    assert sorted(number for worker in workers for number in partitions(worker)) == [0, 1, 2, 3]
    assert all(worker.stop() == 0 for worker in workers)
    logs = b"".join(worker.log_file.read_bytes() for worker in workers)
    assert b"user-0" not in logs
    assert all(f'"{verdict}"'.encode() not in logs for verdict in ("steps", "calories_out"))


def test_a_worker_that_joins_takes_partitions_over_and_gives_them_back(fleet: Fleet):
    (first,) = fleet.started(1)
    assert partitions(first) == [0, 1, 2, 3]
    half = len(SENT.lines) // 4
    fleet.send(SENT.lines[:half])
    (second,) = fleet.started(1)
    eventually(lambda: len(partitions(first)) == len(partitions(second)) == 2)
    assert sorted(partitions(first) + partitions(second)) == [0, 1, 2, 3]
    for worker in (first, second):
        assert worker.logged("ingest.partitions_assigned")[-1]["count"] == 4  # of both topics
    fleet.send(SENT.lines[half : 2 * half])
    assert second.stop() == 0
    eventually(lambda: partitions(first) == [0, 1, 2, 3])
    fleet.finish()
    done = sum(worker.logged("ingest.batch_done")[-1]["messages"] > 0 for worker in (first, second))
    assert done == 2
    messages = sum(
        line["messages"] for w in (first, second) for line in w.logged("ingest.batch_done")
    )
    assert messages == 2 * half  # handing over in order repeats nothing


def test_it_stops_in_order_in_the_middle_and_the_next_one_goes_on(fleet: Fleet):
    (first,) = fleet.started(1)
    fleet.send(SENT.lines[:400])
    eventually(lambda: len(first.logged("ingest.batch_done")) > 5)
    assert first.stop() == 0
    left = fleet.behind()
    assert 0 < left < 400
    (second,) = fleet.started(1)
    fleet.finish()
    done = [line["messages"] for w in (first, second) for line in w.logged("ingest.batch_done")]
    assert sum(done) == 400


def test_messages_without_a_value_or_with_another_key_lose_nothing(fleet: Fleet):
    (worker,) = fleet.started(1)
    topic = fleet.topics.activity_events
    fleet.send_as_it_is(
        [
            Outgoing(topic, b"u1", events(event(0, 5))),
            Outgoing(topic, b"u1", None),
            Outgoing(topic, None, events(event(1, 6))),
            Outgoing(topic, b"u2", events(event(2, 7))),
        ]
    )
    fleet.finish()
    ((total),) = fleet.stored()
    assert (total["user_id"], total["steps"]) == ("u1", 18)
    assert fleet.published_by_revision() == [total]
    assert [letter.headers["reason"] for letter in fleet.dead_letters()] == ["MALFORMED_MESSAGE"]
    assert worker.metric("ingest_misplaced_messages_total") == 2


DEEP = b'{"user_id":"u1","events":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
HUGE = b'{"user_id":"u1","events":[{"ts":"' + b"x" * 2 * 1024 * 1024 + b'"}]}'
OTHER = b'{"user_id":"u1","snapshots":[{"date":"2025-11-13"}]}'
POISON = [
    (b'{"user_id":"u1","events":[{"ts":"2025-11-13T0', "MALFORMED_MESSAGE"),
    (HUGE, "MESSAGE_TOO_LARGE"),
    (b'{"user_id":"u1","events":"none"}', "MALFORMED_MESSAGE"),
    (b'{"user_id":"u1","events":[{"ts":1,"steps":1}]}', "INVALID_TIMESTAMP"),
    (b'{"user_id":"u1","events":[{"ts":"2025-11-13T00:00:00Z","steps":"1"}]}', "INVALID_RECORD"),
    (b'{"user_id":7,"events":[{"ts":"2025-11-13T00:00:00Z","steps":1}]}', "INVALID_ID"),
    (b"\0" * 50, "MALFORMED_MESSAGE"),
    (b'{"user_id":"u\\u00001","events":[{"ts":"2025-11-13T00:00:00Z","steps":1}]}', "INVALID_ID"),
    (DEEP, "MALFORMED_MESSAGE"),
    (OTHER, "MALFORMED_MESSAGE"),
    (b"\xff\xfe", "MALFORMED_MESSAGE"),
    (b"", "MALFORMED_MESSAGE"),
]


def test_poison_among_good_messages_is_in_the_dead_letters_and_nothing_good_is_missing(
    fleet: Fleet,
):
    fleet.started(1)
    good = [events(event(minute, 1), user="u1").rstrip() for minute in range(4 * len(POISON))]
    topic = fleet.topics.activity_events
    sent = []
    for place, (poison, _) in enumerate(POISON):
        sent += [*good[4 * place : 4 * place + 4], poison]
    fleet.send_as_it_is([Outgoing(topic, b"u1", value) for value in sent])
    fleet.finish()
    (total,) = fleet.stored()
    assert total["steps"] == len(good)
    assert fleet.published() == [total]
    found = Counter((letter.value, letter.headers["reason"]) for letter in fleet.dead_letters())
    assert found == Counter(POISON)
    offsets = [int(letter.headers["offset"]) for letter in fleet.dead_letters()]
    assert offsets == [5 * place + 4 for place in range(len(POISON))]
    assert all(letter.headers["topic"] == topic for letter in fleet.dead_letters())


def test_when_nearly_everything_is_refused_it_stops_and_drains_nothing(fleet: Fleet):
    fleet.environment["DEAD_LETTER_CONSECUTIVE_MAX"] = "30"
    worker = fleet.start()
    fleet.send([b"nonsense"] * 200)
    assert worker.process.wait(60) == 1
    said = worker.log_file.read_text().splitlines()[-1]
    assert said.startswith("ingest: ")
    assert "DEAD_LETTER_CONSECUTIVE_MAX" in said
    assert fleet.behind() >= 200 - 30 * 4
    assert len(fleet.dead_letters()) == 200 - fleet.behind()


def test_the_web_port_tells_what_it_can_and_cannot_do(
    fleet_on_breakable_store: Fleet, breakable_store
):
    fleet = fleet_on_breakable_store
    (worker,) = fleet.started(1)
    eventually(lambda: worker.ask("/readyz")[0] == 200)
    assert worker.ask("/livez") == (200, '{"status":"ok"}')
    breakable_store.send(signal.SIGSTOP)
    status, text = worker.ask("/readyz")
    assert status == 503
    assert "MongoDB" in orjson.loads(text)["reason"] or "store" in orjson.loads(text)["reason"]
    assert worker.ask("/livez")[0] == 200
    breakable_store.send(signal.SIGCONT)
    eventually(lambda: worker.ask("/readyz")[0] == 200)
    fleet.send(SENT.lines[:50])
    fleet.finish()
    eventually(lambda: worker.metric("ingest_lag") == 0)
    assert worker.metric("ingest_messages_total") == 50
    assert worker.metric("ingest_partitions") == 8


def test_it_stops_in_time_though_its_store_is_away(
    fleet_on_breakable_store: Fleet, breakable_store
):
    fleet = fleet_on_breakable_store
    fleet.environment["SHUTDOWN_SECONDS"] = "4"
    (worker,) = fleet.started(1)
    breakable_store.send(signal.SIGSTOP)
    fleet.send(SENT.lines[:50])
    eventually(lambda: worker.logged("ingest.retrying"))
    worker.send(signal.SIGTERM)
    assert worker.process.wait(6) == 0
    breakable_store.send(signal.SIGCONT)
    assert fleet.behind() == 50
    fleet.started(1)
    fleet.finish()
    assert fleet.stored() == fleet.published()
