"""Kafka as the settings name it: how it is reached, and its topics."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ingest.retries import Patience
from ingest.settings import Settings

if TYPE_CHECKING:
    from ingest.queues.kafka import Connection, Initialised, Producer, TopicNames, Wanted


def connection_of(settings: Settings) -> "Connection":
    """How the brokers are reached."""
    from ingest.queues import kafka  # noqa: PLC0415 - the client takes time that others need not pay

    return kafka.Connection(
        settings.kafka_brokers,
        settings.kafka_security_protocol,
        settings.kafka_sasl_mechanism,
        settings.kafka_sasl_username,
        settings.kafka_sasl_password.get_secret_value(),
        settings.kafka_tls_ca,
    )


def topics_of(settings: Settings) -> "TopicNames":
    """What the topics are called."""
    from ingest.queues import kafka  # noqa: PLC0415 - as above

    return kafka.TopicNames(
        settings.topic_activity_events,
        settings.topic_health_snapshots,
        settings.topic_daily_totals,
        settings.topic_dead_letters,
    )


def wanted_of(settings: Settings) -> "Wanted":
    """What the topics are to be like."""
    from ingest.queues import kafka  # noqa: PLC0415 - as above

    return kafka.Wanted(topics_of(settings), settings.kafka_partitions, settings.kafka_replication)


async def initialise_topics(settings: Settings, *, dry_run: bool) -> "Initialised":
    """Make the topics that are missing; with `dry_run` only say which.

    Raises `QueueUnavailable` or `QueueUnusable`.
    """
    from ingest.queues import kafka  # noqa: PLC0415 - as above

    async with kafka.administration(connection_of(settings)) as client:
        return await kafka.initialise(client, wanted_of(settings), dry_run=dry_run)


@asynccontextmanager
async def producer_to(
    topics: Sequence[str], settings: Settings, patience: Patience, on_waiting: Callable[[], None]
) -> AsyncIterator["Producer"]:
    """A producer for these topics, which are there; entering raises as `initialise_topics`.

    `on_waiting` is called when the broker has not answered for some seconds.
    """
    from ingest.queues import kafka  # noqa: PLC0415 - as above

    connection = connection_of(settings)
    async with kafka.administration(connection) as client:
        await kafka.require(client, topics)
    producer = kafka.PatientProducer(connection, patience, on_waiting)
    try:
        yield producer
    finally:
        await producer.close()
