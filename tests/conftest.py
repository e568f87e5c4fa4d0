"""The services that tests share, started once and only if a test asks for them."""

from collections.abc import Iterator
from itertools import count

import pymongo
import pytest

from tests.kafka import broker
from tests.mongodb import NAMED, running

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def mongodb_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that any test may use, but none may hurt."""
    if NAMED:
        yield NAMED
        return
    folder = tmp_path_factory.mktemp("mongodb")
    with running(folder, "--enable-test-commands") as server:
        yield server.uri


@pytest.fixture
def mongodb_database(mongodb_uri: str) -> Iterator[str]:
    """The name of a database of one test's own, dropped behind it."""
    name = f"ingest_test_{next(_NUMBERS)}"
    with pymongo.MongoClient(mongodb_uri) as client:
        client.drop_database(name)
        yield name
        client.drop_database(name)


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[broker.Broker]:
    """A broker of our own that any test may use, but none may hurt."""
    with broker.running(tmp_path_factory.mktemp("kafka")) as running_broker:
        yield running_broker


@pytest.fixture(scope="session")
def _second_kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[broker.Broker]:
    folder = tmp_path_factory.mktemp("second-kafka")
    with broker.running(folder, "auto.create.topics.enable=true") as running_broker:
        yield running_broker


@pytest.fixture
def breakable_broker(_second_kafka_broker: broker.Broker) -> Iterator[broker.Broker]:
    """A broker that a test may hurt: it is started again behind it. It makes topics by itself."""
    yield _second_kafka_broker
    if not _second_kafka_broker.is_running:
        _second_kafka_broker.start()


@pytest.fixture
def breakable_settings(breakable_broker: broker.Broker) -> dict[str, str]:
    """As `kafka_settings`, on the broker that may be hurt."""
    return broker.settings_of(breakable_broker.address(), f"test{next(_NUMBERS)}")


@pytest.fixture
def kafka_settings(request: pytest.FixtureRequest) -> dict[str, str]:
    """The settings of topics of one test's own on a broker that others use too; nothing is made."""
    address = broker.NAMED or request.getfixturevalue("kafka_broker").address()
    return broker.settings_of(address, f"test{next(_NUMBERS)}")
