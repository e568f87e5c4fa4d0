"""Kafka behind the ports: how it is reached, its topics, what is sent to it and read back.

Only this package and `ingest.worker` import a client of Kafka.
"""

from ingest.queues.kafka.connection import Connection, administration, meaning_of
from ingest.queues.kafka.dead_letters import StoredDeadLetter, dead_letters
from ingest.queues.kafka.following import followed, lag_of
from ingest.queues.kafka.patience import PatientProducer
from ingest.queues.kafka.producer import Outgoing, Producer
from ingest.queues.kafka.topics import Initialised, TopicNames, Wanted, check, initialise, require
from ingest.queues.kafka.totals import KafkaTopics

__all__ = [
    "Connection",
    "Initialised",
    "KafkaTopics",
    "Outgoing",
    "PatientProducer",
    "Producer",
    "StoredDeadLetter",
    "TopicNames",
    "Wanted",
    "administration",
    "check",
    "dead_letters",
    "followed",
    "initialise",
    "lag_of",
    "meaning_of",
    "require",
]
