"""How Kafka is reached, and what its errors mean to this program."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import AIOKafkaConnection

from ingest.errors import BatchRetryable, QueueUnavailable, QueueUnusable, WorkerStopped

CONNECT_SECONDS: Final = 10
CLIENT_ID: Final = "ingest"


class Connection(NamedTuple):
    """Brokers as `host:port`, and how to be let in; no credentials where there is no SASL."""

    brokers: tuple[str, ...]
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    username: str = ""
    password: str = ""
    tls_ca: Path | None = None

    @property
    def uses_sasl(self) -> bool:
        return self.security_protocol.startswith("SASL")

    def tls(self) -> ssl.SSLContext | None:
        """The certificates to trust, those of the system by default; None without TLS."""
        if not self.security_protocol.endswith("SSL"):
            return None
        try:
            return ssl.create_default_context(cafile=self.tls_ca)
        except (OSError, ssl.SSLError) as error:
            raise QueueUnusable(f"KAFKA_TLS_CA: {self.tls_ca} holds no certificate") from error

    def options(self) -> dict[str, Any]:
        """The same as arguments of any client of aiokafka."""
        return {"bootstrap_servers": list(self.brokers), "client_id": CLIENT_ID, **self.login()}

    def login(self) -> dict[str, Any]:
        """How to be let in, as arguments of any client of aiokafka."""
        login: dict[str, Any] = {
            "security_protocol": self.security_protocol,
            "ssl_context": self.tls(),
        }
        if self.uses_sasl:
            login["sasl_mechanism"] = self.sasl_mechanism
            login["sasl_plain_username"] = self.username
            login["sasl_plain_password"] = self.password
        return login


@asynccontextmanager
async def administration(connection: Connection) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client for topics; raises `QueueUnavailable` or `QueueUnusable` with one clear line."""
    await reach(connection)
    client = AIOKafkaAdminClient(**connection.options(), request_timeout_ms=CONNECT_SECONDS * 1000)
    try:
        with translated():
            await client.start()
            yield client
    finally:
        await client.close()


async def reach(connection: Connection) -> None:
    """Return if any broker lets us in; raise the reason of the last one that does not.

    The clients of aiokafka tell their log why they were not let in, and their caller only that
    they were not.
    """
    for place, broker in enumerate(connection.brokers, 1):
        try:
            await _connect(connection, broker)
        except (QueueUnavailable, QueueUnusable):
            if place == len(connection.brokers):
                raise
        else:
            return


@contextmanager
def translated() -> Iterator[None]:
    """What goes wrong inside becomes `QueueUnavailable` or `QueueUnusable`.

    Texts of the client are not passed on where they might quote a message.
    """
    try:
        yield
    except (BatchRetryable, WorkerStopped):
        raise
    except (errors.KafkaError, OSError, TimeoutError) as error:
        raise meaning_of(error) from None


def meaning_of(error: BaseException) -> QueueUnavailable | QueueUnusable:
    """What an error of the client means here."""
    for kind, advice in _UNUSABLE.items():
        if isinstance(error, kind):
            return QueueUnusable(advice)
    for kind, advice in _UNAVAILABLE.items():
        if isinstance(error, kind):
            return QueueUnavailable(advice)
    return QueueUnavailable(f"Kafka does not answer as it should ({type(error).__name__})")


async def _connect(connection: Connection, broker: str) -> None:
    host, _, port = broker.rpartition(":")
    where = f"Kafka at {broker}"
    line = AIOKafkaConnection(
        host.strip("[]"), int(port), client_id=CLIENT_ID, **connection.login()
    )
    try:
        await asyncio.wait_for(line.connect(), CONNECT_SECONDS)
    except _LOGIN_REFUSED:
        raise QueueUnusable(
            f"{where} refuses the login: check KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and "
            "KAFKA_SASL_PASSWORD"
        ) from None
    except ssl.SSLError as error:
        raise QueueUnusable(
            f"{where} cannot be trusted ({error.reason}): check KAFKA_TLS_CA and "
            "KAFKA_SECURITY_PROTOCOL"
        ) from None
    except (errors.KafkaError, OSError, TimeoutError, ValueError):
        raise QueueUnavailable(f"{where} does not answer: {_CHECK}") from None
    finally:
        await _closed(line)


async def _closed(line: AIOKafkaConnection) -> None:
    """Close a connection, open or not."""
    was_open = line.connected()
    closed = line.close()
    if was_open:
        await asyncio.wait([closed], timeout=1)


_CHECK: Final = "is it running, and are KAFKA_BROKERS and KAFKA_SECURITY_PROTOCOL right?"
_LOGIN_REFUSED: Final = (
    errors.AuthenticationFailedError,
    errors.SaslAuthenticationFailed,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
)
_UNUSABLE: Final = {
    errors.TopicAuthorizationFailedError: "Kafka does not permit this user the topic: grant it",
    errors.GroupAuthorizationFailedError: "Kafka does not permit this user KAFKA_GROUP: grant it",
    errors.ClusterAuthorizationFailedError: "Kafka does not permit this user to do that: grant it",
    errors.MessageSizeTooLargeError: (
        "a message is larger than its topic takes: raise max.message.bytes of the topic, as "
        "`ingest topics init` would have it"
    ),
    **dict.fromkeys(_LOGIN_REFUSED, "Kafka refuses the login: check KAFKA_SASL_*"),
}
_UNAVAILABLE: Final = {
    errors.UnknownTopicOrPartitionError: "a topic is missing: run `ingest topics init`",
    errors.KafkaConnectionError: f"Kafka does not answer: {_CHECK}",
    TimeoutError: "Kafka does not answer in time",  # an OSError too
    errors.KafkaTimeoutError: "Kafka does not answer in time",
    OSError: "Kafka does not answer",
}

# What goes wrong is raised, and said once where it is handled.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())
