"""`ingest totals`, `deltas`, `events` on MongoDB, and `db verify` and `rebuild` (DESIGN 9)."""

from collections.abc import Iterator
from typing import Any

import pymongo
import pytest

from ingest.stores.documents import EVENTS, TOTALS
from tests.e2e.conftest import Ingest
from tests.e2e.mongodb import (
    LINES,
    USERS,
    Database,
    ended_well,
    export_of,
    fill,
    held_in,
    printed,
    settings_of,
    shown_on_a_terminal,
)
from tests.lines import DATE

pytestmark = pytest.mark.e2e

DAY = f"u1|{DATE}"
EMPTY = "the store in memory is empty when a command starts"


@pytest.fixture
def settings(mongodb_uri: str, mongodb_database: str) -> dict[str, str]:
    return settings_of(mongodb_uri, mongodb_database)


@pytest.fixture
def database(settings: dict[str, str], mongodb_uri: str) -> Iterator[Database]:
    """The database, filled."""
    fill(settings)
    with pymongo.MongoClient(mongodb_uri) as client:
        yield client[settings["MONGODB_DATABASE"]]


def without_time(total: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in total.items() if name != "updated_at"}


def rows_of(table: str, user: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines() if line.startswith(f" {user} ")]


def test_totals_read_back_are_those_of_a_replay_in_memory(
    ingest: Ingest, settings: dict[str, str]
) -> None:
    ingest.write("lines", LINES)
    table = ended_well(ingest("replay", "lines", "--totals", "totals"))
    ended_well(ingest("replay", "lines", "--store", "mongodb", "--json", **settings))
    totals = ingest.read("totals")
    assert {total["user_id"] for total in totals} == {*USERS}
    for user in USERS:
        own = [without_time(total) for total in totals if total["user_id"] == user]
        done = ingest("totals", user, "--json", **settings)
        assert [*map(without_time, printed(done))] == own
    shown = ended_well(ingest("totals", "u2", **settings))
    assert rows_of(shown, "u2") == rows_of(table, "u2")
    assert len(rows_of(shown, "u2")) == 2


def test_deltas_read_back_are_those_of_a_replay_in_memory(
    ingest: Ingest, settings: dict[str, str], database: Database
) -> None:
    ingest.write("lines", LINES)
    ended_well(ingest("replay", "lines", "--deltas", "deltas", "--json"))
    own = [delta for delta in ingest.read("deltas") if delta["user_id"] == "u1"]
    assert printed(ingest("deltas", "u1", DATE, "--json", **settings)) == own
    assert [delta["kind"] for delta in own] == ["bootstrap", "increment", "reset"]
    table = ended_well(ingest("deltas", "u1", DATE, **settings))
    cells = [[delta["kind"], str(delta["steps_delta"])] for delta in own]
    assert [row.split()[2:4] for row in table.splitlines() if " watch " in row] == cells


def test_events_read_back_are_the_ones_that_were_accepted(
    ingest: Ingest, settings: dict[str, str], database: Database
) -> None:
    found = printed(ingest("events", "u1", "--json", **settings))
    assert [(e["ts"][11:16], e["steps"], e["version"]) for e in found] == [
        ("00:00", 12, 1),
        ("00:01", 10, 0),
        ("01:01", 10, 0),
    ]
    assert (found[0]["calories_out"], found[1]["hr_avg"]) == (None, 61.5)
    table = ended_well(ingest("events", "u1", **settings))
    assert len([row for row in table.splitlines() if " a.b " in row]) == 3


@pytest.mark.parametrize("command", [["totals", "u1"], ["deltas", "u1", DATE], ["events", "u1"]])
def test_another_user_finds_nothing(
    ingest: Ingest, settings: dict[str, str], database: Database, command: list[str]
) -> None:
    nobody = [command[0], "u", *command[2:]]
    assert ended_well(ingest(*nobody, **settings)) == "nothing found\n"


def test_verify_finds_nothing_after_a_replay(
    ingest: Ingest, settings: dict[str, str], database: Database
) -> None:
    assert ended_well(ingest("db", "verify", **settings)) == "5 days, 0 differ\n"
    assert ended_well(ingest("db", "verify", "--user", "u2", "--json", **settings)) == ""


def test_verify_prints_the_day_that_differs_and_ends_with_1(
    ingest: Ingest, settings: dict[str, str], database: Database
) -> None:
    right = database[TOTALS].find_one({"_id": DAY})["steps"]
    database[TOTALS].update_one({"_id": DAY}, {"$set": {"steps": 4711}})
    before = held_in(database)
    done = ingest("db", "verify", **settings)
    assert (done.status, done.err) == (1, "")
    day, summary = done.out.splitlines()
    assert day == f"u1 {DATE}: steps: stored 4711, from the log {right}"
    assert summary == "5 days, 1 differ: run `ingest db rebuild`"
    done = ingest("db", "verify", "--json", **settings)
    assert done.status == 1
    assert done.summary() == {"user_id": "u1", "date": DATE, "differs": {"steps": [4711, right]}}
    assert held_in(database) == before


def test_verify_of_a_user_looks_at_nobody_else(
    ingest: Ingest, settings: dict[str, str], database: Database
) -> None:
    database[TOTALS].delete_one({"_id": DAY})
    assert ingest("db", "verify", "--user", "u10", **settings).status == 0
    done = ingest("db", "verify", "--user", "u1", **settings)
    assert done.status == 1
    assert "steps: stored nothing" in done.out


def test_a_dry_run_of_rebuild_says_what_differs_and_changes_nothing(
    ingest: Ingest, settings: dict[str, str], database: Database
) -> None:
    database[TOTALS].update_one({"_id": DAY}, {"$set": {"steps": 4711}})
    before = held_in(database)
    out = ended_well(ingest("db", "rebuild", "--dry-run", **settings))
    assert out.splitlines()[0].startswith(f"u1 {DATE}: steps: stored 4711")
    assert out.splitlines()[-1] == "5 days, 1 differ"
    assert held_in(database) == before


def test_rebuild_repairs_what_differs_and_touches_nothing_else(
    ingest: Ingest, settings: dict[str, str], database: Database
) -> None:
    right = held_in(database)
    database[TOTALS].update_one({"_id": DAY}, {"$set": {"steps": 4711}})
    database[TOTALS].delete_one({"_id": f"u1-|{DATE}"})
    out = ended_well(ingest("db", "rebuild", **settings))
    assert out.splitlines()[-1] == "5 days, 2 rebuilt"
    mended = held_in(database)
    assert [*map(repaired, mended[TOTALS])] == [*map(repaired, right[TOTALS])]
    assert {d["_id"]: d["revision"] for d in mended[TOTALS]} == {
        d["_id"]: d["revision"] + (d["_id"] == DAY) for d in right[TOTALS]
    }
    assert mended | {TOTALS: None} == right | {TOTALS: None}
    assert ended_well(ingest("db", "rebuild", **settings)) == "5 days, 0 rebuilt\n"
    assert ingest("db", "verify", **settings).status == 0


def repaired(total: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in total.items() if name not in ("updated_at", "revision")}


def test_rebuild_of_a_user_touches_nobody_else(
    ingest: Ingest, settings: dict[str, str], database: Database
) -> None:
    database[TOTALS].update_many({}, {"$set": {"steps": 4711}})
    others = [*database[TOTALS].find({"user_id": {"$ne": "u1"}})]
    done = ingest("db", "rebuild", "--user", "u1", "--json", **settings)
    assert ended_well(done)
    assert [line["user_id"] for line in printed(done)] == ["u1"]
    assert [*database[TOTALS].find({"user_id": {"$ne": "u1"}})] == others
    assert database[TOTALS].find_one({"_id": DAY})["steps"] != 4711


def test_a_record_behind_the_back_of_the_pipeline_is_found_and_counted(
    ingest: Ingest, settings: dict[str, str], database: Database
) -> None:
    database[EVENTS].delete_one({"_id": {"$regex": r"^u10\|"}, "steps": 44})
    assert ingest("db", "verify", **settings).status == 1
    ended_well(ingest("db", "rebuild", **settings))
    (total,) = printed(ingest("totals", "u10", "--json", **settings))
    assert (total["steps"], total["events_count"]) == (0, 1)


def test_other_settings_make_other_totals_which_rebuild_saves(
    ingest: Ingest, settings: dict[str, str], database: Database
) -> None:
    summed = {**settings, "DEVICE_MERGE": "sum"}
    assert ingest("db", "verify", **summed).status == 1
    ended_well(ingest("db", "rebuild", **summed))
    assert ingest("db", "verify", **summed).status == 0
    (total,) = printed(ingest("totals", "u1", "--json", **settings))
    assert total["steps"] == sum(device["steps"] for device in total["devices"].values())


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify"],
        ["rebuild"],
        ["export", "x"],
        ["import", "empty"],
        ["erase", "u1", "--yes"],
    ],
    ids=" ".join,
)
def test_on_the_store_in_memory_a_command_says_that_it_is_empty(
    ingest: Ingest, arguments: list[str]
) -> None:
    export_of(b"", ingest.folder / "empty")
    done = ingest("db", *arguments, REPOSITORY_BACKEND="inmemory")
    assert done.status == 0
    (line,) = done.err.splitlines()
    assert EMPTY in line


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["verify"], b"days"),
        (["export", "x"], b"documents"),
        (["import", "exported"], b"reading"),
    ],
    ids=str,
)
def test_a_bar_is_drawn_on_a_terminal(
    ingest: Ingest,
    settings: dict[str, str],
    database: Database,
    arguments: list[str],
    word: bytes,
) -> None:
    """And nowhere else: every other test here has none, and sees that nothing is drawn."""
    export_of(LINES, ingest.folder / "exported")
    status, shown = shown_on_a_terminal(ingest, "db", *arguments, **settings)
    assert status == 0
    assert word in shown
    assert b"\x1b" in shown
