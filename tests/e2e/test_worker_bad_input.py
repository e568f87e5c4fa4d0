"""A worker that cannot work says so in one clear line; one that works waits instead of dying."""

import signal
import socket
from pathlib import Path

import pytest

from tests.e2e.conftest import Ingest
from tests.e2e.environment import ENVIRONMENT
from tests.e2e.mongodb import settings_of
from tests.e2e.test_mongodb_bad_input import is_one_clear_line
from tests.e2e.workers import Fleet, eventually, simulated
from tests.kafka.broker import PASSWORD, USER, Broker
from tests.kafka.topics import make_topics
from tests.mongodb import free_port

pytestmark = pytest.mark.e2e

Settings = dict[str, str]
SENT = simulated(users=3, days=1)


def test_no_broker(ingest: Ingest) -> None:
    done = ingest("worker", KAFKA_BROKERS=f"127.0.0.1:{free_port()}")
    assert is_one_clear_line(done, 3)
    assert "KAFKA_BROKERS" in done.err


def test_a_wrong_login(ingest: Ingest, kafka_broker: Broker) -> None:
    login = {"KAFKA_SASL_USERNAME": USER, "KAFKA_SASL_PASSWORD": "wrong one"}
    done = ingest(
        "worker",
        KAFKA_BROKERS=kafka_broker.address("SASL"),
        KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT",
        **login,
    )
    assert is_one_clear_line(done, 2)
    assert "KAFKA_SASL_PASSWORD" in done.err
    assert "wrong one" not in done.err


def test_a_missing_topic(ingest: Ingest, kafka_settings: Settings) -> None:
    done = ingest("worker", **kafka_settings)
    assert is_one_clear_line(done, 2)
    assert "run `ingest topics init`" in done.err


def test_too_few_partitions(ingest: Ingest, kafka_settings: Settings) -> None:
    make_topics(kafka_settings)
    done = ingest("worker", **kafka_settings | {"KAFKA_PARTITIONS": "5"})
    assert is_one_clear_line(done, 2)
    assert "has 4 partitions, KAFKA_PARTITIONS is 5" in done.err


def test_input_topics_that_cannot_be_given_out_together(
    ingest: Ingest, kafka_settings: Settings
) -> None:
    make_topics(kafka_settings)
    more = f"{kafka_settings['TOPIC_HEALTH_SNAPSHOTS']}-more"
    other = kafka_settings | {"TOPIC_HEALTH_SNAPSHOTS": more}
    make_topics(other | {"KAFKA_PARTITIONS": "5"})
    done = ingest("worker", **other)
    assert is_one_clear_line(done, 2)
    assert "give both the same number" in done.err


def test_no_store(ingest: Ingest, kafka_settings: Settings) -> None:
    make_topics(kafka_settings)
    away = settings_of(f"mongodb://127.0.0.1:{free_port()}", "ingest")
    done = ingest("worker", **kafka_settings, **away, MONGODB_TIMEOUT_SECONDS="1")
    assert is_one_clear_line(done, 3)
    assert "MongoDB" in done.err


def test_a_web_port_that_is_taken(ingest: Ingest, kafka_settings: Settings) -> None:
    make_topics(kafka_settings)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = ingest("worker", **kafka_settings | {"WEB_PORT": port})
    assert is_one_clear_line(done, 2)
    assert f"WEB_PORT={port}: address already in use" in done.err


def test_what_faust_would_take_from_the_environment_is_left_there(
    ingest: Ingest, kafka_settings: Settings
) -> None:
    make_topics(kafka_settings)
    with ingest.started("worker", environment=_alive(kafka_settings)) as process:
        line = process.stderr.readline()
        while b"partitions_assigned" not in line:
            assert line, "it ended"
            line = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 0
    assert ingest.files() == set()  # Faust would keep a folder for its tables


def _alive(settings: Settings) -> Settings:
    faust = {"BROKER_URL": "kafka://nowhere:1", "APP_ID": "other", "WEB_ENABLED": "1"}
    return ENVIRONMENT | settings | faust


@pytest.mark.parametrize("listener", ["SASL", "TLS"])
def test_a_worker_that_has_to_log_in_works(fleet: Fleet, kafka_broker: Broker, listener: str):
    fleet.environment |= {
        "KAFKA_BROKERS": kafka_broker.address(listener),
        "KAFKA_SECURITY_PROTOCOL": {"SASL": "SASL_PLAINTEXT", "TLS": "SASL_SSL"}[listener],
        "KAFKA_SASL_USERNAME": USER,
        "KAFKA_SASL_PASSWORD": PASSWORD,
    }
    if listener == "TLS":
        fleet.environment["KAFKA_TLS_CA"] = str(kafka_broker.certificate)
    (worker,) = fleet.started(1)
    fleet.send(SENT.lines)
    fleet.must_be(SENT.truth)
    assert worker.stop() == 0
    assert PASSWORD.encode() not in worker.log_file.read_bytes()


def test_a_worker_waits_for_a_broker_that_is_away_and_says_so(
    fleet_on_breakable_broker: Fleet, breakable_broker: Broker
):
    fleet = fleet_on_breakable_broker
    (worker,) = fleet.started(1)
    eventually(lambda: worker.ask("/readyz")[0] == 200)
    breakable_broker.kill()
    eventually(lambda: worker.ask("/readyz")[0] == 503)
    assert "Kafka" in worker.ask("/readyz")[1]
    assert worker.ask("/livez")[0] == 200
    breakable_broker.start()
    eventually(lambda: worker.ask("/readyz")[0] == 200)
    fleet.send(SENT.lines)
    fleet.must_be(SENT.truth)


def test_a_worker_stops_in_time_though_its_broker_is_away(
    fleet_on_breakable_broker: Fleet, breakable_broker: Broker
):
    fleet = fleet_on_breakable_broker
    fleet.environment["SHUTDOWN_SECONDS"] = "4"
    (worker,) = fleet.started(1)
    breakable_broker.kill()
    worker.send(signal.SIGTERM)
    assert worker.process.wait(6) == 0


def test_a_worker_that_has_not_begun_yet_stops_when_it_is_asked(
    fleet_on_breakable_broker: Fleet, breakable_broker: Broker
):
    breakable_broker.send(signal.SIGSTOP)
    try:
        worker = fleet_on_breakable_broker.start()
        eventually(lambda: _catches_sigterm(worker.process.pid))
        worker.send(signal.SIGTERM)
        assert worker.process.wait(10) == 0
    finally:
        breakable_broker.send(signal.SIGCONT)


def test_its_health_is_told_on_the_command_line(
    fleet: Fleet, ingest: Ingest, kafka_settings: Settings
):
    (worker,) = fleet.started(1)
    eventually(lambda: worker.ask("/readyz")[0] == 200)
    (started,) = worker.logged("ingest.web_started")
    web = {"WEB_PORT": str(started["address"][1])}
    for asked in (("health",), ("health", "--ready")):
        done = ingest(*asked, **web)
        assert (done.status, done.out, done.err) == (0, "ok\n", "")
    assert worker.stop() == 0
    assert is_one_clear_line(ingest("health", **web), 3)


def _catches_sigterm(pid: int) -> bool:
    """Whether a process has a handler of its own, and so would heed it as process 1 too."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt"))[7:], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)
