"""Every metric counts what its name says, with labels from small fixed sets."""

import time

from ingest.core.dedupe import Verdict
from ingest.errors import Reason
from ingest.metrics import Metrics
from ingest.stores.memory import memory_store
from tests.batches import TTL
from tests.lines import event, events, snapshot, snapshots
from tests.worker.taking import EVENTS, SNAPSHOTS, Taking, delivery, steps


def records(taking: Taking, topic: str) -> dict[str, float]:
    verdicts = ("accepted", "duplicate", "corrected", "stale", "rejected")
    found = {v: taking.metric("ingest_records_total", topic=topic, verdict=v) for v in verdicts}
    return {verdict: count for verdict, count in found.items() if count}


async def test_records_are_counted_by_topic_and_verdict():
    taking = Taking()
    chain = snapshots(snapshot(1, 100), snapshot(2, 50), snapshot(3, 0, 0), snapshot(4, 60))
    await taking.run(
        delivery(events(event(0, 1), event(1, 2), event(2, -1)), 0, 0),
        delivery(events(event(0, 1), {**event(1, 3), "version": 2}), 0, 1),
        delivery(events(event(1, 2)), 0, 2),
        delivery(events(event(0, 7)), 0, 3),
        delivery(chain, 0, 0, topic=SNAPSHOTS),
        delivery(b"bad", 0, 1, topic=SNAPSHOTS),
    )
    assert records(taking, EVENTS) == {
        "accepted": 2,
        "duplicate": 1,
        "corrected": 1,
        "stale": 1,
        "rejected": 2,
    }
    assert records(taking, SNAPSHOTS) == {"accepted": 4, "rejected": 1}
    conflicts = taking.metric(
        "ingest_rejections_total", topic=EVENTS, reason="CONFLICT_DIFFERENT_DATA"
    )
    assert conflicts == 1
    assert taking.metric("ingest_messages_total") == 6
    assert taking.metric("ingest_resets_total") == 1
    assert taking.metric("ingest_glitches_total") == 1


async def test_a_reset_that_is_read_again_is_counted_once():
    taking = Taking()
    chain = snapshots(snapshot(1, 100), snapshot(2, 50))
    for offset in range(3):
        await taking.run(delivery(chain, 0, offset, topic=SNAPSHOTS))
    assert taking.metric("ingest_resets_total") == 1
    assert records(taking, SNAPSHOTS) == {"accepted": 2, "duplicate": 4}


async def test_a_message_with_a_known_key_counts_as_duplicates_of_its_topic():
    taking = Taking()
    keyed = snapshots(snapshot(1, 100), idempotency_key="k")
    for offset in range(2):
        await taking.run(delivery(keyed, 0, offset, topic=SNAPSHOTS))
    assert records(taking, SNAPSHOTS) == {"accepted": 1, "duplicate": 1}


async def test_days_are_counted_by_path():
    taking = Taking()
    for minute in range(3):
        await taking.run(delivery(steps("u1", 5, minute), 0, minute))
    assert taking.metric("ingest_days_total", path="reread") == 1
    assert taking.metric("ingest_days_total", path="folded") == 2


async def test_calls_of_the_store_and_the_publisher_are_measured():
    taking = Taking()
    taking.store = taking.metrics.timed_store(memory_store(TTL))
    taking.publisher = taking.metrics.timed_publisher(taking.publisher)
    await taking.run(delivery(steps("u1", 5), 0, 0))
    for name, call in (
        ("store", "append_events"),
        ("store", "save"),
        ("publish", "publish_totals"),
    ):
        assert taking.metric(f"ingest_{name}_seconds_count", call=call) == 1


async def test_what_runs_is_named():
    (family,) = (f for f in Taking().metrics.registry.collect() if f.name == "ingest_build_info")
    assert {*family.samples[0].labels} == {"version", "python"}


async def test_its_clock_is_shown_as_it_is_when_it_is_asked():
    before = time.time()
    assert before <= Taking().metric("ingest_time_seconds") <= time.time()


def test_what_has_not_happened_yet_is_shown_as_zero():
    registry = Metrics([EVENTS]).registry
    for verdict in Verdict:
        labels = {"topic": EVENTS, "verdict": verdict.value}
        assert registry.get_sample_value("ingest_records_total", labels) == 0
    for reason in Reason:
        labels = {"topic": EVENTS, "reason": reason.value}
        assert registry.get_sample_value("ingest_rejections_total", labels) == 0
    for error in ("StoreUnavailable", "QueueUnavailable"):
        assert registry.get_sample_value("ingest_retries_total", {"error": error}) == 0
