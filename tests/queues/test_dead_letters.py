"""Dead letters on a real broker: what is published is read back, all of it and nothing else."""

import asyncio
from datetime import UTC, datetime

import pytest

from ingest.brokers import connection_of, initialise_topics, topics_of
from ingest.core.refusals import Refusal
from ingest.errors import QueueUnusable, Reason
from ingest.ports import DeadLetter, Message
from ingest.queues.kafka import (
    KafkaTopics,
    Outgoing,
    Producer,
    StoredDeadLetter,
    TopicNames,
    dead_letters,
)
from tests.kafka.topics import loaded, make_topics, put

Settings = dict[str, str]
NOW = datetime(2025, 11, 13, 12, 0, 0, 123_456, tzinfo=UTC)
MIB = 1024 * 1024


async def published(settings: Settings, *letters: DeadLetter) -> None:
    producer = Producer(connection_of(loaded(settings)))
    topics: TopicNames = topics_of(loaded(settings))
    await KafkaTopics(producer, topics, lambda: NOW).publish_dead_letters(letters)
    await producer.close()


async def read(settings: Settings) -> tuple[list[StoredDeadLetter], int]:
    """Every dead letter, and how many were said to come."""
    counts: list[int] = []
    topic = settings["TOPIC_DEAD_LETTERS"]
    letters = dead_letters(connection_of(loaded(settings)), topic, counts.append)
    found = [letter async for letter in letters]
    (count,) = counts
    return found, count


async def test_what_was_refused_is_read_back_with_reason_and_place(
    kafka_settings: Settings,
) -> None:
    await initialise_topics(loaded(kafka_settings), dry_run=False)
    whole = Refusal(Reason.MESSAGE_TOO_LARGE, "message", None, 1, bytes(3 * MIB))
    record = Refusal(Reason.OUT_OF_RANGE_HR, "hr_avg", 3, 1, b"\xff{}")
    await published(
        kafka_settings,
        DeadLetter(whole, Message(b"", None, "activity-events", 3, 17, b"")),
        DeadLetter(record, Message(b"", None, "health-snapshots", 0, 0, b"u1")),
    )
    found, count = await read(kafka_settings)
    assert count == 2
    by_reason = {letter.headers["reason"]: letter for letter in found}
    large = by_reason["MESSAGE_TOO_LARGE"]
    assert (large.key, large.value) == (None, bytes(3 * MIB))
    assert by_reason["OUT_OF_RANGE_HR"][1:] == (
        b"u1",
        b"\xff{}",
        {
            "reason": "OUT_OF_RANGE_HR",
            "field": "hr_avg",
            "topic": "health-snapshots",
            "partition": "0",
            "offset": "0",
            "time": "2025-11-13T12:00:00.123+00:00",
            "records": "1",
        },
    )


async def test_every_dead_letter_is_read_once_in_the_order_of_its_partition(
    kafka_settings: Settings,
) -> None:
    await initialise_topics(loaded(kafka_settings), dry_run=False)
    refusal = Refusal(Reason.INVALID_ID, "user_id", None, 1, b"")
    letters = [
        DeadLetter(
            refusal._replace(original=b"%d" % number + bytes(3000)),
            Message(b"", None, "a", 0, number, b"%d" % (number % 9)),
        )
        for number in range(2000)
    ]
    await published(kafka_settings, *letters)
    found, count = await read(kafka_settings)
    assert count == len(found) == 2000
    assert [letter.place for letter in found] == sorted(letter.place for letter in found)
    by_key: dict[bytes | None, list[int]] = {}
    for letter in found:
        by_key.setdefault(letter.key, []).append(int(letter.headers["offset"]))
    assert by_key == {b"%d" % key: list(range(key, 2000, 9)) for key in range(9)}


def test_what_others_wrote_there_is_read_too(kafka_settings: Settings) -> None:
    make_topics(kafka_settings)
    topic = kafka_settings["TOPIC_DEAD_LETTERS"]
    headers = [("reason", b"\xff"), ("other", b"1")]
    put(kafka_settings, [Outgoing(topic, b"a", None), Outgoing(topic, None, b"b", headers)])
    found, _ = asyncio.run(read(kafka_settings))
    assert {(letter.key, letter.value, letter.headers["reason"]) for letter in found} == {
        (b"a", b"", ""),
        (None, b"b", "\ufffd"),
    }


async def test_no_topic_of_dead_letters_is_one_clear_line(kafka_settings: Settings) -> None:
    with pytest.raises(QueueUnusable, match="is missing: run `ingest topics init`"):
        await read(kafka_settings)
