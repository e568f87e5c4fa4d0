"""What a million minute events take on disk, with the snapshots, totals and messages beside them.

Run it with `python -m benchmarks.disk --events 1000000`, which takes a quarter of an hour;
`disk.json` is what `--json` printed. The records are simulated (`disk_population.py`); documents
and messages are made of them by the project's own code. They are written three times: in the
layout of a mongod (`disk_wiredtiger.py`), through the store into the test server, whose layout is
its own, and by the producer to a broker (`disk_kafka.py`). Copies, journal and oplog come on top.
`--snappy` names the `libwiredtiger_snappy.so` of a WiredTiger 11.2, which compresses as a mongod
does by default; without it, lz4 does.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import orjson

from benchmarks.disk_kafka import in_kafka
from benchmarks.disk_population import (
    Population,
    by_user,
    last_revisions,
    live,
    population_of,
    with_uuids,
)
from benchmarks.disk_wiredtiger import Document, Layout, Written, engine, written
from benchmarks.machine import machine
from benchmarks.servers import kafka_version
from ingest.core.records import Event
from ingest.embedded import collect_garbage_rarely
from ingest.stores.documents import (
    EVENTS,
    KEYS,
    SNAPSHOTS,
    TOTALS,
    event_documents,
    key_document,
    snapshot_document,
    total_document,
)
from ingest.stores.mongo import Connection, Wanted, opened_to_write
from ingest.stores.mongo.collection import slices

MILLION: Final = 1_000_000
AT_ONCE: Final = 5_000  # records handed to the store on the test server
# The simulated days are long ago, and the test server sweeps keys whose time is over.
WANTED: Final = Wanted(timedelta(days=36_500), None)
Row = dict[str, Any]


def measure(events: int, snappy: str | None) -> Row:
    """Everything, as one object."""
    population = population_of(events)
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": machine(),
        "engine": engine(),
        "population": counts_of(population),
        "mongod_layout": [*in_layout_of_mongod(population, snappy)],
        "test_server": in_test_server(population),
        "kafka": {"version": kafka_version(), "topics": [*in_kafka(population)]},
    }


def counts_of(population: Population) -> Row:
    """How many there are of what."""
    return {
        "how": "simulated: minutes in motion only, 2 devices a user, an hour of a device a message",
        "users": population.users,
        "user_days": len(last_revisions(population.totals)),
        "events": len(population.events),
        "snapshots": len(population.snapshots),
        "revisions_of_totals": len(population.totals),
        "idempotency_keys": len(population.keys),
    }


def in_layout_of_mongod(population: Population, snappy: str | None) -> Iterator[Row]:
    """A row for each collection and way of writing it."""
    usual = Layout("snappy" if snappy else "lz4", snappy=snappy)
    both = usual, usual._replace(keeps_timestamps=True)
    events = live(population.events)
    yield from _events_rows("minute by minute", events, both)
    yield from _events_rows("hour by hour", population.events, both)
    yield from _events_rows("user by user", by_user(events), both[:1])
    yield from _events_rows("minute by minute, user ids are UUIDs", with_uuids(events), both)
    if snappy:
        yield from _events_rows("minute by minute", events, [Layout("lz4")])
    for collection, documents in others_of(population).items():
        for layout in both:
            yield _row(collection, "hour by hour", layout, written(documents, layout))


def others_of(population: Population) -> dict[str, list[Document]]:
    """The documents of the other collections, in the order they are written in."""
    return {
        SNAPSHOTS: [*map(snapshot_document, population.snapshots)],
        TOTALS: [*map(total_document, population.totals)],
        KEYS: [*map(key_document, population.keys)],
    }


def in_test_server(population: Population) -> Row:
    """What the test server's folder holds when it has ended, by kind of file."""
    from tests.mongodb import running  # noqa: PLC0415 - the tests know how to start one

    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with running(Path(folder)) as server:
            connection = Connection(server.uri, "ingest", min_pool_size=0, timeout_seconds=300)
            asyncio.run(fill(connection, population))
        sizes: dict[str, int] = {}
        for path in (path for path in Path(folder).rglob("*") if path.is_file()):
            kind = path.stem.split(".")[0].rstrip("0123456789")
            sizes[kind] = sizes.get(kind, 0) + path.stat().st_size
    return {"server": f"SecantusDB {version('secantusdb')}", "file_bytes": sizes}


async def fill(connection: Connection, population: Population) -> None:
    """Everything through the store, as it arrives; of the totals the last revisions."""
    async with opened_to_write(connection, WANTED) as store:
        for events in slices(population.events, AT_ONCE):
            await store.log.append_events(events)
        for snapshots in slices(population.snapshots, AT_ONCE):
            await store.log.append_snapshots(snapshots)
        await store.totals.restore(last_revisions(population.totals))
        await store.keys.restore(population.keys)


def lines_of(result: Row) -> Iterator[str]:
    """The tables."""
    scale, found = MILLION / result["population"]["events"], result["machine"]
    yield f"{result['made_at']}, {found['processor']}, {found['cores']} cores; {result['engine']}"
    yield ", ".join(f"{name} {value}" for name, value in result["population"].items())
    yield ""
    yield "In the layout of a mongod: BSON and tables, bytes a document; MiB for a million events"
    for row in result["mongod_layout"]:
        yield _line_of(row, scale)
    server, kafka = result["test_server"], result["kafka"]
    yield ""
    yield f"{server['server']}, its folder; MiB for a million events"
    for kind, size in sorted(server["file_bytes"].items(), key=lambda pair: -pair[1]):
        yield f"{kind:50}{_mib(size * scale):>10}"
    yield ""
    yield f"Kafka {kafka['version']}, one copy: logs and indexes; MiB for a million events"
    for row in kafka["topics"]:
        sizes = [_mib(row[name] * scale) for name in ("log_bytes", "index_bytes")]
        yield f"{row['topic']:50}{sizes[0]:>10}{sizes[1]:>8}   {row['messages']:,} messages"


def _line_of(row: Row, scale: float) -> str:
    stamps = "timestamps kept" if row["keeps_timestamps"] else ""
    words = row["collection"], row["order"], row["compressor"], stamps
    documents, in_all = row["documents"], sum(row["file_bytes"].values())
    tables = [f"{name} {size / documents:.1f}" for name, size in row["file_bytes"].items()]
    sizes = [f"{documents:,} of {row['bson_bytes'] / documents:.0f}", *tables]
    return f"{', '.join(filter(None, words))}: {', '.join(sizes)}; {_mib(in_all * scale)}"


def _events_rows(order: str, events: Sequence[Event], layouts: Sequence[Layout]) -> Iterator[Row]:
    for layout in layouts:
        documents = (own for chunk in slices(events, AT_ONCE) for own in event_documents(chunk))
        yield _row(EVENTS, order, layout, written(documents, layout))


def _row(collection: str, order: str, layout: Layout, found: Written) -> Row:
    row = {
        "collection": collection,
        "order": order,
        "compressor": layout.compressor,
        "keeps_timestamps": layout.keeps_timestamps,
        **found._asdict(),
    }
    print(_line_of(row, 1), file=sys.stderr, flush=True)
    return row


def _mib(size: float) -> str:
    return f"{size / 2**20:.1f}"


def main() -> None:
    """Print the tables, or one object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--events", type=int, default=MILLION)
    parser.add_argument("--snappy", help="file of WiredTiger's extension")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    collect_garbage_rarely()
    result = measure(options.events, options.snappy)
    if options.json:
        print(orjson.dumps(result, option=orjson.OPT_INDENT_2).decode())
    else:
        print("\n".join(lines_of(result)))


if __name__ == "__main__":
    main()
