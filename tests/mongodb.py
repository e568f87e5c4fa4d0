"""A real server for the tests: the one that is named, or a MongoDB-compatible one of our own.

`INGEST_TEST_MONGODB_URI` names a mongod. Otherwise SecantusDB is started on a free port of the
loopback; it finds documents by `_id` at once, but a range of `_id` by reading the collection, so
tests keep theirs small. Where there is neither, tests skip, or fail if services are required.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pymongo
import pytest
from pymongo.errors import PyMongoError

from ingest.stores.mongo import Connection, Wanted
from tests.server_process import DEADLINE_SECONDS, ServerProcess

NAMED = os.environ.get("INGEST_TEST_MONGODB_URI")
# Keys of the tests are a year old: with a shorter time to live a server sweeps them in mid-test.
KEPT = timedelta(days=3650)
PROGRAM = Path(sys.executable).with_name("secantusd-py")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server(ServerProcess):
    """A server process of our own, which can be killed, stopped for a while and started again."""

    def __init__(self, folder: Path, *options: str, query: str = "") -> None:
        self.port = free_port()
        self._query = query
        self._command = [
            *(str(PROGRAM), "--host", "127.0.0.1", "--port", str(self.port)),
            *("--storage-path", str(folder), "--log-level", "ERROR", *options),
        ]

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}{self._query}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(  # noqa: S603 - our own server
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + DEADLINE_SECONDS
        with pymongo.MongoClient(self.uri, serverSelectionTimeoutMS=200) as client:
            while True:
                assert self._process.poll() is None, "the server ended by itself"
                assert time.monotonic() < deadline, "the server does not answer"
                with suppress(PyMongoError):
                    client.admin.command("hello")
                    return


@contextmanager
def running(folder: Path, *options: str, query: str = "") -> Iterator[Server]:
    """A server of our own for as long as the block runs; skips or fails where there is none.

    `query` is what its address needs behind the port, as `/?tls=true`.
    """
    if not PROGRAM.exists():
        missing("SecantusDB is not installed: pip install -e '.[dev]'")
    server = Server(folder, *options, query=query)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def missing(reason: str) -> None:
    """A service is not there: skip, or fail where `INGEST_REQUIRE_SERVICES` is set."""
    if os.environ.get("INGEST_REQUIRE_SERVICES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def connection_to(uri: str, database: str, driver: str = "pymongo", **others: float) -> Connection:
    """A connection as a test wants it: few sockets, and time for a slow machine."""
    defaults = {"min_pool_size": 0, "timeout_seconds": 60}
    return Connection(uri, database, driver, **{**defaults, **others})


def wanted(ttl, retention=None) -> Wanted:
    return Wanted(ttl, retention)
