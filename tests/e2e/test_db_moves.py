"""`db export`, `db import` and `db erase`: what a store holds, moved or gone (DESIGN 9)."""

import gzip
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pymongo
import pytest

from ingest.stores.documents import COLLECTIONS, EVENTS, TOTALS, event_documents
from tests.e2e.conftest import DEADLINE_SECONDS, ENVIRONMENT, Ingest, eventually
from tests.e2e.mongodb import (
    LINES,
    Database,
    ended_well,
    export_of,
    fill,
    held_in,
    printed,
    settings_of,
)
from tests.stores.contents import event

pytestmark = pytest.mark.e2e

INTERRUPT_SECONDS = 3
MANY = 6_000  # documents: more than one page of a scan
Settings = dict[str, str]


@pytest.fixture
def settings(mongodb_uri: str, mongodb_database: str) -> Settings:
    return settings_of(mongodb_uri, mongodb_database)


@pytest.fixture
def client(mongodb_uri: str) -> Iterator["pymongo.MongoClient[dict]"]:
    with pymongo.MongoClient(mongodb_uri) as client:
        yield client


@pytest.fixture
def filled(settings: Settings, client) -> Database:
    """The database, filled."""
    fill(settings)
    return client[settings["MONGODB_DATABASE"]]


@pytest.fixture
def other(settings: Settings, client) -> Iterator[Settings]:
    """Settings that name a second database, empty."""
    name = f"{settings['MONGODB_DATABASE']}_other"
    yield {**settings, "MONGODB_DATABASE": name}
    client.drop_database(name)


def test_an_export_imported_into_another_database_is_all_of_it(
    ingest: Ingest, settings: Settings, other: Settings, filled: Database, client
) -> None:
    exported = ingest("db", "export", "x", "--json", **settings).summary()
    imported = ingest("db", "import", "x", "--json", **other).summary()
    documents = sum(exported["counts"].values())
    assert exported["counts"] == {name: len(held_in(filled)[name]) for name in COLLECTIONS}
    assert imported == {
        "file": exported,
        "stored": exported,
        "new": documents,
        "differing_lines": [],
        "is_whole": True,
    }
    mine, theirs = held_in(filled), held_in(client[other["MONGODB_DATABASE"]])
    for name in COLLECTIONS:
        assert sorted(theirs[name], key=id_of) == sorted(mine[name], key=id_of)
    assert ended_well(ingest("db", "verify", **other)) == "5 days, 0 differ\n"
    assert ingest.files() == {"x"}


def id_of(document) -> str:
    return document["_id"]


def test_importing_again_says_that_nothing_is_new(
    ingest: Ingest, settings: Settings, filled: Database
) -> None:
    ended_well(ingest("db", "export", "x", **settings))
    before = held_in(filled)
    in_file, in_store, last = ended_well(ingest("db", "import", "x", **settings)).splitlines()
    assert in_file.removeprefix("in the file:") == in_store.removeprefix("in the store:")
    assert last == "0 were new; all is there"
    assert held_in(filled) == before


def test_a_document_that_differs_is_named_left_alone_and_ends_with_1(
    ingest: Ingest, settings: Settings, filled: Database
) -> None:
    ended_well(ingest("db", "export", "x", **settings))
    filled[EVENTS].update_one({"user_id": "u10", "steps": 44}, {"$set": {"steps": 45}})
    filled[TOTALS].delete_many({})
    done = ingest("db", "import", "x", **settings)
    assert done.status == 1
    number = next(n for n, line in enumerate(ingest.read("x"), 1) if steps_in(line) == 44)
    first, *_, last = done.out.splitlines()
    assert first.startswith(f"line {number}: the store holds another document")
    assert last == "5 were new; they differ"
    assert filled[EVENTS].count_documents({"steps": 45}) == 1


def steps_in(line) -> int | None:
    return line.get("document", {}).get("steps")


def test_a_replay_in_memory_moves_into_mongodb_by_its_export(
    ingest: Ingest, settings: Settings, client
) -> None:
    ingest.write("lines", LINES)
    ended_well(ingest("replay", "lines", "--json", "--export", "x", "--totals", "t"))
    ended_well(ingest("db", "import", "x", **settings))
    assert ended_well(ingest("db", "verify", **settings)) == "5 days, 0 differ\n"
    (*found,) = client[settings["MONGODB_DATABASE"]][TOTALS].find()
    written = {f"{total['user_id']}|{total['date']}": total["steps"] for total in ingest.read("t")}
    assert {total["_id"]: total["steps"] for total in found} == written
    own = [total for total in ingest.read("t") if total["user_id"] == "u2"]
    assert printed(ingest("totals", "u2", "--json", **settings)) == own


@pytest.mark.parametrize("name", ["x.gz", "-"])
def test_an_import_reads_a_gzipped_file_and_standard_input(
    ingest: Ingest, settings: Settings, name: str
) -> None:
    whole = export_of(LINES, ingest.folder / "x")
    ingest.write("x.gz", gzip.compress(whole))
    done = ingest("db", "import", name, stdin=whole if name == "-" else b"", **settings)
    assert ended_well(done).endswith("were new; all is there\n")


def test_a_replay_goes_on_behind_an_import(ingest: Ingest, settings: Settings) -> None:
    """What was accepted before the move is a duplicate after it, keys and conflicts included."""
    ingest.write("lines", LINES)
    export_of(LINES, ingest.folder / "x")
    ended_well(ingest("db", "import", "x", **settings))
    summary = ingest("replay", "lines", "--json", **settings).summary()
    assert (summary["accepted"], summary["corrected"], summary["conflicts"]) == (0, 0, 1)
    assert ingest("db", "verify", **settings).status == 0


def test_a_broken_file_is_one_line_that_names_the_line(ingest: Ingest, settings: Settings) -> None:
    lines = export_of(LINES, ingest.folder / "x").splitlines(keepends=True)
    ingest.write("broken", b"".join([*lines[:3], b"no JSON\n", *lines[4:]]))
    ingest.write("short", b"".join(lines[:3]))
    for name, expected in (("broken", "broken, line 4: not JSON"), ("short", "short ends early")):
        done = ingest("db", "import", name, **settings)
        assert (done.status, done.out) == (2, "")
        assert done.err.startswith(f"ingest: {expected}")
        assert len(done.err.splitlines()) == 1


def test_a_wrong_checksum_ends_with_1(ingest: Ingest, settings: Settings) -> None:
    whole = export_of(LINES, ingest.folder / "x")
    ingest.write("x", whole.replace(b'"checksum":"', b'"checksum":"0'))
    done = ingest("db", "import", "x", **settings)
    assert done.status == 1
    assert done.out.splitlines()[-1].endswith("they differ")


def test_an_export_that_is_killed_goes_on_and_is_whole_in_the_end(
    ingest: Ingest, settings: Settings, client
) -> None:
    fill(settings, b"")
    rows = (event(user_id=f"u{number:05d}") for number in range(MANY))
    client[settings["MONGODB_DATABASE"]][EVENTS].insert_many(event_documents(rows))
    ended_well(ingest("db", "export", "undisturbed", **settings))
    size = killed_within_an_export(ingest, settings)
    assert size > 1_000
    assert "x" not in ingest.files()
    ended_well(ingest("db", "export", "x", **settings))
    assert ingest.files() == {"undisturbed", "x"}
    undisturbed = (ingest.folder / "undisturbed").read_bytes()
    assert size < len(undisturbed)
    assert (ingest.folder / "x").read_bytes() == undisturbed


def killed_within_an_export(ingest: Ingest, settings: Settings) -> int:
    """Kill an export when some of it is written; how many bytes are there then."""
    partial, whole = ingest.folder / "x.partial", ingest.folder / "x"
    for _ in range(9):
        with ingest.started("db", "export", "x", environment={**ENVIRONMENT, **settings}) as run:
            eventually(lambda: is_begun(partial) or whole.exists())
            run.kill()
            run.wait(DEADLINE_SECONDS)
        if partial.exists():
            return partial.stat().st_size
        whole.unlink()  # this machine was too slow to see it in time
    raise AssertionError("every export was done before it could be killed")


def is_begun(partial: Path) -> bool:
    try:
        return partial.stat().st_size > 1_000
    except FileNotFoundError:
        return False


def test_a_partial_file_of_another_replay_is_not_taken_for_its_own(ingest: Ingest) -> None:
    before = export_of(LINES, ingest.folder / "x").splitlines(keepends=True)
    ingest.write("x.partial", b"".join(before[:3]))
    ended_well(
        ingest("replay", "-", "--json", "--export", "x", stdin=LINES.splitlines()[3] + b"\n")
    )
    users = {line["document"]["user_id"] for line in ingest.read("x")[1:-1]}
    assert users == {"u1-"}
    assert ingest.files() == {"x"}


@pytest.mark.parametrize("arguments", [["db", "export"], ["replay", "lines", "--export"]], ids=str)
def test_an_export_never_replaces_a_pipe_or_device(ingest: Ingest, arguments: list[str]) -> None:
    ingest.write("lines", LINES)
    os.mkfifo(ingest.folder / "pipe")
    done = ingest(*arguments, "pipe")
    assert done.status == 2
    assert "cannot write pipe: it is no regular file" in done.err
    assert (ingest.folder / "pipe").is_fifo()


def test_ctrl_c_within_an_import_does_not_say_that_nothing_was_written(
    ingest: Ingest, settings: Settings, client
) -> None:
    environment, database = {**ENVIRONMENT, **settings}, client[settings["MONGODB_DATABASE"]]
    with ingest.started("db", "import", "-", environment=environment) as process:
        process.stdin.write(b'{"ingest_export":1}\n')
        process.stdin.flush()
        eventually(lambda: "schema_migrations" in database.list_collection_names())
        interrupt(process)
        out, err = process.communicate()
    assert (process.returncode, out) == (130, b"")
    assert err == b"ingest: interrupted before it was done\n"


def interrupt(process: "subprocess.Popen[bytes]") -> None:
    """Press Ctrl-C, and again if nothing came of it; return when the process has ended.

    PyMongo's asyncio client may swallow the first, if it comes within an operation.
    """
    for _ in range(DEADLINE_SECONDS // INTERRUPT_SECONDS):
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(INTERRUPT_SECONDS)
            return
    raise AssertionError("it does not end")
