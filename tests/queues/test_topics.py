"""The topics on a real broker: made once, as the settings say, and looked at before work begins."""

import asyncio

import pytest

from ingest.brokers import connection_of, initialise_topics, wanted_of
from ingest.errors import QueueUnusable
from ingest.queues.kafka import administration, check, require
from tests.kafka.topics import loaded, make_topics

Settings = dict[str, str]


def checked(settings: Settings) -> None:
    """Look at the topics as a worker does before it starts."""

    async def checking() -> None:
        async with administration(connection_of(loaded(settings))) as client:
            await check(client, wanted_of(loaded(settings)))

    asyncio.run(checking())


def test_missing_topics_are_named(kafka_settings: Settings) -> None:
    with pytest.raises(QueueUnusable) as raised:
        checked(kafka_settings)
    names = [value for name, value in kafka_settings.items() if name.startswith("TOPIC_")]
    assert str(raised.value) == f"topics {', '.join(names)} are missing: run `ingest topics init`"


async def test_a_missing_topic_is_named(kafka_settings: Settings) -> None:
    await initialise_topics(loaded(kafka_settings), dry_run=False)
    async with administration(connection_of(loaded(kafka_settings))) as client:
        await require(client, [kafka_settings["TOPIC_DAILY_TOTALS"]])
        with pytest.raises(QueueUnusable, match=r"^topic none-such is missing"):
            await require(client, [kafka_settings["TOPIC_DAILY_TOTALS"], "none-such"])


def test_topics_as_they_are_made_are_right_for_a_worker(kafka_settings: Settings) -> None:
    make_topics(kafka_settings)
    checked(kafka_settings)
    checked({**kafka_settings, "KAFKA_PARTITIONS": "3"})
    with pytest.raises(QueueUnusable, match=r"has 4 partitions, KAFKA_PARTITIONS is 5: add"):
        checked({**kafka_settings, "KAFKA_PARTITIONS": "5"})


def test_input_topics_of_different_partitions_are_wrong_for_a_worker(
    kafka_settings: Settings,
) -> None:
    make_topics(kafka_settings)
    name = kafka_settings["TOPIC_HEALTH_SNAPSHOTS"]
    other = {**kafka_settings, "TOPIC_HEALTH_SNAPSHOTS": f"{name}-2", "KAFKA_PARTITIONS": "5"}
    make_topics(other)
    with pytest.raises(QueueUnusable, match=r"has 4 partitions and .* 5: give both the same"):
        checked(other)


def test_more_copies_than_brokers_are_one_clear_line(kafka_settings: Settings) -> None:
    with pytest.raises(QueueUnusable, match=r"cannot be made: .*replication factor"):
        make_topics({**kafka_settings, "KAFKA_REPLICATION": "3"})
