"""`db republish`: every stored total is the last of its key in `daily-totals` again."""

import asyncio
from datetime import timedelta
from typing import Any

import orjson
import pymongo
import pytest

from ingest.core.documents import total_message
from ingest.core.records import day_id
from ingest.stores.mongo import opened_to_read
from tests.batches import TTL, totals_of
from tests.core.messages import NOW
from tests.e2e.conftest import Ingest
from tests.e2e.mongodb import LINES, ended_well, fill, settings_of, shown_on_a_terminal
from tests.e2e.test_mongodb_bad_input import is_one_clear_line
from tests.kafka.topics import make_topics, records_in
from tests.lines import DATE, event, events
from tests.mongodb import connection_to, free_port, wanted

pytestmark = pytest.mark.e2e

Settings = dict[str, str]
MOVED = events(event(3, 1), user="u9") + events(
    {"ts": "2025-11-12T23:03:00-01:00", "steps": 1, "version": 1}, user="u9"
)  # the first one's day keeps a total of nothing


@pytest.fixture
def unmade(mongodb_uri: str, mongodb_database: str, kafka_settings: Settings) -> Settings:
    settings = settings_of(mongodb_uri, mongodb_database) | kafka_settings
    fill(settings, LINES + MOVED)
    return settings


@pytest.fixture
def settings(unmade: Settings) -> Settings:
    make_topics(unmade)
    return unmade


def stored(settings: Settings) -> dict[bytes, dict[str, Any]]:
    """Each stored total as its message, by key."""

    async def loading() -> dict[bytes, dict[str, Any]]:
        connection = connection_to(settings["MONGODB_URI"], settings["MONGODB_DATABASE"])
        async with opened_to_read(connection, wanted(TTL)) as store:
            return {
                day_id(day).encode(): orjson.loads(orjson.dumps(total_message(total)))
                for day, total in (await totals_of(store)).items()
            }

    return asyncio.run(loading())


def published(settings: Settings) -> dict[bytes, dict[str, Any]]:
    """The last message of each key of the topic."""
    records = records_in(settings, settings["TOPIC_DAILY_TOTALS"])
    return {record.key: orjson.loads(record.value) for record in records}


def test_every_total_is_sent_even_those_of_nothing(ingest: Ingest, settings: Settings) -> None:
    totals = stored(settings)
    assert any(not total["devices"] for total in totals.values())
    done = ingest("db", "republish", **settings)
    assert ended_well(done) == f"{len(totals)} totals sent\n"
    assert published(settings) == totals
    done = ingest("db", "republish", "--json", **settings)
    assert done.summary() == {"totals": len(totals)}


def test_only_what_was_updated_since_then_is_sent(ingest: Ingest, settings: Settings) -> None:
    since = NOW + timedelta(seconds=1, milliseconds=5)
    with pymongo.MongoClient(settings["MONGODB_URI"]) as client:
        totals = client[settings["MONGODB_DATABASE"]]["daily_totals"]
        for user, updated_at in {"u1": since, "u10": since - timedelta(milliseconds=1)}.items():
            changed = {"$set": {"updated_at": updated_at}}
            totals.update_one({"_id": f"{user}|{DATE}"}, changed)
    text = since.replace(microsecond=5_999).isoformat()  # stored times have no microseconds
    done = ingest("db", "republish", "--since", text, **settings)
    assert ended_well(done) == "1 totals sent\n"
    assert [*published(settings)] == [f"u1|{DATE}".encode()]


def test_only_those_of_a_user_are_sent(ingest: Ingest, settings: Settings) -> None:
    own = {key for key in stored(settings) if key.startswith(b"u2|")}
    done = ingest("db", "republish", "--user", "u2", **settings)
    assert ended_well(done) == f"{len(own)} totals sent\n"
    assert {*published(settings)} == own


def test_a_bar_shows_on_a_terminal_only(ingest: Ingest, settings: Settings) -> None:
    status, shown = shown_on_a_terminal(ingest, "db", "republish", **settings)
    assert (status, b"totals" in shown) == (0, True)


def test_what_is_wrong_is_one_clear_line(ingest: Ingest, unmade: Settings) -> None:
    done = ingest("db", "republish", **unmade)
    assert is_one_clear_line(done, 2)
    assert "is missing: run `ingest topics init`" in done.err
    away = {**unmade, "KAFKA_BROKERS": f"127.0.0.1:{free_port()}"}
    assert is_one_clear_line(ingest("db", "republish", **away), 3)
    done = ingest("db", "republish", "--since", "yesterday", **unmade)
    assert (done.status, done.out) == (2, "")
    assert "is not a time" in done.err
