"""What the commands are run on: a database of one test's own, filled by a replay."""

import asyncio
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pymongo

from ingest.archive import export
from ingest.stores.memory import memory_store
from ingest.stores.mongo import opened_to_write
from tests.batches import batch, pipeline_on
from tests.e2e.conftest import ENVIRONMENT, Finished, Ingest, bytes_until_end
from tests.fakes import RecordingPublisher
from tests.lines import DATE, event, events, snapshot, snapshots
from tests.mongodb import KEPT, connection_to, wanted

Database = pymongo.database.Database[dict[str, Any]]
USERS = ("u1", "u1-", "u10", "u2")
LINES = b"".join(
    [
        events(event(0, calories_out=1.25), event(1, hr_avg=61.5), event(61), device_id="a.b"),
        snapshots(snapshot(1, 100), snapshot(2, 250, 20), snapshot(3, 30, 2), device_id="watch"),
        events(event(5, 44), event(6, 0), user="u10", idempotency_key="k | 1"),
        snapshots(snapshot(7, 900, 80.5), user="u1-"),
        events(event(9, 7), {"ts": f"{DATE}T00:30:00+01:00", "steps": 3}, user="u2"),
        events({"ts": "2025-11-14T00:30:00-05:00", "steps": 5}, user="u2"),
        events(event(0, 12, version=1), device_id="a.b"),
        events(event(1, 99), device_id="a.b"),
    ]
)


def settings_of(uri: str, database: str) -> dict[str, str]:
    return {
        "REPOSITORY_BACKEND": "mongodb",
        "MONGODB_URI": uri,
        "MONGODB_DATABASE": database,
        "MONGODB_MIN_POOL_SIZE": "0",
        "IDEMPOTENCY_TTL": f"{KEPT.days}d",
        "TERM": "xterm-256color",  # so that what is drawn without a terminal is seen to be wrong
    }


def fill(settings: dict[str, str], lines: bytes = LINES) -> None:
    """What a replay of these lines does, without a process of its own."""

    async def filling() -> None:
        connection = connection_to(settings["MONGODB_URI"], settings["MONGODB_DATABASE"])
        async with opened_to_write(connection, wanted(KEPT)) as store:
            await pipeline_on(store, RecordingPublisher()).run(batch(*lines.splitlines()))

    asyncio.run(filling())


def export_of(lines: bytes, path: Path) -> bytes:
    """What `ingest replay --export` writes of these lines, likewise."""

    async def exporting() -> None:
        store = memory_store(KEPT)
        await pipeline_on(store, RecordingPublisher()).run(batch(*lines.splitlines()))
        await export(store, path, lambda _: None)

    asyncio.run(exporting())
    return path.read_bytes()


def held_in(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Every document of every collection."""
    return {name: [*database[name].find()] for name in sorted(database.list_collection_names())}


def ended_well(done: Finished) -> str:
    """What a command printed that ended well and had nothing to complain of."""
    assert (done.status, done.err) == (0, "")
    return done.out


def printed(done: Finished) -> list[dict[str, Any]]:
    """The JSON objects on standard output, one a line."""
    return [orjson.loads(line) for line in done.out.splitlines()]


def shown_on_a_terminal(ingest: Ingest, *arguments: str, **settings: str) -> tuple[int, bytes]:
    """The status of a command whose standard error is a terminal, and what that showed."""
    ours, theirs = pty.openpty()
    environment = {**ENVIRONMENT, "TERM": "xterm-256color", **settings}
    with ingest.started(
        *arguments, environment=environment, stdin=subprocess.DEVNULL, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = bytes_until_end(ours)
        process.communicate()
    os.close(ours)
    return process.returncode, shown
