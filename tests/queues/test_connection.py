"""How a broker is reached: what lets us in, and one clear line where nothing does."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka.admin import NewTopic

from ingest.errors import QueueUnavailable, QueueUnusable
from ingest.queues.kafka import Connection, Outgoing, Producer, administration
from tests.kafka.broker import PASSWORD, USER, Broker
from tests.mongodb import free_port


async def topics_seen_by(connection: Connection) -> Sequence[str]:
    async with administration(connection) as client:
        return await client.list_topics()


def secured(broker: Broker, listener: str, **changes) -> Connection:
    """What lets us in at a listener with a login, changed."""
    login = Connection(
        (broker.address(listener),),
        security_protocol={"SASL": "SASL_PLAINTEXT", "TLS": "SASL_SSL"}[listener],
        username=USER,
        password=PASSWORD,
        tls_ca=broker.certificate if listener == "TLS" else None,
    )
    return login._replace(**changes)


@pytest.mark.parametrize("listener", ["SASL", "TLS"])
async def test_a_login_lets_us_in_and_send(
    kafka_broker: Broker, kafka_settings: dict[str, str], listener: str
) -> None:
    connection = secured(kafka_broker, listener)
    topic = kafka_settings["TOPIC_DAILY_TOTALS"]
    async with administration(connection) as client:
        await client.create_topics([NewTopic(topic, 1, 1)])
    producer = Producer(connection)
    await producer.send([Outgoing(topic, b"a", b"b")])
    await producer.close()
    assert topic in await topics_seen_by(connection)


@pytest.mark.parametrize("listener", ["SASL", "TLS"])
@pytest.mark.parametrize(
    "wrong",
    [{"password": "another"}, {"username": "bob"}, {"sasl_mechanism": "SCRAM-SHA-512"}],
)
async def test_a_wrong_login_is_one_clear_line(
    kafka_broker: Broker, listener: str, wrong: dict[str, str]
) -> None:
    with pytest.raises(QueueUnusable) as raised:
        await topics_seen_by(secured(kafka_broker, listener, **wrong))
    assert "refuses the login: check KAFKA_SASL_" in str(raised.value)
    assert "another" not in str(raised.value)


async def test_a_certificate_of_nobody_we_trust_is_one_clear_line(kafka_broker: Broker) -> None:
    with pytest.raises(QueueUnusable, match=r"cannot be trusted .*KAFKA_TLS_CA"):
        await topics_seen_by(secured(kafka_broker, "TLS", tls_ca=None))


async def test_a_file_without_a_certificate_is_one_clear_line(
    kafka_broker: Broker, tmp_path: Path
) -> None:
    (tmp_path / "ca").write_text("none")
    with pytest.raises(QueueUnusable, match=r"KAFKA_TLS_CA: .* holds no certificate"):
        await topics_seen_by(secured(kafka_broker, "TLS", tls_ca=tmp_path / "ca"))


@pytest.mark.parametrize("listener", ["SASL", "TLS"])
async def test_no_login_where_one_is_needed_is_one_clear_line(
    kafka_broker: Broker, listener: str
) -> None:
    async with asyncio.timeout(15):
        with pytest.raises((QueueUnavailable, QueueUnusable), match="KAFKA_SECURITY_PROTOCOL"):
            await topics_seen_by(Connection((kafka_broker.address(listener),)))


async def test_tls_where_there_is_none_is_one_clear_line(kafka_broker: Broker) -> None:
    plain = secured(kafka_broker, "TLS", brokers=(kafka_broker.address(),))
    async with asyncio.timeout(15):
        with pytest.raises((QueueUnavailable, QueueUnusable), match="KAFKA_SECURITY_PROTOCOL"):
            await topics_seen_by(plain)


async def test_no_broker_is_one_clear_line() -> None:
    with pytest.raises(QueueUnavailable, match="does not answer: is it running"):
        await topics_seen_by(Connection((f"127.0.0.1:{free_port()}",)))


async def test_a_server_that_is_no_broker_is_one_clear_line() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, asyncio.timeout(15):
        with pytest.raises(QueueUnavailable, match="does not answer"):
            await topics_seen_by(Connection((f"127.0.0.1:{port}",)))


async def test_one_broker_that_answers_is_enough(kafka_broker: Broker) -> None:
    brokers = f"127.0.0.1:{free_port()}", kafka_broker.address()
    assert await topics_seen_by(Connection(brokers)) is not None
