"""The commands: each parses its options, calls what does the work, and prints what came of it."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, NamedTuple, TypeVar

import orjson
import typer

from ingest.archive import export, partial_of
from ingest.backends import store_to_read, store_to_write
from ingest.cli_arguments import (
    AfterOption,
    JsonOption,
    UserArgument,
    is_date,
    say_where_memory_went,
)
from ingest.cli_db import db
from ingest.cli_kafka import letters, push_files, topics
from ingest.cli_keys import keys
from ingest.cli_serve import serve
from ingest.cli_worker import health, worker
from ingest.core.capacity import DEVICES_MAX
from ingest.core.documents import Document, delta_document, event_document, total_message
from ingest.core.timestamps import (
    FIRST_DATE,
    LAST_DATE,
    MINUTES_PER_DAY,
    first_minute,
    instant_of,
)
from ingest.embedded import rules_of
from ingest.ndjson import size_of, written
from ingest.ports import Store
from ingest.replay import (
    Summary,
    all_deltas,
    deltas_between,
    replay,
    totals_of,
)
from ingest.settings import Settings, load_settings
from ingest.simulation import Plan, messages, truth
from ingest.terminal import (
    DELTAS,
    EVENTS,
    ROWS_MAX,
    TOTALS,
    counting,
    print_rows,
    print_table,
    reading,
)

Row = TypeVar("Row")
app = typer.Typer(
    help="Exact daily totals from activity events and health snapshots.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("worker")(worker)
app.command("serve")(serve)
app.command("health")(health)
app.command("push")(push_files)
app.add_typer(topics, name="topics")
app.add_typer(letters, name="dead-letters")
app.add_typer(db, name="db")
app.add_typer(keys, name="keys")


class StoreName(StrEnum):
    """The stores that `--store` can name."""

    MEMORY = "memory"
    MONGODB = "mongodb"


BACKENDS: Final = {StoreName.MEMORY: "inmemory", StoreName.MONGODB: "mongodb"}


DuplicatesOption = Annotated[float, typer.Option(min=0, max=1, help="Share sent again.")]
LateOption = Annotated[float, typer.Option(min=0, max=1, help="Share sent up to 3 days late.")]
ResetsOption = Annotated[float, typer.Option(min=0, max=1, help="Share of days that restart.")]
CorrectionsOption = Annotated[float, typer.Option(min=0, max=1, help="Share corrected later.")]
MalformedOption = Annotated[float, typer.Option(min=0, max=1, help="Share that is no use.")]
DayArgument = Annotated[str, typer.Argument(metavar="DATE", callback=is_date)]
FromOption = Annotated[str, typer.Option("--from", metavar="DATE", callback=is_date)]
ToOption = Annotated[str, typer.Option("--to", metavar="DATE", callback=is_date)]


@app.callback()
def _ingest() -> None:
    """Exact daily totals from activity events and health snapshots."""


@app.command("replay")
def replay_files(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="NDJSON; - is stdin.")],
    store: Annotated[StoreName | None, typer.Option(help="Instead of REPOSITORY_BACKEND.")] = None,
    totals: Annotated[Path | None, typer.Option(help="Write the totals here.")] = None,
    deltas: Annotated[Path | None, typer.Option(help="Write the deltas here.")] = None,
    dead_letters: Annotated[Path | None, typer.Option(help="Write what was refused here.")] = None,
    export_to: Annotated[
        Path | None, typer.Option("--export", help="Then write the whole store, as db export.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON summary only.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 if a record was refused.")
    ] = False,
) -> None:
    """Run files of messages through the pipeline and show the daily totals."""
    outputs = Outputs(totals, deltas, dead_letters, export_to)
    summary, shown, count = asyncio.run(_replay(files, _settings(store), outputs))
    if json:
        print(orjson.dumps(summary.document()).decode())
    else:
        print_table(shown, count, TOTALS, rest="--totals writes them all")
        _print_summary(summary)
    if strict and summary.rejected:
        raise typer.Exit(1)


@app.command()
def simulate(
    users: Annotated[int, typer.Option(min=1)] = 10,
    days: Annotated[int, typer.Option(min=1)] = 7,
    devices: Annotated[int, typer.Option(min=1, max=DEVICES_MAX, help="Devices a user.")] = 2,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    duplicates: DuplicatesOption = 0,
    late: LateOption = 0,
    resets: ResetsOption = 0,
    corrections: CorrectionsOption = 0,
    malformed: MalformedOption = 0,
    truth_file: Annotated[Path | None, typer.Option("--truth", help="Write totals here.")] = None,
) -> None:
    """Write the messages of simulated devices to standard output."""
    try:
        plan = Plan(users, days, devices, seed, duplicates, late, resets, corrections, malformed)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    merge = rules_of(load_settings()).merge
    with written(truth_file) as write:
        with counting("messages") as advance:
            for message in messages(plan):
                sys.stdout.buffer.write(message + b"\n")
                advance()
        sys.stdout.buffer.flush()
        for total in truth(plan, merge) if truth_file else ():
            write(total)


@app.command("totals")
def show_totals(
    user: UserArgument,
    first: FromOption = FIRST_DATE,
    last: ToOption = LAST_DATE,
    json: JsonOption = False,
) -> None:
    """Show the daily totals of a user."""
    found = _read(lambda store: store.totals.totals_between(user, first, last))
    print_rows([total_message(total) for total in found if total.devices], TOTALS, is_json=json)


@app.command("deltas")
def show_deltas(
    user: UserArgument,
    day: DayArgument,
    after: AfterOption = None,
    json: JsonOption = False,
) -> None:
    """Show the snapshots of a user's day, and what each one added."""
    rules = rules_of(load_settings()).snapshots
    after_ms = 0 if after is None else instant_of(after, "--after").ms
    found = _read(lambda store: deltas_between(store.log, user, day, day, rules, after_ms=after_ms))
    print_rows([delta_document(delta) for delta in found], DELTAS, is_json=json)


@app.command("events")
def show_events(
    user: UserArgument,
    first: FromOption = FIRST_DATE,
    last: ToOption = LAST_DATE,
    json: JsonOption = False,
) -> None:
    """Show the stored events of a user, by UTC date."""
    minutes = first_minute(first), first_minute(last) + MINUTES_PER_DAY - 1
    found = _read(lambda store: store.log.events_between(user, *minutes))
    print_rows([event_document(event) for event in found], EVENTS, is_json=json)


class Outputs(NamedTuple):
    """The files that a replay writes, where they are asked for."""

    totals: Path | None
    deltas: Path | None
    dead_letters: Path | None
    export: Path | None


def _read(read: Callable[[Store], Awaitable[Sequence[Row]]]) -> Sequence[Row]:
    """What a function reads out of the configured store."""
    settings = load_settings()
    say_where_memory_went(settings)

    async def reading_it() -> Sequence[Row]:
        async with store_to_read(settings) as store:
            return await read(store)

    return asyncio.run(reading_it())


def _settings(store: StoreName | None) -> Settings:
    settings = load_settings()
    if store is None:
        return settings
    return settings.model_copy(update={"repository_backend": BACKENDS[store]})


def _check_outputs(outputs: Sequence[Path], files: Sequence[str]) -> None:
    """No output may replace another, or what is being read; a pipe or device may serve twice."""
    taken = {Path(name).resolve() for name in files}
    for path in (path.resolve() for path in outputs if path.is_file() or not path.exists()):
        if path in taken:
            raise typer.BadParameter(f"{path.name} is another output, or a file to read")
        taken.add(path)


async def _replay(
    files: list[str], settings: Settings, outputs: Outputs
) -> tuple[Summary, list[Document], int]:
    """The summary, the first totals and how many there are; the outputs appear all or none."""
    _check_outputs([path for path in outputs if path is not None], files)
    size = sum(size_of(name) or 0 for name in files)
    shown: list[Document] = []
    count = 0
    async with AsyncExitStack() as stack:
        write_total, write_delta, write_dead_letter = (
            stack.enter_context(written(path)) for path in outputs[:3]
        )
        store = await stack.enter_async_context(store_to_write(settings))
        on_read = stack.enter_context(reading(None if "-" in files else size))
        summary = await replay(
            files, store, settings, write_dead_letter=write_dead_letter, on_read=on_read
        )
        async for total in totals_of(summary.users, store):
            message = total_message(total)
            write_total(message)
            count += 1
            if count <= ROWS_MAX:
                shown.append(message)
        if outputs.deltas is not None:
            async for delta in all_deltas(summary.users, store, rules_of(settings).snapshots):
                write_delta(delta_document(delta))
        if outputs.export is not None:
            partial_of(outputs.export).unlink(missing_ok=True)  # of another replay, killed
            await export(store, outputs.export, lambda _: None)
    return summary, shown, count


def _print_summary(summary: Summary) -> None:
    document = summary.document()
    rate = document["records_per_second"]
    print(
        f"{summary.messages:,} messages, {summary.records:,} records in "
        f"{document['seconds']:.1f} s ({rate:,} a second): "
        f"{summary.accepted:,} accepted, {summary.duplicates:,} duplicates, "
        f"{summary.corrected:,} corrected, {summary.stale:,} stale, "
        f"{summary.rejected:,} rejected ({summary.conflicts:,} conflicts)"
    )
    for reason, count in sorted(summary.reasons.items()):
        print(f"  rejected {reason}: {count:,}")
