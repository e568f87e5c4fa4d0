"""A database lost and restored from a backup as the runbook says; what came since is done again."""

import asyncio
from pathlib import Path

import pymongo
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from ingest.brokers import connection_of
from tests.e2e.conftest import Ingest
from tests.e2e.mongodb import ended_well
from tests.e2e.workers import Fleet, simulated

pytestmark = pytest.mark.e2e

SENT = simulated(users=4, days=2)
HALF = len(SENT.lines) // 2


def test_what_came_after_the_backup_is_read_again(fleet: Fleet, ingest: Ingest, tmp_path: Path):
    settings = dict(fleet.environment)
    (worker,) = fleet.started(1)
    fleet.send(SENT.lines[:HALF])
    fleet.finish()
    ended_well(ingest("db", "export", "backup", **settings))
    fleet.send(SENT.lines[HALF:])
    fleet.finish()
    assert worker.stop() == 0
    with pymongo.MongoClient(fleet.settings.mongodb_uri.get_secret_value()) as client:
        client.drop_database(fleet.settings.mongodb_database)
    ended_well(ingest("db", "init", **settings))
    ended_well(ingest("db", "import", "backup", **settings))
    assert fleet.stored() != SENT.truth
    set_back(fleet)
    fleet.started(1)
    fleet.finish()
    assert fleet.stored() == SENT.truth
    assert "0 differ" in ended_well(ingest("db", "verify", **settings))


def set_back(fleet: Fleet) -> None:
    """What `kafka-consumer-groups --reset-offsets --to-earliest` does."""

    async def setting() -> None:
        options = connection_of(fleet.settings).options()
        group = fleet.settings.kafka_group
        async with AIOKafkaConsumer(
            group_id=group, enable_auto_commit=False, **options
        ) as consumer:
            places = [
                TopicPartition(topic, number)
                for topic in fleet.topics.kinds
                for number in range(fleet.settings.kafka_partitions)
            ]
            consumer.assign(places)
            await consumer.commit(dict.fromkeys(places, 0))

    asyncio.run(setting())
    assert fleet.behind() > 0
