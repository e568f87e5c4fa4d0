"""`db erase`: all of a user and nobody else, and only if it was meant (DESIGN section 9)."""

import os
import pty
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest

from ingest.stores.documents import COLLECTIONS
from tests.e2e.conftest import DEADLINE_SECONDS, ENVIRONMENT, Finished, Ingest
from tests.e2e.mongodb import Database, ended_well, fill, held_in, settings_of
from tests.e2e.test_mongodb_bad_input import is_one_clear_line
from tests.kafka.topics import make_topics, records_in
from tests.mongodb import free_port

pytestmark = pytest.mark.e2e

Settings = dict[str, str]


@pytest.fixture
def settings(mongodb_uri: str, mongodb_database: str) -> Settings:
    return settings_of(mongodb_uri, mongodb_database)


@pytest.fixture
def filled(settings: Settings, mongodb_uri: str) -> Iterator[Database]:
    """The database, filled."""
    fill(settings)
    with pymongo.MongoClient(mongodb_uri) as client:
        yield client[settings["MONGODB_DATABASE"]]


def test_erase_deletes_all_of_a_user_and_nobody_else(
    ingest: Ingest, settings: Settings, filled: Database
) -> None:
    before = held_in(filled)
    done = ingest("db", "erase", "u1", "--yes", "--json", **settings)
    counts = {name: len(of_user(before[name], "u1")) for name in COLLECTIONS}
    assert done.summary() == counts
    assert counts == dict(zip(COLLECTIONS, (3, 3, 1, 0), strict=True))
    left = {name: [d for d in own if d.get("user_id") != "u1"] for name, own in before.items()}
    assert held_in(filled) == left
    assert ended_well(ingest("totals", "u1", **settings)) == "nothing found\n"
    assert ingest("db", "verify", **settings).status == 0


def of_user(documents: list[dict[str, Any]], user: str) -> list[dict[str, Any]]:
    return [document for document in documents if document.get("user_id") == user]


def test_erase_deletes_keys_too_and_twice_deletes_nothing(
    ingest: Ingest, settings: Settings, filled: Database
) -> None:
    expected = "2 activity_events, 0 health_snapshots, 1 daily_totals, 1 idempotency_keys"
    assert ended_well(ingest("db", "erase", "u10", "--yes", **settings)) == f"erased: {expected}\n"
    zeros = ", ".join(f"0 {name}" for name in COLLECTIONS)
    before = held_in(filled)
    assert ended_well(ingest("db", "erase", "u10", "--yes", **settings)) == f"erased: {zeros}\n"
    assert held_in(filled) == before


@pytest.mark.parametrize("stdin", [b"", b"y\n"])
def test_without_a_terminal_to_ask_on_nothing_is_erased(
    ingest: Ingest, settings: Settings, filled: Database, stdin: bytes
) -> None:
    before = held_in(filled)
    done = ingest("db", "erase", "u1", stdin=stdin, **settings)
    assert (done.status, done.out) == (2, "")
    assert done.err == "ingest: nothing was erased: no terminal to ask on, so say --yes\n"
    assert held_in(filled) == before


def test_with_standard_input_closed_nothing_is_erased(
    ingest: Ingest, settings: Settings, filled: Database
) -> None:
    before = held_in(filled)
    done = ingest.shell("ingest db erase u1 <&-", **settings)
    assert (done.status, done.out) == (2, "")
    assert "nothing was erased" in done.err
    assert held_in(filled) == before


def answered(ingest: Ingest, settings: Settings, answer: bytes) -> Finished:
    """What comes of an erasure that is asked about on a terminal."""
    ours, theirs = pty.openpty()
    environment = {**ENVIRONMENT, **settings}
    with ingest.started(
        "db", "erase", "u1", "--json", environment=environment, stdin=theirs
    ) as process:
        os.close(theirs)
        os.write(ours, answer)
        out, err = process.communicate(timeout=DEADLINE_SECONDS)
    os.close(ours)
    return Finished(process.returncode, out.decode(), err.decode())


@pytest.mark.parametrize("answer", [b"n\n", b"\n"])
def test_any_answer_but_yes_erases_nothing(
    ingest: Ingest, settings: Settings, filled: Database, answer: bytes
) -> None:
    before = held_in(filled)
    done = answered(ingest, settings, answer)
    assert (done.status, done.out) == (1, "")
    assert "Delete all there is of u1? [y/N]" in done.err
    assert done.err.endswith("nothing was erased\n")
    assert held_in(filled) == before


def test_yes_erases_and_leaves_standard_output_to_the_counts(
    ingest: Ingest, settings: Settings, filled: Database
) -> None:
    done = answered(ingest, settings, b"y\n")
    assert done.status == 0
    assert done.summary()["activity_events"] == 3
    assert of_user(held_in(filled)["activity_events"], "u1") == []


def test_an_id_that_is_none_is_a_usage_error(ingest: Ingest) -> None:
    done = ingest("db", "erase", "u|1", "--yes")
    assert (done.status, done.out) == (2, "")
    assert "is not an id" in done.err


@pytest.fixture
def published(
    ingest: Ingest, settings: Settings, filled: Database, kafka_settings: Settings
) -> Settings:
    """The settings of the database and of a broker that has its totals."""
    both = settings | kafka_settings
    make_topics(both)
    ended_well(ingest("db", "republish", **both))
    return both


def published_of(user: str, settings: Settings) -> dict[bytes, bool]:
    """Whether a reader still has a total, for each key of a user in the topic."""
    records = records_in(settings, settings["TOPIC_DAILY_TOTALS"])
    values = {record.key: record.value for record in records}
    opening = f"{user}|".encode()
    return {key: bool(value) for key, value in values.items() if key.startswith(opening)}


def test_where_kafka_is_set_the_totals_are_deleted_from_their_topic_too(
    ingest: Ingest, published: Settings, filled: Database
) -> None:
    dates = ["2025-11-13", "2025-11-14"]
    assert published_of("u2", published) == {f"u2|{date}".encode(): True for date in dates}
    done = ingest("db", "erase", "u2", "--yes", **published)
    assert ended_well(done).endswith(", 2 daily_totals, 0 idempotency_keys, 2 tombstones\n")
    assert published_of("u2", published) == {f"u2|{date}".encode(): False for date in dates}
    assert all(published_of("u1", published).values())
    assert of_user(held_in(filled)["daily_totals"], "u2") == []
    done = ingest("db", "erase", "u2", "--yes", "--json", **published)
    assert done.summary() == {**dict.fromkeys(COLLECTIONS, 0), "tombstones": 0}


def test_without_tombstones_the_topic_is_left_as_it_is(ingest: Ingest, published: Settings) -> None:
    done = ingest("db", "erase", "u1", "--yes", "--no-tombstones", "--json", **published)
    assert "tombstones" not in done.summary()
    assert published_of("u1", published) == {b"u1|2025-11-13": True}


@pytest.mark.parametrize("options", [[], ["--tombstones"]])
def test_without_the_broker_nothing_is_erased(
    ingest: Ingest, settings: Settings, filled: Database, options: list[str]
) -> None:
    before = held_in(filled)
    away = {**settings, "KAFKA_BROKERS": f"127.0.0.1:{free_port()}"}
    done = ingest("db", "erase", "u1", "--yes", *options, **away)
    assert is_one_clear_line(done, 3)
    assert held_in(filled) == before


def test_without_the_topic_nothing_is_erased(
    ingest: Ingest, settings: Settings, filled: Database, kafka_settings: Settings
) -> None:
    before = held_in(filled)
    done = ingest("db", "erase", "u1", "--yes", **settings, **kafka_settings)
    assert is_one_clear_line(done, 2)
    assert "missing: run `ingest topics init`" in done.err
    assert held_in(filled) == before
