"""Kafka behind the ports: how it is reached, its topics, what is sent to it and read back.

Only this package and `ingest.worker` import a client of Kafka.
"""

from ingest.queues.kafka.connection import Connection, administration
from ingest.queues.kafka.dead_letters import StoredDeadLetter, dead_letters
from ingest.queues.kafka.producer import Outgoing, Producer
from ingest.queues.kafka.topics import TopicNames, Wanted, check, initialise
from ingest.queues.kafka.totals import KafkaTopics, tombstones

__all__ = [
    "Connection",
    "KafkaTopics",
    "Outgoing",
    "Producer",
    "StoredDeadLetter",
    "TopicNames",
    "Wanted",
    "administration",
    "check",
    "dead_letters",
    "initialise",
    "tombstones",
]
