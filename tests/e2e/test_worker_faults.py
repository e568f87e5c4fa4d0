"""Whatever happens to workers, store and broker while records come in: the totals are right."""

import random
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import Ingest
from tests.e2e.workers import Fleet, eventually, fleet_of, simulated, stored_in
from tests.kafka.broker import Broker
from tests.mongodb import Server

pytestmark = pytest.mark.e2e

SENT = simulated(users=12, days=1, seed=7)
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


def assert_it_is_the_truth(fleet: Fleet, ingest: Ingest) -> None:
    fleet.must_be(SENT.truth)
    verified = ingest("db", "verify", **fleet.environment)
    assert (verified.status, verified.err) == (0, "")


def test_workers_killed_five_times(fleet: Fleet, ingest: Ingest):
    rng = random.Random(3)  # noqa: S311 - a test's order, no secret
    fleet.started(2)
    with fleet.fed(SENT.lines, seconds=10):
        for _ in range(5):
            time.sleep(rng.uniform(0.3, 1.5))
            rng.choice([worker for worker in fleet.workers if worker.is_running()]).kill()
            fleet.start()
    assert_it_is_the_truth(fleet, ingest)


def test_the_store_killed_twice(
    fleet_on_breakable_store: Fleet, breakable_store: Server, ingest: Ingest
):
    fleet_on_breakable_store.started(2)
    with fleet_on_breakable_store.fed(SENT.lines, seconds=6):
        for _ in range(2):
            time.sleep(1.5)
            breakable_store.kill()
            time.sleep(7)
            breakable_store.start()
    assert_it_is_the_truth(fleet_on_breakable_store, ingest)
    assert all(worker.stop() == 0 for worker in fleet_on_breakable_store.workers)
    assert any(worker.logged("ingest.retrying") for worker in fleet_on_breakable_store.workers)


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


def test_the_broker_restarted(
    fleet_on_breakable_broker: Fleet, breakable_broker: Broker, ingest: Ingest
):
    workers = fleet_on_breakable_broker.started(2)
    with fleet_on_breakable_broker.fed(SENT.lines, seconds=6):
        time.sleep(2)
        breakable_broker.kill()
        time.sleep(3)
        breakable_broker.start()
    assert_it_is_the_truth(fleet_on_breakable_broker, ingest)
    assert all(worker.is_running() for worker in workers)


def test_store_and_broker_away_at_the_same_time(
    tmp_path: Path,
    breakable_settings: dict[str, str],
    breakable_store: Server,
    breakable_broker: Broker,
    ingest: Ingest,
):
    stored = stored_in(breakable_store.uri, "ingest")
    with fleet_of(tmp_path, breakable_settings | stored) as fleet:
        workers = fleet.started(2)
        with fleet.fed(SENT.lines, seconds=4):
            time.sleep(1)
            breakable_store.kill()
            breakable_broker.kill()
            time.sleep(10)  # longer than the session timeout
            breakable_broker.start()
            time.sleep(3)
            breakable_store.start()
        assert_it_is_the_truth(fleet, ingest)
        assert all(worker.is_running() for worker in workers)


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
