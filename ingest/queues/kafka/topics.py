"""The four topics: what each must be like, how they are made, and whether they are as wanted."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.metadata import MetadataRequest

from ingest.core.records import Kind
from ingest.errors import QueueUnusable
from ingest.queues.kafka.connection import CONNECT_SECONDS, meaning_of

MIB: Final = 1024 * 1024
INPUT_BYTES_MAX: Final = (
    3 * MIB
)  # more than a message may have, so that it is refused with a reason
DEAD_LETTER_BYTES_MAX: Final = 4 * MIB
DEAD_LETTER_DAYS: Final = 30
DAY_MS: Final = 86_400_000
REPLICAS_DURABLE: Final = 3
POLL_SECONDS: Final = 0.05


class TopicNames(NamedTuple):
    """What the four topics are called."""

    activity_events: str
    health_snapshots: str
    daily_totals: str
    dead_letters: str

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kind of message of each input topic."""
        return {self.activity_events: Kind.ACTIVITY, self.health_snapshots: Kind.HEALTH}


class Wanted(NamedTuple):
    """How many partitions and copies a topic is to have, and its configuration."""

    topics: TopicNames
    partitions: int
    replication: int

    def configurations(self) -> dict[str, dict[str, str]]:
        """What differs from the broker's defaults, by topic.

        Of three copies or more, two must have a message before it counts as written.
        """
        durable = {"min.insync.replicas": "2"} if self.replication >= REPLICAS_DURABLE else {}
        inputs = {
            **durable,
            "cleanup.policy": "delete",
            "max.message.bytes": str(INPUT_BYTES_MAX),
        }
        return {
            self.topics.activity_events: inputs,
            self.topics.health_snapshots: inputs,
            self.topics.daily_totals: {**durable, "cleanup.policy": "compact"},
            self.topics.dead_letters: {
                **durable,
                "cleanup.policy": "delete",
                "max.message.bytes": str(DEAD_LETTER_BYTES_MAX),
                "retention.ms": str(DEAD_LETTER_DAYS * DAY_MS),
            },
        }


class Found(NamedTuple):
    """A topic as it is."""

    partitions: int
    replication: int


class Initialised(NamedTuple):
    """The topics that were made, and a line for each setting of the others that differs."""

    made: Sequence[str]
    differing: Sequence[str]


async def initialise(
    client: AIOKafkaAdminClient, wanted: Wanted, *, dry_run: bool = False
) -> Initialised:
    """Make the topics that are missing; leave those that are there as they are.

    What was made is there for everyone when this returns.
    """
    configurations = wanted.configurations()
    found = await _describe(client, [*configurations])
    missing = [name for name in configurations if name not in found]
    if missing and not dry_run:
        await _make(client, missing, wanted)
    differing = [line async for line in _differences(client, found, wanted)]
    return Initialised(missing, differing)


async def check(client: AIOKafkaAdminClient, wanted: Wanted) -> None:
    """Raise `QueueUnusable` if a worker could not keep its promises on these topics.

    The two input topics need as many partitions as each other: a user's events and snapshots are
    then always handled by the same worker.
    """
    found = await _existing(client, wanted.topics)
    events, snapshots = (found[name].partitions for name in wanted.topics.kinds)
    if events != snapshots:
        raise QueueUnusable(
            f"{wanted.topics.activity_events} has {events} partitions and "
            f"{wanted.topics.health_snapshots} {snapshots}: give both the same number"
        )
    if events < wanted.partitions:
        raise QueueUnusable(
            f"{wanted.topics.activity_events} has {events} partitions, KAFKA_PARTITIONS is "
            f"{wanted.partitions}: add partitions to both input topics, or set "
            f"KAFKA_PARTITIONS={events}"
        )


async def require(client: AIOKafkaAdminClient, names: Sequence[str]) -> None:
    """Raise `QueueUnusable` if one of these topics is not there."""
    await _existing(client, names)


async def _existing(client: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, Found]:
    found = await _describe(client, names)
    if missing := [name for name in names if name not in found]:
        what = f"topics {', '.join(missing)} are" if missing[1:] else f"topic {missing[0]} is"
        raise QueueUnusable(f"{what} missing: run `ingest topics init`")
    return found


async def _describe(client: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, Found]:
    """The topics that are there.

    `describe_topics` of aiokafka 0.14 would let a broker that creates topics by itself create them.
    """
    request = MetadataRequest([*names], allow_auto_topic_creation=False)
    response = await client._send_request(request)
    found = {}
    for topic in response.to_object()["topics"]:
        partitions: Sequence[Any] = topic["partitions"]
        if topic["error_code"] == 0:
            found[topic["topic"]] = Found(len(partitions), len(partitions[0]["replicas"]))
        elif topic["error_code"] != UnknownTopicOrPartitionError.errno:
            raise meaning_of(for_code(topic["error_code"])())
    return found


async def _make(client: AIOKafkaAdminClient, names: Sequence[str], wanted: Wanted) -> None:
    configurations = wanted.configurations()
    response = await client.create_topics(
        [
            NewTopic(
                name, wanted.partitions, wanted.replication, topic_configs=configurations[name]
            )
            for name in names
        ]
    )
    for name, code, message in response.topic_errors:
        if code not in (0, TopicAlreadyExistsError.errno):
            raise QueueUnusable(
                f"topic {name} cannot be made: {message or for_code(code).__name__}"
            )
    async with asyncio.timeout(CONNECT_SECONDS):
        while len(await _describe(client, names)) < len(names):  # noqa: ASYNC110 - Kafka tells nobody
            await asyncio.sleep(POLL_SECONDS)


async def _differences(
    client: AIOKafkaAdminClient, found: Mapping[str, Found], wanted: Wanted
) -> AsyncIterator[str]:
    for name, topic in found.items():
        numbers = (
            ("partitions", topic.partitions, wanted.partitions),
            ("replication", topic.replication, wanted.replication),
        )
        for what, is_, should in numbers:
            if is_ != should:
                yield f"{name}: {what} is {is_}, the settings say {should}"
        configuration = await _configuration(client, name)
        for key, value in wanted.configurations()[name].items():
            if configuration.get(key) != value:
                yield f"{name}: {key} is {configuration.get(key)}, wanted {value}"


async def _configuration(client: AIOKafkaAdminClient, name: str) -> dict[str, str]:
    (response,) = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    ((code, _, _, _, entries),) = response.resources
    if code:
        raise meaning_of(for_code(code)())
    return {entry[0]: entry[1] for entry in entries}
