"""A replay into MongoDB whose server, or which itself, is killed, frozen, or gone for good."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pymongo
import pytest
from pymongo.errors import PyMongoError

from ingest.stores.documents import EVENTS, SNAPSHOTS
from tests.e2e.conftest import ENVIRONMENT, Finished, Ingest, eventually
from tests.mongodb import Server, running

pytestmark = pytest.mark.e2e

DATABASE = "ingest"
VERDICTS = ("accepted", "duplicates", "corrected", "stale", "rejected")
SIMULATION = (
    *("simulate", "--users", "4", "--days", "1", "--duplicates", "0.1", "--late", "0.1"),
    *("--resets", "0.2", "--corrections", "0.1", "--malformed", "0.02"),
)
Hurt = Callable[[Server], None]


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that keeps what it confirmed, and nothing but the database's indexes."""
    with running(tmp_path_factory.mktemp("mongodb"), "--sync-on-commit") as server:
        with pymongo.MongoClient(server.uri) as client:
            for name in (EVENTS, SNAPSHOTS):  # SecantusDB has no other way to a range of a user
                client[DATABASE][name].create_index("user_id")
        yield server
        server.kill()  # to end in order would take it 2 s


@pytest.fixture
def settings(server: Server) -> dict[str, str]:
    return {
        "REPOSITORY_BACKEND": "mongodb",
        "MONGODB_URI": server.uri,
        "MONGODB_DATABASE": DATABASE,
        "MONGODB_TIMEOUT_SECONDS": "1",
        "RETRY_TIMEOUT": "60s",
        "RETRY_DELAY_MAX": "1s",
        "BATCH_SIZE_MAX": "5",
        "MONGODB_MIN_POOL_SIZE": "0",
    }


class Undisturbed(NamedTuple):
    """What a replay into memory comes to."""

    summary: dict[str, Any]
    totals: list[dict[str, Any]]
    log: set[bytes]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Undisturbed]:
    """The messages of a simulation, and what a replay of them into memory comes to."""
    ingest = Ingest(tmp_path_factory.mktemp("undisturbed"))
    messages = ingest(*SIMULATION).out.encode(errors="surrogateescape")
    ingest.write("messages", messages)
    done = ingest("replay", "messages", "--json", "--totals", "totals", "--export", "log")
    return messages, Undisturbed(done.summary(), totals(ingest, "totals"), log(ingest, "log"))


@pytest.fixture
def undisturbed(ingest: Ingest, simulated: tuple[bytes, Undisturbed]) -> Undisturbed:
    """What a replay of the file `messages` has to come to."""
    messages, undisturbed = simulated
    ingest.write("messages", messages)
    return undisturbed


def totals(ingest: Ingest, name: str) -> list[dict[str, Any]]:
    """The totals in a file, but for what tells how often and when they were saved."""
    return [
        {key: value for key, value in total.items() if key not in ("revision", "updated_at")}
        for total in ingest.read(name)
    ]


def log(ingest: Ingest, name: str) -> set[bytes]:
    """The lines of an export that hold records; the last one counts them."""
    lines = (ingest.folder / name).read_bytes().splitlines()
    return {line for line in lines[:-1] if EVENTS.encode() in line or SNAPSHOTS.encode() in line}


class Replay:
    """A replay that runs, of which standard error can be read meanwhile."""

    def __init__(self, process: Any, err: Path, client: "pymongo.MongoClient[Any]") -> None:
        self.process = process
        self._err = err
        self._events = client[DATABASE][EVENTS]

    def lines(self) -> list[str]:
        return self._err.read_text().splitlines()

    def events(self) -> int:
        with suppress(PyMongoError):
            return self._events.estimated_document_count()
        return 0

    def goes_on(self) -> None:
        """Wait until more records are stored than now."""
        before = self.events()
        eventually(lambda: self.events() > before + 50)
        assert self.process.poll() is None

    def waits(self) -> None:
        """Wait until it says that it waits."""
        before = len(self.lines())
        eventually(lambda: len(self.lines()) > before)
        assert self.process.poll() is None

    def ended(self) -> Finished:
        out, _ = self.process.communicate(timeout=60)
        return Finished(self.process.returncode, out.decode(), self._err.read_text())


@contextmanager
def replaying(ingest: Ingest, settings: dict[str, str]) -> Iterator[Replay]:
    """A replay of `messages` that writes its totals to `totals`."""
    err = ingest.folder / "err"
    with (
        err.open("wb") as stderr,
        pymongo.MongoClient(settings["MONGODB_URI"], serverSelectionTimeoutMS=500) as client,
        ingest.started(
            *("replay", "messages", "--json", "--totals", "totals"),
            environment=ENVIRONMENT | settings,
            stderr=stderr,
        ) as process,
    ):
        yield Replay(process, err, client)


def assert_nothing_is_missing(
    ingest: Ingest, settings: dict[str, str], undisturbed: Undisturbed
) -> None:
    """Totals and log are those of memory, and the totals are right by the log."""
    assert totals(ingest, "totals") == undisturbed.totals
    verified = ingest("db", "verify", **settings)
    assert (verified.status, verified.err) == (0, ""), verified
    assert ingest("db", "export", "stored", **settings).status == 0
    assert log(ingest, "stored") == undisturbed.log


def assert_a_replay_finds_what_is_there(
    ingest: Ingest, settings: dict[str, str], undisturbed: Undisturbed
) -> None:
    quick = settings | {"BATCH_SIZE_MAX": "100", "MONGODB_TIMEOUT_SECONDS": "15"}
    done = ingest("replay", "messages", "--json", "--totals", "totals", **quick)
    assert (done.status, done.err) == (0, "")
    assert done.summary()["duplicates"] > undisturbed.summary["duplicates"]


def kill(server: Server) -> None:
    server.kill()


def start(server: Server) -> None:
    server.start()


def freeze(server: Server) -> None:
    server.send(signal.SIGSTOP)


def thaw(server: Server) -> None:
    server.send(signal.SIGCONT)


@pytest.mark.parametrize(("hurt", "heal"), [(kill, start), (freeze, thaw)])
def test_a_replay_goes_on_by_itself_when_the_server_is_back(
    ingest: Ingest,
    server: Server,
    settings: dict[str, str],
    undisturbed: Undisturbed,
    hurt: Hurt,
    heal: Hurt,
) -> None:
    with replaying(ingest, settings) as replay:
        for _ in range(2):
            replay.goes_on()
            hurt(server)
            replay.waits()
            heal(server)
        done = replay.ended()
    assert done.status == 0, done
    for line in done.err.splitlines():
        assert line.startswith("ingest: MongoDB "), line
        assert "; again in " in line
    summary = done.summary()
    assert sum(summary[verdict] for verdict in VERDICTS) == summary["records"]
    for same in ("messages", "records", "rejected", "conflicts"):
        assert summary[same] == undisturbed.summary[same]
    assert summary["accepted"] <= undisturbed.summary["accepted"]
    assert summary["corrected"] <= undisturbed.summary["corrected"]
    assert_nothing_is_missing(ingest, settings, undisturbed)


def test_a_server_that_stays_away_ends_a_replay_which_can_be_repeated(
    ingest: Ingest, server: Server, settings: dict[str, str], undisturbed: Undisturbed
) -> None:
    with replaying(ingest, settings | {"RETRY_TIMEOUT": "2s"}) as replay:
        replay.goes_on()
        server.kill()
        done = replay.ended()
    assert (done.status, done.out) == (3, ""), done
    *waits, last = done.err.splitlines()
    assert waits
    assert all("; again in " in line for line in waits)
    assert last.startswith("ingest: MongoDB does not answer: ")
    assert "again in" not in last
    assert "totals" not in ingest.files()
    server.start()
    assert_a_replay_finds_what_is_there(ingest, settings, undisturbed)
    assert_nothing_is_missing(ingest, settings, undisturbed)


def test_a_replay_that_was_killed_can_be_repeated(
    ingest: Ingest, server: Server, settings: dict[str, str], undisturbed: Undisturbed
) -> None:
    with replaying(ingest, settings) as replay:
        replay.goes_on()
        replay.process.kill()
        assert replay.ended().status == -signal.SIGKILL
    assert_a_replay_finds_what_is_there(ingest, settings, undisturbed)
    assert_nothing_is_missing(ingest, settings, undisturbed)
