"""A login and TLS on every way: Kafka by SCRAM and SASL_SSL, MongoDB by SCRAM and TLS."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pymongo
import pytest
import trustme

from tests.e2e.conftest import Ingest
from tests.e2e.mongodb import settings_of
from tests.e2e.test_mongodb_bad_input import is_one_clear_line
from tests.e2e.workers import Fleet, fleet_of, simulated, stored_in
from tests.kafka.broker import SCRAM_PASSWORD, SCRAM_USER, Broker
from tests.mongodb import running

pytestmark = pytest.mark.e2e

SENT = simulated(users=3, days=1)
MONGODB_PASSWORD = "p@ss:w/rd"  # noqa: S105 - of a server on the loopback; needs escaping


class SecureStore(NamedTuple):
    """A MongoDB-compatible server that talks over TLS only, to who has logged in."""

    port: int
    ca: Path

    def uri(self, ca: Path | None = None, query: str = "tls=true") -> str:
        return (
            "mongodb://ann:${MONGODB_PASSWORD}@localhost:"
            f"{self.port}/?authSource=admin&{query}&tlsCAFile={ca or self.ca}"
        )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureStore]:
    folder = tmp_path_factory.mktemp("secure-mongodb")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    ca, chain, key = folder / "ca.pem", folder / "chain.pem", folder / "key.pem"
    authority.cert_pem.write_to_path(ca)
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(chain, append=True)
    certificate.private_key_pem.write_to_path(key)
    with running(folder / "data") as server, pymongo.MongoClient(server.uri) as client:
        roles = ["readWriteAnyDatabase", "dbAdminAnyDatabase"]
        client.admin.command("createUser", "ann", pwd=MONGODB_PASSWORD, roles=roles)
    tls = ("--tls-cert-file", str(chain), "--tls-key-file", str(key))
    query = f"/?tls=true&tlsCAFile={ca}"
    with running(folder / "data", "--auth", *tls, query=query) as server:
        yield SecureStore(server.port, ca)


@pytest.fixture
def secure_fleet(
    tmp_path: Path,
    kafka_settings: dict[str, str],
    kafka_broker: Broker,
    store: SecureStore,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Fleet]:
    monkeypatch.setenv("MONGODB_PASSWORD", MONGODB_PASSWORD)  # for what the test itself reads
    kafka = {
        "KAFKA_BROKERS": kafka_broker.address("TLS"),
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
        "KAFKA_SASL_USERNAME": SCRAM_USER,
        "KAFKA_SASL_PASSWORD": SCRAM_PASSWORD,
        "KAFKA_TLS_CA": str(kafka_broker.certificate),
        "MONGODB_PASSWORD": MONGODB_PASSWORD,
    }
    stored = stored_in(store.uri(), "ingest")
    with fleet_of(tmp_path, kafka_settings | stored | kafka) as prepared:
        yield prepared


def test_a_worker_with_a_login_for_everything_over_tls(secure_fleet: Fleet):
    (worker,) = secure_fleet.started(1)
    secure_fleet.send(SENT.lines)
    secure_fleet.must_be(SENT.truth)
    assert worker.stop() == 0
    log = worker.log_file.read_text()
    assert MONGODB_PASSWORD not in log
    assert SCRAM_PASSWORD not in log


def test_a_server_that_another_authority_vouches_for_is_not_trusted(
    ingest: Ingest, store: SecureStore, tmp_path: Path
):
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    settings = settings_of(store.uri(other), "ingest")
    done = ingest("db", "init", **settings, **_login(), MONGODB_TIMEOUT_SECONDS="2")
    assert is_one_clear_line(done, 3)
    assert "certificate" in done.err.lower()


def test_nothing_is_said_in_the_clear(ingest: Ingest, store: SecureStore):
    uri = f"mongodb://localhost:{store.port}"
    done = ingest("db", "init", **settings_of(uri, "ingest"), MONGODB_TIMEOUT_SECONDS="2")
    assert is_one_clear_line(done, 3)


def test_a_wrong_password_is_one_line_without_it(ingest: Ingest, store: SecureStore):
    settings = settings_of(store.uri(), "ingest")
    done = ingest("db", "init", **settings, MONGODB_PASSWORD="wr0ng-one")  # noqa: S106 - as above
    assert is_one_clear_line(done, 2)
    assert "wr0ng-one" not in done.err


def _login() -> dict[str, str]:
    return {"MONGODB_PASSWORD": MONGODB_PASSWORD, "RETRY_TIMEOUT": "0"}
