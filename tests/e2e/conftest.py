"""The command as a user runs it: a process of its own, in an empty folder, a clean environment."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from tests.e2e.environment import COMMAND, ENVIRONMENT
from tests.e2e.workers import Fleet, fleet_of, stored_in
from tests.mongodb import Server, running

DEADLINE_SECONDS = 20


class Finished(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    def summary(self) -> dict[str, Any]:
        """The only thing on standard output, a JSON object."""
        (line,) = self.out.splitlines()
        return orjson.loads(line)


class Ingest(NamedTuple):
    """Runs `ingest` in a folder."""

    folder: Path
    deadline_seconds: int = DEADLINE_SECONDS

    def __call__(
        self, *arguments: str | bytes | Path, stdin: bytes = b"", **settings: str
    ) -> Finished:
        """Run to the end."""
        done = subprocess.run(  # noqa: S603 - our own command
            [*COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            cwd=self.folder,
            env=ENVIRONMENT | settings,
            timeout=self.deadline_seconds,
            check=False,
        )
        return Finished(
            done.returncode, done.stdout.decode(errors="surrogateescape"), done.stderr.decode()
        )

    @contextmanager
    def started(
        self, *arguments: str | Path, environment: Mapping[str, str] = ENVIRONMENT, **streams: Any
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """A command that still runs; killed at the end if it has not ended by then."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | streams
        with subprocess.Popen(  # noqa: S603 - our own command
            [*COMMAND, *arguments], cwd=self.folder, env=environment, **pipes
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def shell(self, script: str, **settings: str) -> Finished:
        """Run a bash script in which `ingest` is the command."""
        function = f'ingest() {{ "{sys.executable}" -m ingest "$@"; }}\n'
        done = subprocess.run(  # noqa: S603 - scripts of these tests
            ["/bin/bash", "-c", function + script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=self.folder,
            env=ENVIRONMENT | settings,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        return Finished(
            done.returncode, done.stdout.decode(errors="surrogateescape"), done.stderr.decode()
        )

    def write(self, name: str, lines: bytes) -> str:
        """A file in the folder; its name."""
        (self.folder / name).write_bytes(lines)
        return name

    def read(self, name: str) -> list[dict[str, Any]]:
        """The lines of a file in the folder."""
        return [orjson.loads(line) for line in (self.folder / name).read_bytes().splitlines()]

    def files(self) -> set[str]:
        """What is in the folder, hidden files too."""
        return {path.name for path in self.folder.iterdir()}


@pytest.fixture
def ingest(tmp_path: Path) -> Ingest:
    return Ingest(tmp_path)


def eventually(is_so: Callable[[], bool]) -> None:
    """Wait until it is so; fail at the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it never came to be so"
        time.sleep(0.01)


def next_bytes(descriptor: int) -> bytes:
    """What comes next out of a pipe or a terminal, empty at its end; fail at the deadline."""
    ready, _, _ = select.select([descriptor], [], [], DEADLINE_SECONDS)
    assert ready, "nothing came"
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux says EIO where the other side of a terminal is closed
        return b""


def bytes_until_end(descriptor: int) -> bytes:
    """All that comes out of a pipe or a terminal."""
    return b"".join(iter(lambda: next_bytes(descriptor), b""))


@pytest.fixture
def fleet(
    tmp_path: Path, kafka_settings: dict[str, str], mongodb_uri: str, mongodb_database: str
) -> Iterator[Fleet]:
    """Workers on topics and in a database of this test's own; none runs yet."""
    with fleet_of(tmp_path, kafka_settings | stored_in(mongodb_uri, mongodb_database)) as prepared:
        yield prepared


@pytest.fixture
def breakable_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A store that may be hurt, and keeps what it confirmed."""
    with running(tmp_path_factory.mktemp("mongodb"), "--sync-on-commit") as server:
        yield server
        server.kill()  # to end in order would take it 2 s


@pytest.fixture
def fleet_on_breakable_store(
    tmp_path: Path, kafka_settings: dict[str, str], breakable_store: Server
) -> Iterator[Fleet]:
    """As `fleet`, on a store that may be hurt."""
    with fleet_of(tmp_path, kafka_settings | stored_in(breakable_store.uri, "ingest")) as prepared:
        yield prepared


@pytest.fixture
def fleet_on_breakable_broker(
    tmp_path: Path, breakable_settings: dict[str, str], mongodb_uri: str, mongodb_database: str
) -> Iterator[Fleet]:
    """As `fleet`, on a broker that may be hurt."""
    stored = stored_in(mongodb_uri, mongodb_database)
    with fleet_of(tmp_path, breakable_settings | stored) as prepared:
        yield prepared
