"""Kafka as the settings name it: how it is reached, and its topics."""

from typing import TYPE_CHECKING

from ingest.settings import Settings

if TYPE_CHECKING:
    from ingest.queues.kafka import Connection, TopicNames, Wanted


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
