"""`dead-letters`: what was refused is shown and sent again, and stays where it is."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from ingest.brokers import connection_of, topics_of
from ingest.core.refusals import Refusal
from ingest.errors import Reason
from ingest.ports import DeadLetter, Message
from ingest.queues.kafka import KafkaTopics, Producer
from tests.e2e.conftest import Ingest
from tests.e2e.mongodb import ended_well, printed
from tests.e2e.test_mongodb_bad_input import is_one_clear_line
from tests.kafka.topics import loaded, make_topics, pairs_in
from tests.mongodb import free_port

pytestmark = pytest.mark.e2e

Settings = dict[str, str]
NOON = datetime(2025, 11, 13, 12, tzinfo=UTC)
HEART_RATE = b'{"user_id":"u1","events":[{"ts":"2025-11-13T07:00:00Z","hr_avg":777}]}'


@pytest.fixture
def settings(kafka_settings: Settings) -> Settings:
    make_topics(kafka_settings)
    return kafka_settings


@pytest.fixture
def activity(settings: Settings) -> str:
    return settings["TOPIC_ACTIVITY_EVENTS"]


def refuse(settings: Settings, *letters: DeadLetter) -> None:
    """Put these where a worker puts them, one a second from noon on."""

    async def refusing() -> None:
        producer = Producer(connection_of(loaded(settings)))
        for second, letter in enumerate(letters):
            at = NOON + timedelta(seconds=second)
            topics = KafkaTopics(producer, topics_of(loaded(settings)), lambda at=at: at)
            await topics.publish_dead_letters([letter])
        await producer.close()

    asyncio.run(refusing())


def letter(
    topic: str, original: bytes, reason: Reason = Reason.OUT_OF_RANGE_HR, key: bytes = b"u1"
) -> DeadLetter:
    return DeadLetter(
        Refusal(reason, "hr_avg", None, 1, original), Message(b"", None, topic, 2, 17, key)
    )


def test_the_table_shows_reason_and_place_but_nothing_that_was_measured(
    ingest: Ingest, settings: Settings, activity: str
) -> None:
    refuse(settings, letter(activity, HEART_RATE), letter("x", b"", Reason.INVALID_ID))
    shown = ended_well(ingest("dead-letters", "list", **settings))
    heading, _, *rows = [line.split() for line in shown.splitlines() if line.strip()]
    names = ["time", "reason", "field", "topic", "partition", "offset", "records", "bytes"]
    assert heading == names
    at = "2025-11-13T12:00:0{}.000+00:00"
    size = str(len(HEART_RATE))
    assert rows == [
        [at.format(0), "OUT_OF_RANGE_HR", "hr_avg", activity, "2", "17", "1", size],
        [at.format(1), "INVALID_ID", "hr_avg", "x", "2", "17", "1", "0"],
    ]
    assert "777" not in shown


def test_json_has_the_originals_as_text_or_else_in_base64(
    ingest: Ingest, settings: Settings, activity: str
) -> None:
    refuse(settings, letter(activity, HEART_RATE), letter(activity, b"\xff", key=b""))
    done = ingest("dead-letters", "list", "--json", **settings)
    text, other = sorted(printed(done), key=lambda document: document["time"])
    assert (text["original"], text["key"]) == (HEART_RATE.decode(), "u1")
    assert (text["partition"], text["offset"], text["bytes"]) == (2, 17, len(HEART_RATE))
    assert (other["original_base64"], other["key"]) == ("/w==", None)
    assert "original" not in other


def test_a_list_is_of_a_reason_behind_a_time_and_of_the_last(
    ingest: Ingest, settings: Settings
) -> None:
    reasons = [Reason.INVALID_ID, Reason.INVALID_RECORD]
    letters = [
        letter("t", b"%d" % number, reasons[number % 2], key=b"%d" % number) for number in range(10)
    ]
    refuse(settings, *letters)

    def originals(*options: str) -> list[str]:
        done = ingest("dead-letters", "list", "--json", *options, **settings)
        assert done.status == 0
        return [document["original"] for document in printed(done)]

    assert sorted(originals()) == [str(number) for number in range(10)]
    assert originals("--limit", "3") == ["7", "8", "9"]
    assert sorted(originals("--reason", "INVALID_ID")) == ["0", "2", "4", "6", "8"]
    after = ["--after", "2025-11-13T13:00:06+01:00"]
    assert sorted(originals(*after)) == ["7", "8", "9"]
    assert originals("--reason", "INVALID_ID", *after) == ["8"]
    shown = ended_well(ingest("dead-letters", "list", "--limit", "4", **settings))
    assert shown.endswith("... and 6 more; --json has them all\n")
    assert shown.count("INVALID_") == 4


def test_a_replay_sends_the_originals_to_where_they_came_from_and_keeps_the_letters(
    ingest: Ingest, settings: Settings, activity: str
) -> None:
    health = settings["TOPIC_HEALTH_SNAPSHOTS"]
    large = bytes(2 * 1024 * 1024)
    refuse(
        settings,
        letter(activity, HEART_RATE),
        letter(activity, HEART_RATE),
        letter(activity, HEART_RATE, key=b"u2"),
        letter(activity, large, key=b""),
        letter(health, b"\xff"),
        letter(settings["TOPIC_DAILY_TOTALS"], b"no input"),
        letter("of another", b"foreign"),
    )
    before = pairs_in(settings, settings["TOPIC_DEAD_LETTERS"])
    replay = ["dead-letters", "replay"]
    assert ended_well(ingest(*replay, "--dry-run", **settings)) == (
        "4 dead letters would be sent again\n"
        "1 repeat others and were left out\n"
        "2 came from another topic and were left out\n"
    )
    assert pairs_in(settings, activity) == []
    done = ingest(*replay, "--json", **settings)
    assert done.summary() == {"sent": 4, "repeated": 1, "foreign": 2}
    sent = [(None, large), (b"u1", HEART_RATE), (b"u2", HEART_RATE)]
    assert pairs_in(settings, activity) == sent
    assert pairs_in(settings, health) == [(b"u1", b"\xff")]
    assert pairs_in(settings, settings["TOPIC_DAILY_TOTALS"]) == []
    assert pairs_in(settings, settings["TOPIC_DEAD_LETTERS"]) == before


def test_a_replay_is_of_a_reason_behind_a_time(
    ingest: Ingest, settings: Settings, activity: str
) -> None:
    reasons = [Reason.INVALID_ID, Reason.INVALID_RECORD] * 2
    refuse(settings, *(letter(activity, b"%d" % n, reason) for n, reason in enumerate(reasons)))
    options = ["--reason", "INVALID_ID", "--after", "2025-11-13T12:00:00Z"]
    done = ingest("dead-letters", "replay", *options, **settings)
    assert ended_well(done) == "1 dead letters sent again\n"
    assert pairs_in(settings, activity) == [(b"u1", b"2")]


def test_no_dead_letters_are_nothing_found(ingest: Ingest, settings: Settings) -> None:
    assert ended_well(ingest("dead-letters", "list", **settings)) == "nothing found\n"
    assert ended_well(ingest("dead-letters", "list", "--json", **settings)) == ""


@pytest.mark.parametrize("command", ["list", "replay"])
def test_what_is_wrong_is_one_clear_line(
    ingest: Ingest, kafka_settings: Settings, command: str
) -> None:
    done = ingest("dead-letters", command, **kafka_settings)
    assert is_one_clear_line(done, 2)
    assert "missing: run `ingest topics init`" in done.err
    away = {"KAFKA_BROKERS": f"127.0.0.1:{free_port()}"}
    assert is_one_clear_line(ingest("dead-letters", command, **away), 3)
    done = ingest("dead-letters", command, "--reason", "NONE")
    assert (done.status, done.out) == (2, "")
    assert "'NONE' is not one of" in done.err
