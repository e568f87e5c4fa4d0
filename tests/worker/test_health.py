"""What a worker says of its health: that it stands still, and that it cannot work now."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
import pytest

from ingest.errors import QueueUnavailable, StoreUnavailable
from ingest.settings import Settings
from ingest.stores.memory import memory_store
from ingest.worker.batches import Place
from ingest.worker.health import Watch, serving
from tests.batches import TTL
from tests.fakes import store_through
from tests.worker.taking import EVENTS, SNAPSHOTS, Taking, delivery, places, steps

STALL_SECONDS = 60
HERE, THERE = places((EVENTS, 0), (SNAPSHOTS, 0))


class Broker:
    """What a broker says of lag, as a test decides."""

    def __init__(self) -> None:
        self.assigned = {HERE, THERE}
        self.is_rebalancing = False
        self.lags: dict[Place, int] | Exception = {HERE: 0, THERE: 0}

    async def lag(self, positions: Mapping[Place, int]) -> dict[Place, int]:
        if isinstance(self.lags, Exception):
            raise self.lags
        return dict(self.lags)


class Watched:
    """A worker that is watched on a clock that a test turns."""

    def __init__(self) -> None:
        self.at = 1000.0
        self.broker = Broker()
        self.taking = Taking()
        self.taking.batches._now = lambda: self.at
        self.taking.batches.assign(self.broker.assigned, 1)
        self.watch = Watch(
            self.broker,
            self.taking.batches,
            self.taking.partitions,
            self.taking.metrics,
            timedelta(seconds=STALL_SECONDS),
            now=lambda: self.at,
        )
        self.watch.store = self.taking.store

    async def after(self, seconds: float) -> list[Place]:
        self.at += seconds
        await self.watch.look()
        return self.watch.stalled()


async def test_no_progress_with_messages_waiting_is_a_stall():
    watched = Watched()
    watched.broker.lags = {HERE: 3, THERE: 0}
    assert await watched.after(1) == []
    assert await watched.after(STALL_SECONDS - 1) == []
    assert await watched.after(1) == [HERE]


async def test_no_progress_with_nothing_to_do_is_none():
    watched = Watched()
    assert await watched.after(10 * STALL_SECONDS) == []
    watched.broker.lags = {HERE: 1, THERE: 0}
    assert await watched.after(1) == []


async def test_progress_starts_the_clock_anew():
    watched = Watched()
    watched.broker.lags = {HERE: 3, THERE: 0}
    await watched.after(STALL_SECONDS)
    await watched.taking.run(delivery(steps("u1", 5), 0, 0))
    assert await watched.after(STALL_SECONDS) == []
    assert await watched.after(1) == [HERE]


async def test_waiting_for_a_service_is_no_stall():
    watched = Watched()
    watched.broker.lags = {HERE: 3, THERE: 0}
    watched.taking.batches.waiting[0] = "MongoDB does not answer"
    assert await watched.after(10 * STALL_SECONDS) == []
    watched.taking.batches.waiting.clear()
    assert await watched.after(1) == []
    assert await watched.after(STALL_SECONDS) == [HERE]


async def test_a_wait_that_began_since_the_last_look_is_no_stall():
    watched = Watched()
    watched.broker.lags = {HERE: 3, THERE: 0}
    await watched.after(1)
    watched.taking.batches.waiting[0] = "MongoDB does not answer"
    watched.at += 2 * STALL_SECONDS
    assert watched.watch.stalled() == []


async def test_without_an_answer_from_the_broker_what_was_known_stays():
    watched = Watched()
    watched.broker.lags = {HERE: 3, THERE: 0}
    await watched.after(1)
    watched.broker.lags = QueueUnavailable("Kafka does not answer in time")
    assert await watched.after(STALL_SECONDS) == [HERE]
    assert await watched.watch.unready() == "Kafka does not answer (QueueUnavailable)"
    watched.broker.lags = {HERE: 0, THERE: 0}
    await watched.after(1)
    assert await watched.watch.unready() is None


async def test_lag_is_shown_by_partition_and_goes_with_it():
    watched = Watched()
    watched.broker.lags = {HERE: 3, THERE: 4}
    await watched.after(1)
    assert watched.taking.metric("ingest_lag", topic=EVENTS, partition="0") == 3
    watched.broker.lags = {THERE: 2}
    await watched.after(1)
    assert watched.taking.metric("ingest_lag", topic=EVENTS, partition="0") is None
    assert watched.taking.metric("ingest_lag", topic=SNAPSHOTS, partition="0") == 2


async def test_each_look_shows_whether_it_is_ready():
    watched = Watched()
    await watched.after(1)
    assert watched.taking.metric("ingest_ready") == 1
    watched.broker.lags = QueueUnavailable("Kafka does not answer in time")
    await watched.after(1)
    assert watched.taking.metric("ingest_ready") == 0
    watched.broker.lags = {HERE: 0, THERE: 0}
    watched.taking.batches.waiting[0] = "MongoDB does not answer"
    await watched.after(1)
    assert watched.taking.metric("ingest_ready") == 0


async def test_it_is_ready_when_it_has_partitions_and_its_store_answers():
    assert await Watched().watch.unready() is None


async def test_it_is_not_ready_without_partitions():
    watched = Watched()
    watched.broker.is_rebalancing = True
    assert await watched.watch.unready() == "no partitions are assigned"
    watched.broker.is_rebalancing = False
    watched.broker.assigned = set()
    assert await watched.watch.unready() == "no partitions are assigned"


async def test_it_is_not_ready_while_a_batch_is_tried_again():
    watched = Watched()
    watched.taking.batches.waiting[0] = "Kafka does not answer"
    assert await watched.watch.unready() == "Kafka does not answer"


async def test_it_is_not_ready_without_its_store():
    watched = Watched()

    async def away(*_):
        raise StoreUnavailable("MongoDB does not answer")

    watched.watch.store = store_through(memory_store(TTL), away)
    assert await watched.watch.unready() == "MongoDB does not answer"
    watched.watch.store = None
    assert await watched.watch.unready() == "the store is not open yet"


async def test_a_store_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    watched = Watched()
    monkeypatch.setattr("ingest.worker.health.STORE_SECONDS", 0.01)

    async def hanging(*_):
        await asyncio.Event().wait()

    watched.watch.store = store_through(memory_store(TTL), hanging)
    assert await watched.watch.unready() == "the store does not answer in time"


@asynccontextmanager
async def asked(watched: Watched, capsys: pytest.CaptureFixture[str]):
    """What a path of the web port answers."""
    settings = Settings(web_port=0)
    async with serving(settings, watched.watch, watched.taking.metrics):
        text = "".join(capsys.readouterr())
        port = int(text.split("127.0.0.1")[1].split(",")[1].split("]")[0])

        async def ask(path: str) -> tuple[int, str]:
            url = f"http://127.0.0.1:{port}{path}"
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                return answer.status, await answer.text()

        yield ask


async def test_the_web_port_answers_for_all_of_it(capsys: pytest.CaptureFixture[str]):
    watched = Watched()
    async with asked(watched, capsys) as ask:
        assert await ask("/livez") == (200, '{"status":"ok"}')
        assert await ask("/readyz") == (200, '{"status":"ok"}')
        await watched.taking.run(delivery(steps("u1", 5), 0, 0), delivery(b"bad", 0, 1))
        status, metrics = await ask("/metrics")
        assert status == 200
        assert f'ingest_records_total{{topic="{EVENTS}",verdict="accepted"}} 1.0' in metrics
        assert f'ingest_rejections_total{{reason="MALFORMED_MESSAGE",topic="{EVENTS}"}}' in metrics
        watched.broker.lags = {HERE: 3, THERE: 0}
        await watched.after(2 * STALL_SECONDS)
        status, text = await ask("/livez")
        assert (status, json.loads(text)["reason"]) == (503, f"no progress on {EVENTS}/0")
        watched.taking.batches.waiting[0] = "away"
        status, text = await ask("/readyz")
        assert (status, json.loads(text)["reason"]) == (503, "away")
