"""Every setting does what it says: one that is accepted and ignored fails here."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingest.core.documents import total_message
from ingest.core.timestamps import MINUTE_MS, text_of
from ingest.embedded import drain, patience_of, pipeline_of, rules_of
from ingest.errors import StoreUnavailable
from ingest.outcome import Outcome
from ingest.ports import Message, Store
from ingest.queues.memory import MemoryQueue, MemoryTopics
from ingest.replay import Summary, all_deltas, replay, totals_of
from ingest.retries import until_done
from ingest.settings import Settings, load_settings
from ingest.stores.memory import memory_store
from tests.lines import DATE, event, events, snapshot, snapshots

PHONE = events(event(0, 100, calories_out=1), device_id="phone", source="APPLE_HEALTH")
WATCH = snapshots(snapshot(1, 90, 5), device_id="watch", source="GARMIN")
FALLING = snapshots(snapshot(1, 1000), snapshot(2, 960), source="FITBIT")


def settings_of(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    """The settings that an environment of just these variables gives."""
    for field in Settings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    return load_settings()


async def replayed(path: Path, settings: Settings, *lines: bytes) -> tuple[Store, Summary]:
    path.write_bytes(b"".join(lines))  # noqa: ASYNC240 - a small file of a test
    store = memory_store(settings.idempotency_ttl)
    summary = await replay(
        [str(path)], store, settings, write_dead_letter=lambda _: None, on_read=lambda _: None
    )
    return store, summary


async def total_of(path: Path, settings: Settings, *lines: bytes) -> tuple[int, float]:
    """Steps and calories of the only day there is."""
    store, summary = await replayed(path, settings, *lines)
    (total,) = [total_message(total) async for total in totals_of(summary.users, store)]
    assert total["date"] == DATE
    return total["steps"], total["calories_out"]


async def batches_of(settings: Settings, *lines: bytes) -> Sequence[Outcome]:
    """What came of each batch, where all the lines were there from the start."""
    queue, outcomes = MemoryQueue(), list[Outcome]()
    await queue.put([Message(line, None, "f", 0, n) for n, line in enumerate(lines, 1)])
    await queue.close()
    pipeline = pipeline_of(
        memory_store(settings.idempotency_ttl), MemoryTopics(lambda _: None), settings
    )
    await drain(
        queue,
        pipeline,
        batch_size_max=settings.batch_size_max,
        patience=patience_of(settings),
        on_outcome=outcomes.append,
    )
    return outcomes


@pytest.mark.parametrize(
    ("merge", "wanted"),
    [
        ("max", (100, 5)),
        ("sum", (190, 6)),
        ("prefer:GARMIN", (90, 5)),
        ("prefer:FITBIT,APPLE_HEALTH,GARMIN", (100, 1)),
        ("prefer:FITBIT", (100, 5)),
    ],
)
async def test_device_merge_makes_one_number_of_several_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, merge: str, wanted: tuple[int, float]
) -> None:
    settings = settings_of(monkeypatch, DEVICE_MERGE=merge)
    assert await total_of(tmp_path / "f", settings, PHONE, WATCH) == wanted


@pytest.mark.parametrize(
    ("tolerance", "kind", "steps"),
    [
        ("0", "reset", 1960),
        ("0.039999", "reset", 1960),
        ("0.04", "adjustment", 960),
        ("0.5", "adjustment", 960),
    ],
)
async def test_reset_tolerance_tells_a_restart_from_an_adjustment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tolerance: str, kind: str, steps: int
) -> None:
    settings = settings_of(monkeypatch, RESET_TOLERANCE=tolerance)
    store, summary = await replayed(tmp_path / "f", settings, FALLING)
    rules = rules_of(settings).snapshots
    deltas = [delta async for delta in all_deltas(summary.users, store, rules)]
    assert [delta.kind for delta in deltas] == ["bootstrap", kind]
    assert (await total_of(tmp_path / "f", settings, FALLING))[0] == steps


@pytest.mark.parametrize(("sources", "steps"), [("", 1960), ("GARMIN", 1960), ("FITBIT", 960)])
async def test_an_authoritative_source_sets_the_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sources: str, steps: int
) -> None:
    settings = settings_of(monkeypatch, AUTHORITATIVE_SOURCES=sources)
    assert (await total_of(tmp_path / "f", settings, FALLING))[0] == steps


@pytest.mark.parametrize(("skew", "accepted"), [("24h", 1), ("3h", 1), ("1h", 0), ("0", 0)])
async def test_future_skew_max_bounds_how_far_ahead_a_record_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skew: str, accepted: int
) -> None:
    in_two_hours = datetime.now(UTC) + timedelta(hours=2)
    ts = text_of(int(in_two_hours.timestamp()) // 60 * MINUTE_MS, 0)
    line = events({"ts": ts, "steps": 1})
    settings = settings_of(monkeypatch, FUTURE_SKEW_MAX=skew)
    _, summary = await replayed(tmp_path / "f", settings, line)
    assert (summary.accepted, summary.rejected) == (accepted, 1 - accepted)
    assert {*summary.reasons} == ({"FUTURE_TIMESTAMP"} if not accepted else set())


@pytest.mark.parametrize("size", [1, 3, 4])
async def test_batch_size_max_bounds_the_messages_of_a_batch(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    settings = settings_of(monkeypatch, BATCH_SIZE_MAX=str(size))
    outcomes = await batches_of(settings, *(events(event(minute)) for minute in range(12)))
    assert [outcome.messages for outcome in outcomes] == [size] * (12 // size)


async def test_a_replay_takes_batches_of_batch_size_max(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day's revision goes up by one with every batch that changes it."""
    lines = [events(event(minute)) for minute in range(12)]
    revisions: list[Any] = []
    for size in ("4", "12"):
        settings = settings_of(monkeypatch, BATCH_SIZE_MAX=size)
        store, summary = await replayed(tmp_path / "f", settings, *lines)
        revisions += [total.revision async for total in totals_of(summary.users, store)]
    assert revisions == [3, 1]


@pytest.mark.parametrize(("size", "folded"), [("1", 0), ("2", 4)])
async def test_day_cache_size_bounds_the_days_that_need_no_reading(
    monkeypatch: pytest.MonkeyPatch, size: str, folded: int
) -> None:
    """Two users take turns; a cache of one day always holds the other's."""
    settings = settings_of(monkeypatch, DAY_CACHE_SIZE=size, BATCH_SIZE_MAX="1")
    lines = [events(event(minute), user=f"u{minute % 2}") for minute in range(6)]
    outcomes = await batches_of(settings, *lines)
    assert sum(outcome.folded for outcome in outcomes) == folded
    assert sum(outcome.reread for outcome in outcomes) == 6 - folded


@pytest.mark.parametrize(("ttl", "verdict"), [("7d", "conflicts"), ("0", "accepted")])
async def test_idempotency_ttl_is_how_long_a_key_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ttl: str, verdict: str
) -> None:
    """Once a key is forgotten, other records under it are records like any other."""
    settings = settings_of(monkeypatch, IDEMPOTENCY_TTL=ttl, BATCH_SIZE_MAX="1")
    lines = [events(event(minute), idempotency_key="k") for minute in range(2)]
    _, summary = await replayed(tmp_path / "f", settings, *lines)
    assert getattr(summary, verdict) == {"conflicts": 1, "accepted": 2}[verdict]
    assert summary.accepted + summary.conflicts == 2


@pytest.mark.parametrize(("retention", "accepted"), [("", 1), ("60d", 1), ("36d", 0), ("30d", 0)])
async def test_retention_refuses_what_the_store_is_about_to_delete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retention: str, accepted: int
) -> None:
    """A week early, so that no day is worked on while a part of it is already gone."""
    thirty_days_ago = datetime.now(UTC) - timedelta(days=30)
    ts = text_of(int(thirty_days_ago.timestamp()) // 60 * MINUTE_MS, 0)
    settings = settings_of(monkeypatch, RETENTION=retention)
    _, summary = await replayed(tmp_path / "f", settings, events({"ts": ts, "steps": 1}))
    assert (summary.accepted, summary.rejected) == (accepted, 1 - accepted)
    assert {*summary.reasons} == ({"INVALID_TIMESTAMP"} if not accepted else set())


class Away:
    """A pipeline whose store is away for some runs."""

    def __init__(self, runs: int) -> None:
        self.runs, self.left = 0, runs

    async def run(self, batch: Sequence[Message]) -> int:
        self.runs += 1
        if self.left:
            self.left -= 1
            raise StoreUnavailable("away")
        return len(batch)


@pytest.mark.parametrize("longest", ["1m", "0"])
async def test_retry_timeout_is_how_long_a_command_waits_for_its_store(
    monkeypatch: pytest.MonkeyPatch, longest: str
) -> None:
    settings = settings_of(monkeypatch, RETRY_TIMEOUT=longest, RETRY_DELAY_MAX="1")
    pipeline = Away(runs=2)
    running = until_done(lambda: pipeline.run([]), patience_of(settings))
    if longest == "0":
        with pytest.raises(StoreUnavailable):
            await running
    else:
        assert await running == 0
    assert pipeline.runs == (1 if longest == "0" else 3)


def test_retry_delay_max_is_the_longest_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(monkeypatch, RETRY_DELAY_MAX="7s")
    assert patience_of(settings).delay_max == timedelta(seconds=7)
