"""Topics that are filled before anybody reads them, and the environment of those who do."""

import asyncio
from collections.abc import Sequence
from itertools import count
from typing import Final

import orjson
import pymongo

from ingest.brokers import connection_of, topics_of, wanted_of
from ingest.queues.kafka import Outgoing, Producer, administration, initialise
from ingest.settings import Settings
from ingest.stores.documents import EVENTS, SNAPSHOTS, TOTALS

PARTITIONS: Final = 12
PUT_AT_ONCE: Final = 10_000
Environment = dict[str, str]
_names = count()


def filled(address: str, messages: Sequence[bytes]) -> Environment:
    """The environment of a worker on new topics that hold these messages."""
    environment = environment_on(address, f"bench{next(_names)}")
    settings = settings_of(environment)
    asyncio.run(_initialise(settings))
    asyncio.run(send(settings, messages))
    return environment


def environment_on(address: str, name: str) -> Environment:
    """The environment of a worker on topics named after `name`."""
    return {
        "KAFKA_BROKERS": address,
        "KAFKA_PARTITIONS": str(PARTITIONS),
        "TOPIC_ACTIVITY_EVENTS": f"{name}-events",
        "TOPIC_HEALTH_SNAPSHOTS": f"{name}-snapshots",
        "TOPIC_DAILY_TOTALS": f"{name}-totals",
        "TOPIC_DEAD_LETTERS": f"{name}-letters",
        "WEB_PORT": "0",
    }


def fresh_group(environment: Environment, mongodb_uri: str | None) -> Environment:
    """The same for a group that has read nothing yet, on an empty store: in memory, or there."""
    own = {**environment, "KAFKA_GROUP": f"bench-{next(_names)}"}
    if mongodb_uri is None:
        return own | {"REPOSITORY_BACKEND": "inmemory"}
    return own | on_mongodb(mongodb_uri, f"bench-{next(_names)}")


def on_mongodb(uri: str, database: str) -> Environment:
    """The environment of a worker on a database, which is prepared for the test server."""
    index_users(uri, database)
    return {
        "REPOSITORY_BACKEND": "mongodb",
        "MONGODB_URI": uri,
        "MONGODB_DATABASE": database,
        "MONGODB_TIMEOUT_SECONDS": "120",  # the test server is slow; a retry would be counted too
    }


async def send(settings: Settings, messages: Sequence[bytes]) -> None:
    """Put messages of events into their topic, keyed by user."""
    topic = topics_of(settings).activity_events
    producer = Producer(connection_of(settings))
    for first in range(0, len(messages), PUT_AT_ONCE):
        await producer.send(
            Outgoing(topic, orjson.loads(message)["user_id"].encode(), message)
            for message in messages[first : first + PUT_AT_ONCE]
        )
    await producer.close()


def index_users(uri: str, database: str) -> None:
    """An index that a mongod has no use for: the test server finds a user's range by no other."""
    with pymongo.MongoClient(uri) as client:
        for name in (EVENTS, SNAPSHOTS, TOTALS):
            client[database][name].create_index("user_id")


def settings_of(environment: Environment) -> Settings:
    """The settings that a command with this environment has."""
    return Settings(**{name.lower(): value for name, value in environment.items()})


async def _initialise(settings: Settings) -> None:
    async with administration(connection_of(settings)) as client:
        await initialise(client, wanted_of(settings))
