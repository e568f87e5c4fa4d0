"""The servers that the benchmarks run against: a store and a broker.

`INGEST_TEST_MONGODB_URI` names a mongod. Otherwise SecantusDB, which the tests use, is started on
the loopback in a temporary folder, as a process of its own: its CPU time is not ours, and its
speed says nothing of MongoDB. The broker is always one of our own.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

import pymongo
from pymongo.errors import PyMongoError

from ingest.stores.mongo import Connection

PROGRAM = Path(sys.executable).with_name("secantusd-py")
DEADLINE_SECONDS = 60
# Where there is one, a file system that has no disk to wait for: what is measured is not the disk.
IN_MEMORY = next((name for name in ("/dev/shm",) if Path(name).is_dir()), None)  # noqa: S108


class Server(NamedTuple):
    """Where a server is, what it calls itself, and whether its own speed may be quoted."""

    uri: str
    name: str
    is_mongod: bool

    @property
    def label(self) -> str:
        """The server as the output names it."""
        if self.is_mongod:
            return self.name
        return f"{self.name}, a test server: wall-clock says nothing of MongoDB"


@contextmanager
def server() -> Iterator[Server]:
    """The named server, or one of our own for as long as the block runs.

    From then on SIGTERM ends this process by SystemExit, so that a server of our own ends too.
    """
    if named := os.environ.get("INGEST_TEST_MONGODB_URI"):
        yield _at(named)
        return
    if not PROGRAM.exists():
        raise SystemExit("set INGEST_TEST_MONGODB_URI, or: pip install -e '.[dev]'")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    port = free_port()
    uri = f"mongodb://127.0.0.1:{port}"
    # A folder's last files may still be written while it is deleted; it is a temporary one.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True, dir=IN_MEMORY) as folder:
        options = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "ERROR"]
        process = subprocess.Popen(  # noqa: S603 - our own
            [str(PROGRAM), *options, "--storage-path", folder],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(uri, process)
            yield _at(uri)
        finally:
            _stop(process)


class Ground(NamedTuple):
    """The broker's address and the store's, on which all contestants run."""

    brokers: str
    mongodb: str


@contextmanager
def broker() -> Iterator[str]:
    """The address of a broker of our own, for as long as the block runs."""
    from tests.kafka.broker import running  # noqa: PLC0415 - the tests know how to start one

    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        running(Path(folder)) as started,
    ):
        yield started.address()


def kafka_version() -> str:
    """The version of that broker."""
    from tests.kafka.broker import POM  # noqa: PLC0415 - as above

    return POM.read_text().split("<artifactId>kafka_2.13</artifactId>")[1].split("version>")[1][:-2]


def connection_to(
    server: Server, database: str, driver: Literal["pymongo", "motor"] = "pymongo"
) -> Connection:
    """A connection with time for a slow server."""
    return Connection(server.uri, database, driver, min_pool_size=0, timeout_seconds=300)


def free_port() -> int:
    """A port of the loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(uri: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    with pymongo.MongoClient(uri, serverSelectionTimeoutMS=200) as client:
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(PyMongoError):
                client.admin.command("hello")
                return
    raise SystemExit("SecantusDB does not answer")


def _at(uri: str) -> Server:
    with pymongo.MongoClient(uri) as client:
        told = client.admin.command("buildInfo")
    if own := told.get("secantusVersion"):
        return Server(uri, f"SecantusDB {own}", is_mongod=False)
    return Server(uri, f"MongoDB {told['version']}", is_mongod=True)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(DEADLINE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
