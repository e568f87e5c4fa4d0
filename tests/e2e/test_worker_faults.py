"""Whatever happens to workers, store and broker while records stream in: the totals are the truth."""

import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Ingest
from tests.e2e.mongodb import settings_of
from tests.e2e.workers import Fleet, Worker, eventually, fleet_of, simulated
from tests.kafka import broker
from tests.mongodb import Server, running

pytestmark = pytest.mark.e2e

SENT = simulated(users=12, days=1, seed=7)
SMALL = {"BATCH_SIZE_MAX": "20", "BATCH_WAIT_SECONDS": "0.05", "MONGODB_TIMEOUT_SECONDS": "2"}
RAISING_ONCE = """
import pathlib, ingest.pipeline, ingest.__main__
run, flag, calls = ingest.pipeline.Pipeline.run, pathlib.Path("raised"), []
async def raising_once(self, *arguments):
    calls.append(1)
    if len(calls) > 3 and not flag.exists():
        flag.touch()
        raise ZeroDivisionError("a secret of user-0001")
    return await run(self, *arguments)
ingest.pipeline.Pipeline.run = raising_once
ingest.__main__.main()
"""


@pytest.fixture
def own_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A store that may be hurt, and keeps what it confirmed."""
    with running(tmp_path_factory.mktemp("mongodb"), "--sync-on-commit") as server:
        yield server
        server.kill()  # to end in order would take it 2 s


@pytest.fixture
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[broker.Broker]:
    """A broker that may be hurt."""
    with broker.running(tmp_path_factory.mktemp("kafka")) as running_broker:
        yield running_broker
        running_broker.kill()


@pytest.fixture
def fleet(
    tmp_path: Path, kafka_settings: dict[str, str], mongodb_uri: str, mongodb_database: str
) -> Iterator[Fleet]:
    environment = kafka_settings | settings_of(mongodb_uri, mongodb_database) | SMALL
    with fleet_of(tmp_path, environment) as prepared:
        yield prepared


@pytest.fixture
def on_own_store(
    tmp_path: Path, kafka_settings: dict[str, str], own_store: Server
) -> Iterator[Fleet]:
    environment = kafka_settings | settings_of(own_store.uri, "ingest") | SMALL
    with fleet_of(tmp_path, environment) as prepared:
        yield prepared


@pytest.fixture
def on_own_broker(
    tmp_path: Path, own_broker: broker.Broker, mongodb_uri: str, mongodb_database: str
) -> Iterator[Fleet]:
    settings = broker.settings_of(own_broker.address(), "own")
    with fleet_of(tmp_path, settings | settings_of(mongodb_uri, mongodb_database) | SMALL) as fleet:
        yield fleet


def assert_it_is_the_truth(fleet: Fleet, ingest: Ingest) -> None:
    fleet.finish()
    assert fleet.stored() == SENT.truth
    assert fleet.published() == SENT.truth
    assert fleet.published_out_of_order() == []
    verified = ingest("db", "verify", **fleet.environment)
    assert (verified.status, verified.err) == (0, "")


def is_running(worker: Worker) -> bool:
    return worker.process.poll() is None


def test_workers_killed_five_times(fleet: Fleet, ingest: Ingest):
    rng = random.Random(3)  # noqa: S311 - a test's order, no secret
    fleet.started(2)
    with fleet.fed(SENT.lines, seconds=10):
        for _ in range(5):
            time.sleep(rng.uniform(0.3, 1.5))
            rng.choice([worker for worker in fleet.workers if is_running(worker)]).kill()
            fleet.start()
    assert_it_is_the_truth(fleet, ingest)


def test_the_store_killed_twice(on_own_store: Fleet, own_store: Server, ingest: Ingest):
    on_own_store.started(2)
    with on_own_store.fed(SENT.lines, seconds=6):
        for _ in range(2):
            time.sleep(1.5)
            own_store.kill()
            time.sleep(4)
            own_store.start()
    assert_it_is_the_truth(on_own_store, ingest)
    assert all(worker.stop() == 0 for worker in on_own_store.workers)
    assert any(worker.logged("ingest.retrying") for worker in on_own_store.workers)


def test_a_worker_frozen_past_its_session_that_wakes_up_as_a_zombie(fleet: Fleet, ingest: Ingest):
    zombie, other = fleet.started(2)
    with fleet.fed(SENT.lines, seconds=8):
        eventually(lambda: len(zombie.logged("ingest.batch_done")) > 3)
        zombie.send(signal.SIGSTOP)
        assignments = len(other.logged("ingest.partitions_assigned"))
        time.sleep(20)
        assert len(other.logged("ingest.partitions_assigned")) > assignments
        zombie.send(signal.SIGCONT)
        eventually(lambda: zombie.logged("ingest.partitions_assigned")[-1]["count"] > 0)
    assert_it_is_the_truth(fleet, ingest)
    assert zombie.stop() == 0


def test_the_broker_restarted(on_own_broker: Fleet, own_broker: broker.Broker, ingest: Ingest):
    workers = on_own_broker.started(2)
    with on_own_broker.fed(SENT.lines, seconds=6):
        time.sleep(2)
        own_broker.kill()
        time.sleep(3)
        own_broker.start()
    assert_it_is_the_truth(on_own_broker, ingest)
    assert all(is_running(worker) for worker in workers)


def test_an_agent_that_raises_once(fleet: Fleet, ingest: Ingest):
    worker = fleet.start((sys.executable, "-c", RAISING_ONCE, "worker"))
    with fleet.fed(SENT.lines, seconds=2):
        assert worker.process.wait(60) == 1
        log = worker.log_file.read_text()
        assert "ZeroDivisionError" in log
        assert "secret" not in log
        assert fleet.behind() > 0
        fleet.start()
    assert_it_is_the_truth(fleet, ingest)
