"""What a user can mend about MongoDB is one clear line, and nothing is left half done by then."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo.database import Database
from pymongo.errors import WriteError

from ingest.stores.documents import COLLECTIONS, EVENTS, KEYS, SNAPSHOTS, TOTALS
from ingest.stores.mongo.migrations import MIGRATIONS, SCHEMA_VERSION
from tests.e2e.conftest import Finished, Ingest
from tests.lines import event, events, snapshot, snapshots
from tests.mongodb import free_port, running
from tests.proxy import proxied

pytestmark = pytest.mark.e2e

GOOD = events(event(0), event(1), idempotency_key="k1") + snapshots(snapshot(1))
PASSWORD = "pass-w0rd"  # noqa: S105 - of a server that lives for one test
REPLAY, INIT, TOTALS_OF = ["replay", "good"], ["db", "init"], ["totals", "u1"]
Documents = Database[dict[str, Any]]


def is_one_clear_line(done: Finished, status: int) -> bool:
    return (
        (done.status, done.out) == (status, "")
        and done.err.startswith("ingest: ")
        and done.err.endswith("\n")
        and done.err.count("\n") == 1
    )


def settings_of(uri: str, database: str = "ingest", **others: str) -> dict[str, str]:
    return {
        "REPOSITORY_BACKEND": "mongodb",
        "MONGODB_URI": uri,
        "MONGODB_DATABASE": database,
        "MONGODB_MIN_POOL_SIZE": "0",
        **others,
    }


@pytest.fixture
def settings(mongodb_uri: str, mongodb_database: str) -> dict[str, str]:
    return settings_of(mongodb_uri, mongodb_database)


@pytest.fixture
def database(mongodb_uri: str, mongodb_database: str) -> Iterator[Documents]:
    with pymongo.MongoClient(mongodb_uri) as client:
        yield client[mongodb_database]


@pytest.fixture(autouse=True)
def good(ingest: Ingest) -> str:
    return ingest.write("good", GOOD)


def contents(database: Documents) -> dict[str, tuple[Any, ...]]:
    """Every collection, with its options, its indexes, and how many documents it holds."""
    return {
        listed["name"]: (
            listed["type"],
            listed["options"],
            {} if listed["type"] == "view" else database[listed["name"]].index_information(),
            database[listed["name"]].count_documents({}),
        )
        for listed in database.list_collections()
        if not listed["name"].startswith("system.")
    }


def ttls(database: Documents) -> dict[str, Any]:
    """After how many seconds each index deletes, of those that do."""
    return {
        f"{name}.{index}": options["expireAfterSeconds"]
        for name in COLLECTIONS
        for index, options in database[name].index_information().items()
        if "expireAfterSeconds" in options
    }


@pytest.mark.parametrize(
    ("uri", "word"),
    [
        ("localhost:27017", "mongodb://"),
        ("mongodb://", "host"),
        ("mongodb://host:port", "Port"),
        (f"mongodb://user:{PASSWORD}", "escaped"),  # no host, so the password looks like a port
        (f"mongodb://user:p@{PASSWORD}@host", "percent-encoded"),
        (f"mongodb://user:p/{PASSWORD}@host", "percent-encoded"),
        (f"mongodb://user:{PASSWORD}@host/?unknown={PASSWORD}", "option"),
        ("mongodb://host/?unknown=1", "option"),
        ("mongodb://user:${NOT_SET}@host", "${NOT_SET}"),
        ("mongodb://host/?w=1", "durable"),
        ("mongodb://host/?readPreference=secondary", "readPreference"),
        ("mongodb://host/?tls=true&tlsCAFile=/nowhere", "not readable"),
    ],
)
def test_a_wrong_address_is_one_line_that_shows_no_password(
    ingest: Ingest, uri: str, word: str
) -> None:
    done = ingest(*REPLAY, **settings_of(uri, MONGODB_TIMEOUT_SECONDS="1"))
    assert is_one_clear_line(done, 2), done
    assert done.err.startswith("ingest: MONGODB_URI")
    assert word in done.err
    assert PASSWORD not in done.err


@pytest.mark.parametrize(
    "command",
    [
        *(REPLAY, TOTALS_OF, ["deltas", "u1", "2025-11-13"], ["events", "u1"], INIT),
        *(["db", "verify"], ["db", "rebuild"], ["db", "export", "out"], ["db", "import", "good"]),
        ["db", "erase", "u1", "--yes"],
    ],
    ids=" ".join,
)
def test_a_server_that_is_not_there_is_one_line(ingest: Ingest, command: list[str]) -> None:
    uri = f"mongodb://127.0.0.1:{free_port()}"
    done = ingest(*command, **settings_of(uri, MONGODB_TIMEOUT_SECONDS="0.2"))
    assert is_one_clear_line(done, 3), done
    assert "MongoDB does not answer" in done.err
    assert ingest.files() == {"good"}


@pytest.mark.parametrize("command", [REPLAY, TOTALS_OF, INIT], ids=" ".join)
def test_an_old_server_is_refused(
    ingest: Ingest, mongodb_uri: str, database: Documents, command: list[str]
) -> None:
    with proxied(mongodb_uri) as proxy:
        proxy.max_wire_version = 8  # MongoDB 4.2
        done = ingest(*command, **settings_of(proxy.uri, database.name))
    assert is_one_clear_line(done, 2), done
    assert "too old" in done.err
    assert "4.4" in done.err
    assert contents(database) == {}


ACTIONS_OF_MONGOD = [  # readWrite, as mongod has it: without collMod
    *("find", "insert", "update", "remove", "createCollection", "dropCollection", "createIndex"),
    *("dropIndex", "listCollections", "listIndexes", "collStats", "dbStats", "killCursors"),
]
ROLES: dict[str, list[Any]] = {
    "owner": [{"role": "dbOwner", "db": "ingest"}],
    "writer": [{"role": "writer", "db": "ingest"}],
    "reader": [{"role": "read", "db": "ingest"}],
    "stranger": [{"role": "readWrite", "db": "elsewhere"}],
}


@pytest.fixture(scope="module")
def guarded_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server that knows a user for each of the `ROLES`, all of one password."""
    folder: Path = tmp_path_factory.mktemp("guarded")
    writer = [{"resource": {"db": "ingest", "collection": ""}, "actions": ACTIONS_OF_MONGOD}]
    with running(folder, "--sync-on-commit") as server:
        with pymongo.MongoClient(server.uri) as client:
            client.ingest.command("createRole", "writer", privileges=writer, roles=[])
            for user, roles in ROLES.items():
                client.ingest.command("createUser", user, pwd=PASSWORD, roles=roles)
        server.kill()  # to end in order would take it 2 s
    with running(folder, "--sync-on-commit", "--auth") as server:
        yield server.port
        server.kill()


def settings_as(user: str, port: int, password: str = PASSWORD, **others: str) -> dict[str, str]:
    uri = f"mongodb://{user}:{password}@127.0.0.1:{port}/?authSource=ingest"
    return settings_of(uri, **others)


@pytest.fixture
def guarded(guarded_port: int) -> Iterator[Documents]:
    """The database on that server as its owner sees it, empty."""
    uri = settings_as("owner", guarded_port)["MONGODB_URI"]
    with pymongo.MongoClient(uri) as client:
        for name in client.ingest.list_collection_names():
            client.ingest.drop_collection(name)
        yield client.ingest


@pytest.mark.parametrize("command", [REPLAY, INIT], ids=" ".join)
def test_wrong_credentials_are_one_line(
    ingest: Ingest, guarded_port: int, command: list[str]
) -> None:
    done = ingest(*command, **settings_as("owner", guarded_port, "not-the-pass-w0rd"))
    assert is_one_clear_line(done, 2), done
    assert "credentials" in done.err
    assert "MONGODB_URI" in done.err
    assert "not-the-pass" not in done.err


@pytest.mark.parametrize(
    ("user", "command"),
    [("reader", REPLAY), ("reader", INIT), ("stranger", REPLAY), ("stranger", TOTALS_OF)],
)
def test_a_user_without_permission_is_told_which_it_needs(
    ingest: Ingest, guarded_port: int, guarded: Documents, user: str, command: list[str]
) -> None:
    done = ingest(*command, **settings_as(user, guarded_port))
    assert is_one_clear_line(done, 2), done
    assert "readWrite" in done.err
    assert contents(guarded) == {}


def test_a_user_who_may_only_read_sees_totals_and_can_add_nothing(
    ingest: Ingest, guarded_port: int, guarded: Documents
) -> None:
    assert ingest(*REPLAY, **settings_as("owner", guarded_port)).status == 0
    before = contents(guarded)
    done = ingest(*TOTALS_OF, "--json", **settings_as("reader", guarded_port))
    assert (done.status, done.err) == (0, "")
    assert done.summary()["steps"] == 100
    ingest.write("more", events(event(5)))
    refused = ingest("replay", "more", **settings_as("reader", guarded_port))
    assert is_one_clear_line(refused, 2), refused
    assert contents(guarded) == before


def test_a_user_who_may_only_write_can_do_all_of_init_but_change_an_index(
    ingest: Ingest, guarded_port: int, guarded: Documents
) -> None:
    first = ingest(*INIT, **settings_as("writer", guarded_port))
    assert (first.status, first.err) == (0, "")
    changed = {"IDEMPOTENCY_TTL": "1d", "RETENTION": "30d"}
    done = ingest(*INIT, **settings_as("writer", guarded_port, **changed))
    assert (done.status, done.err) == (1, "")
    *created, refused = done.out.splitlines()
    assert [line.partition(":")[0] for line in created] == [
        f"create the index ts_ttl of {EVENTS}",
        f"create the index timestamp_ttl of {SNAPSHOTS}",
    ]
    assert refused.startswith("not done, the role of this user lacks collMod")
    assert KEYS in refused
    assert ttls(guarded) == {
        f"{EVENTS}.ts_ttl": 30 * 86_400,
        f"{SNAPSHOTS}.timestamp_ttl": 30 * 86_400,
        f"{KEYS}.created_at_ttl": 7 * 86_400,
    }
    assert ingest(*INIT, **settings_as("owner", guarded_port, **changed)).status == 0
    assert ttls(guarded)[f"{KEYS}.created_at_ttl"] == 86_400


def test_a_first_write_does_not_go_on_with_a_time_to_live_that_it_may_not_change(
    ingest: Ingest, guarded_port: int, guarded: Documents
) -> None:
    """As in a database that was restored without its `schema_migrations`."""
    guarded[EVENTS].create_index("ts", expireAfterSeconds=20 * 86_400)
    done = ingest(*REPLAY, **settings_as("writer", guarded_port, RETENTION="60d"))
    assert is_one_clear_line(done, 2), done
    assert "RETENTION" in done.err
    assert guarded[EVENTS].count_documents({}) == 0


@pytest.mark.parametrize(
    ("name", "command"),
    [
        *((EVENTS, command) for command in (REPLAY, TOTALS_OF, INIT)),
        *((name, REPLAY) for name in (SNAPSHOTS, TOTALS, KEYS, MIGRATIONS)),
    ],
)
def test_a_collection_of_another_program_is_left_alone(
    ingest: Ingest, settings: dict[str, str], database: Documents, name: str, command: list[str]
) -> None:
    database[name].insert_one({"_id": 1, "user_id": "u1", "applied": "yesterday"})
    before = contents(database)
    done = ingest(*command, **settings)
    assert is_one_clear_line(done, 2), done
    assert name in done.err
    assert "MONGODB_DATABASE" in done.err
    assert contents(database) == before


@pytest.mark.parametrize(
    ("name", "command"),
    [(EVENTS, REPLAY), (KEYS, TOTALS_OF), (TOTALS, INIT), (MIGRATIONS, INIT)],
)
def test_a_view_of_our_name_is_left_alone(
    ingest: Ingest, settings: dict[str, str], database: Documents, name: str, command: list[str]
) -> None:
    database.create_collection("other")
    database.create_collection(name, viewOn="other", pipeline=[])
    before = contents(database)
    done = ingest(*command, **settings)
    assert is_one_clear_line(done, 2), done
    assert name in done.err
    assert contents(database) == before


@pytest.mark.parametrize("command", [REPLAY, TOTALS_OF, INIT], ids=" ".join)
def test_a_database_of_a_newer_ingest_is_left_alone(
    ingest: Ingest, settings: dict[str, str], database: Documents, command: list[str]
) -> None:
    newer = {"_id": SCHEMA_VERSION + 1, "name": "to come", "applied_at": datetime.now(UTC)}
    database[MIGRATIONS].insert_one(newer)
    before = contents(database)
    done = ingest(*command, **settings)
    assert is_one_clear_line(done, 2), done
    assert "newer ingest" in done.err
    assert contents(database) == before


def test_a_database_of_an_older_ingest_is_brought_up_by_init(
    ingest: Ingest, settings: dict[str, str], database: Documents
) -> None:
    database[MIGRATIONS].insert_one({"_id": 0, "name": "first", "applied_at": datetime.now(UTC)})
    before = contents(database)
    refused = ingest(*REPLAY, **settings)
    assert is_one_clear_line(refused, 2), refused
    assert "run `ingest db init`" in refused.err
    assert contents(database) == before
    done = ingest(*INIT, **settings)
    assert (done.status, done.err) == (0, "")
    assert ingest(*REPLAY, **settings).status == 0


def test_init_creates_what_is_missing_and_then_has_nothing_to_do(
    ingest: Ingest, settings: dict[str, str], database: Documents
) -> None:
    rehearsed = ingest(*INIT, "--dry-run", **settings)
    assert (rehearsed.status, rehearsed.err) == (0, "")
    assert contents(database) == {}
    done = ingest(*INIT, **settings)
    assert (done.status, done.err) == (0, "")
    assert rehearsed.out.splitlines() == [f"would {line}" for line in done.out.splitlines()]
    assert {*contents(database)} == {*COLLECTIONS, MIGRATIONS}
    assert ttls(database) == {f"{KEYS}.created_at_ttl": 7 * 86_400}
    before = contents(database)
    again = ingest(*INIT, **settings)
    assert (again.status, again.out, again.err) == (0, "nothing to do\n", "")
    assert contents(database) == before


def test_a_replay_prepares_an_empty_database_as_init_does(
    ingest: Ingest, settings: dict[str, str], database: Documents
) -> None:
    assert ingest(*REPLAY, **settings).status == 0
    assert ttls(database) == {f"{KEYS}.created_at_ttl": 7 * 86_400}
    assert ingest(*INIT, **settings).out == "nothing to do\n"


def test_retention_is_a_time_to_live_that_only_init_changes(
    ingest: Ingest, settings: dict[str, str], database: Documents
) -> None:
    long, longer = {"RETENTION": "3000d"}, {"RETENTION": "4000d"}
    assert ingest(*REPLAY, **settings, **long).status == 0
    days = {f"{EVENTS}.ts_ttl": 3000, f"{SNAPSHOTS}.timestamp_ttl": 3000}
    expected = {f"{KEYS}.created_at_ttl": 7 * 86_400}
    assert ttls(database) == expected | {name: n * 86_400 for name, n in days.items()}
    for other in ({}, longer):
        refused = ingest(*REPLAY, **settings, **other)
        assert is_one_clear_line(refused, 2), refused
        assert "RETENTION" in refused.err
        assert "run `ingest db init`" in refused.err
    assert ingest(*INIT, **settings, **longer).status == 0
    assert ttls(database) == expected | dict.fromkeys(days, 4000 * 86_400)
    assert ingest(*REPLAY, **settings, **longer).status == 0
    assert ingest(*INIT, **settings).status == 0
    assert ttls(database) == expected
    assert ingest(*REPLAY, **settings).status == 0


def test_a_server_that_validates_refuses_a_wrong_document_and_takes_ours(
    ingest: Ingest, settings: dict[str, str], database: Documents
) -> None:
    assert ingest(*INIT, **settings).status == 0
    changed = ingest(*INIT, "--validate", **settings)
    assert [line.rpartition(" ")[2] for line in changed.out.splitlines()] == [*COLLECTIONS]
    assert ingest(*INIT, "--validate", **settings).out == "nothing to do\n"
    corrected = ingest.write("corrected", events(event(0, 20, version=1, hr_avg=61.5)))
    done = ingest("replay", "good", corrected, "--json", **settings)
    assert (done.status, done.err) == (0, "")
    assert (done.summary()["accepted"], done.summary()["corrected"]) == (3, 1)
    for name in COLLECTIONS:
        document = database[name].find_one()
        assert document is not None
        for wrong in ({"user_id": 1}, {"user_id": "no|bar"}):
            with pytest.raises(WriteError):
                database[name].insert_one(document | {"_id": "other"} | wrong)


def test_a_document_that_the_server_refuses_is_one_line_that_shows_no_person(
    ingest: Ingest, settings: dict[str, str], database: Documents
) -> None:
    assert ingest(*INIT, **settings).status == 0
    database.command("collMod", EVENTS, validator={"$jsonSchema": {"required": ["nothing has"]}})
    ingest.write("private", events(event(0, 9753, hr_avg=171.25), user="somebody"))
    done = ingest("replay", "private", **settings)
    assert is_one_clear_line(done, 2), done
    assert "(121)" in done.err
    assert [word for word in ("somebody", "9753", "171.25") if word in done.err] == []
