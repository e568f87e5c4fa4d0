"""The `ingest db` commands: prepare, check, mend, move and erase what a store holds."""

import asyncio
import sys
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from ingest.archive import Imported, Tally, export, import_
from ingest.backends import initialise, store_to_read, store_to_write
from ingest.brokers import producer_to, topics_of
from ingest.cli_arguments import (
    DryRunOption,
    JsonOption,
    UserArgument,
    instant,
    is_id,
    is_instant,
    say_that_kafka_is_away,
    say_where_memory_went,
)
from ingest.core.retention import whole_from
from ingest.embedded import patience_of, rules_of
from ingest.erasure import erase, erase_with_tombstones
from ingest.ndjson import size_of
from ingest.ports import Scope
from ingest.republish import republish
from ingest.settings import Settings, load_settings
from ingest.stores.documents import Document
from ingest.terminal import counting_to, print_difference, reading
from ingest.verify import differences, mend

if TYPE_CHECKING:
    from ingest.queues.kafka import Producer

db = typer.Typer(
    help="Prepare, check, mend, move and erase what the store holds.", no_args_is_help=True
)
UserOption = Annotated[
    str | None, typer.Option("--user", metavar="USER", callback=is_id, help="Of one user only.")
]


@db.command("init")
def init(
    dry_run: DryRunOption = False,
    validate: Annotated[
        bool, typer.Option("--validate", help="Let the server check documents too.")
    ] = False,
) -> None:
    """Create collections and indexes, or bring them to the settings; twice changes nothing."""
    done = asyncio.run(initialise(load_settings(), dry_run=dry_run, validate=validate))
    for step in done.steps:
        if step not in done.refused:
            print(f"would {step}" if dry_run else step)
    if not done.steps:
        print("nothing to do")
    for step in done.refused:
        print(f"not done, the role of this user lacks collMod (dbAdmin has it): {step}")
    if done.refused:
        raise typer.Exit(1)


@db.command("verify")
def verify(user: UserOption = None, json: JsonOption = False) -> None:
    """Recompute every total from the log and print each one that differs; exit 1 if any does."""
    settings = load_settings()
    say_where_memory_went(settings)
    days, found = asyncio.run(_compare(settings, user, is_json=json, mending=False))
    if not json:
        print(f"{days:,} days, {found:,} differ" + (": run `ingest db rebuild`" if found else ""))
    if found:
        raise typer.Exit(1)


@db.command("rebuild")
def rebuild(
    user: UserOption = None, dry_run: DryRunOption = False, json: JsonOption = False
) -> None:
    """Save every total that differs as the log has it, at its next revision."""
    settings = load_settings()
    say_where_memory_went(settings)
    days, found = asyncio.run(_compare(settings, user, is_json=json, mending=not dry_run))
    if not json:
        print(f"{days:,} days, {found:,} {'differ' if dry_run else 'rebuilt'}")


@db.command("republish")
def republish_totals(
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", callback=is_instant, help="Only those updated then or later."),
    ] = None,
    user: UserOption = None,
    json: JsonOption = False,
) -> None:
    """Send stored totals to the topic of daily totals again; a reader keeps the newest of a day."""
    settings = load_settings()
    say_where_memory_went(settings)
    sent = asyncio.run(_republish(settings, user, instant(since)))
    print(orjson.dumps({"totals": sent}).decode() if json else f"{sent:,} totals sent")


@db.command("export")
def export_to(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="NDJSON, written when complete.")],
    json: JsonOption = False,
) -> None:
    """Write every document to a file; run again after an interruption, it goes on."""
    settings = load_settings()
    say_where_memory_went(settings)
    tally = asyncio.run(_export(settings, file))
    _print_tally("exported", tally, is_json=json)


@db.command("import")
def import_from(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Of `ingest db export`; .gz is ok.")],
    json: JsonOption = False,
) -> None:
    """Put every document of an export into the store, and compare counts and checksum."""
    settings = load_settings()
    say_where_memory_went(settings)
    imported = asyncio.run(_import(settings, file))
    if json:
        print(orjson.dumps(_imported_document(imported)).decode())
    else:
        _print_imported(imported)
    if not imported.is_whole:
        raise typer.Exit(1)


@db.command("erase")
def erase_user(
    user: UserArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    tombstones: Annotated[
        bool | None,
        typer.Option(
            help="Delete the totals from their topic too. Without either: if KAFKA_BROKERS is set "
            "and the store is MongoDB."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Delete all there is of one user: records, totals and keys."""
    settings = load_settings()
    say_where_memory_went(settings)
    if not yes:
        _confirm(f"Delete all there is of {user}?")
    if tombstones is None:
        is_set = "kafka_brokers" in settings.model_fields_set
        tombstones = is_set and settings.repository_backend == "mongodb"
    erasing = _erase_with_tombstones if tombstones else _erase
    counts = asyncio.run(erasing(settings, user))
    if json:
        print(orjson.dumps(counts).decode())
    else:
        print("erased: " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))


def _confirm(question: str) -> None:
    """Ask on a terminal; exit 2 where there is none, 1 where the answer is no."""
    if sys.stdin is None or not sys.stdin.isatty():
        sys.stderr.write("ingest: nothing was erased: no terminal to ask on, so say --yes\n")
        raise typer.Exit(2)
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        sys.stderr.write("ingest: nothing was erased\n")
        raise typer.Exit(1)


async def _compare(
    settings: Settings, user: str | None, *, is_json: bool, mending: bool
) -> tuple[int, int]:
    """How many days there are and how many differ; each is printed, and mended if so wished."""
    now, rules = datetime.now(UTC), rules_of(settings)
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    opened = store_to_write if mending else store_to_read
    days = found = 0
    async with opened(settings) as store:
        with counting_to(await store.totals.count(), "days") as advance:

            def on_day() -> None:
                nonlocal days
                days += 1
                advance(1)

            async for difference in differences(
                store,
                rules,
                user_id=user,
                first_date=whole_from(now, settings.retention),
                now=now,
                on_day=on_day,
            ):
                found += 1
                print_difference(difference.document(), is_json=is_json)
                if mending:
                    await mend(store, rules, difference, now)
    return days, found


async def _export(settings: Settings, file: Path) -> Tally:
    async with store_to_read(settings) as store:
        count = sum([await part.count() for part in store])
        with counting_to(count, "documents") as advance:
            return await export(store, file, advance)


async def _import(settings: Settings, name: str) -> Imported:
    size = size_of(name)
    async with store_to_write(settings) as store:
        with reading(size) as on_read:
            return await import_(store, name, on_read)


async def _republish(settings: Settings, user: str | None, since: datetime | None) -> int:
    from ingest.queues.kafka import KafkaTopics  # noqa: PLC0415 - as in brokers.py

    names = topics_of(settings)
    async with store_to_read(settings) as store, _totals_producer(settings) as producer:
        with counting_to(await store.totals.count(), "totals") as advance:
            return await republish(
                store.totals,
                KafkaTopics(producer, names),
                Scope(user),
                since=since,
                on_totals=advance,
            )


async def _erase(settings: Settings, user: str) -> dict[str, int]:
    async with store_to_write(settings) as store:
        return await erase(store, user)


async def _erase_with_tombstones(settings: Settings, user: str) -> dict[str, int]:
    from ingest.queues.kafka import KafkaTopics  # noqa: PLC0415 - as in brokers.py

    async with store_to_write(settings) as store, _totals_producer(settings) as producer:
        topics = KafkaTopics(producer, topics_of(settings))
        return await erase_with_tombstones(store, topics, user)


def _totals_producer(settings: Settings) -> "AbstractAsyncContextManager[Producer]":
    topic = settings.topic_daily_totals
    return producer_to([topic], settings, patience_of(settings), say_that_kafka_is_away)


def _print_tally(done: str, tally: Tally, *, is_json: bool) -> None:
    if is_json:
        print(orjson.dumps(tally._asdict()).decode())
    else:
        print(f"{done}: {_counted(tally)}; checksum {tally.checksum}")


def _imported_document(imported: Imported) -> Document:
    return {
        "file": imported.file._asdict(),
        "stored": imported.stored._asdict(),
        "new": imported.new,
        "differing_lines": imported.differing,
        "is_whole": imported.is_whole,
    }


def _print_imported(imported: Imported) -> None:
    for number in imported.differing:
        print(f"line {number}: the store holds another document of that id; it was left as it is")
    print(f"in the file: {_counted(imported.file)}; checksum {imported.file.checksum}")
    print(f"in the store: {_counted(imported.stored)}; checksum {imported.stored.checksum}")
    print(f"{imported.new:,} were new; " + ("all is there" if imported.is_whole else "they differ"))


def _counted(tally: Tally) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in tally.counts.items())
