"""The commands on Kafka: make its topics, push files to them, look at and replay dead letters."""

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from ingest.brokers import connection_of, initialise_topics, producer_to, topics_of
from ingest.cli_arguments import (
    AfterOption,
    DryRunOption,
    JsonOption,
    instant,
    say_that_kafka_is_away,
)
from ingest.dead_letters import (
    Selection,
    document_of,
    latest,
    replay_letters,
    row_of,
)
from ingest.embedded import patience_of
from ingest.errors import FileUnusable, QueueUnavailable, QueueUnusable, Reason
from ingest.ndjson import size_of
from ingest.push import Pushed, push
from ingest.settings import Settings, load_settings
from ingest.terminal import DEAD_LETTERS, ROWS_MAX, print_table, reading

if TYPE_CHECKING:
    from ingest.queues.kafka import Outgoing

topics = typer.Typer(help="Prepare the topics of Kafka.", no_args_is_help=True)
letters = typer.Typer(
    help="Look at what was refused, and send it again. Dead letters stay in their topic until it "
    "drops them by age.",
    no_args_is_help=True,
)
ReasonOption = Annotated[
    Reason | None, typer.Option("--reason", metavar="CODE", help="Only those of this reason.")
]


@topics.command("init")
def init_topics(dry_run: DryRunOption = False) -> None:
    """Make the topics that are missing; exit 1 if one that is there differs from the settings."""
    done = asyncio.run(initialise_topics(load_settings(), dry_run=dry_run))
    for name in done.made:
        print(f"would make {name}" if dry_run else f"made {name}")
    for line in done.differing:
        print(line)
    if not (done.made or done.differing):
        print("nothing to do")
    if done.differing:
        raise typer.Exit(1)


def push_files(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="NDJSON; - is stdin.")],
    first_line: Annotated[
        int,
        typer.Option("--from", min=1, metavar="LINE", help="Go on with this line of a file."),
    ] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON summary only.")] = False,
) -> None:
    """Send each line of files of messages to its topic in Kafka, and wait until it is written."""
    if first_line > 1 and len(files) > 1:
        raise typer.BadParameter("--from is for one file, not for several")
    pushed = Pushed(files)
    try:
        asyncio.run(_push(pushed, load_settings(), first_line))
    except (FileUnusable, QueueUnavailable, QueueUnusable) as error:
        raise type(error)("; ".join(filter(None, (str(error), pushed.how_to_go_on())))) from error
    except KeyboardInterrupt:
        if pushed.last is not None:
            sys.stderr.write(f"ingest: {pushed.how_to_go_on()}\n")
        raise
    if json:
        print(orjson.dumps(pushed.document()).decode())
    else:
        unreadable = f", {pushed.unreadable:,} of them unreadable" if pushed.unreadable else ""
        print(f"{pushed.messages:,} messages pushed{unreadable}")


@letters.command("list")
def list_letters(
    reason: ReasonOption = None,
    after: AfterOption = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only the last N to be refused.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show what was refused, why, and where it came from; --json has the originals too."""
    selection = Selection(reason, instant(after))
    asyncio.run(_list(load_settings(), selection, limit, is_json=json))


@letters.command("replay")
def replay_dead_letters(
    reason: ReasonOption = None,
    after: AfterOption = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Send what was refused to the topic it came from again, for instance after a fix.

    What was accepted meanwhile is a duplicate then and changes nothing. What is refused again
    becomes another dead letter; the first one stays in its topic, which is only ever added to.
    """
    selection = Selection(reason, instant(after))
    counts = asyncio.run(_replay(load_settings(), selection, dry_run=dry_run))
    if json:
        print(orjson.dumps(counts).decode())
        return
    print(f"{counts['sent']:,} dead letters {'would be sent' if dry_run else 'sent'} again")
    if counts["repeated"]:
        print(f"{counts['repeated']:,} repeat others and were left out")
    if counts["foreign"]:
        print(f"{counts['foreign']:,} came from another topic and were left out")


async def _push(pushed: Pushed, settings: Settings, first_line: int) -> None:
    size = sum(size_of(name) or 0 for name in pushed.files)
    names = {kind: name for name, kind in topics_of(settings).kinds.items()}
    patience = patience_of(settings)
    async with producer_to(
        [*names.values()], settings, patience, say_that_kafka_is_away
    ) as producer:
        with reading(None if "-" in pushed.files else size) as on_read:
            await push(pushed, producer, names, first_line=first_line, on_read=on_read)


async def _list(
    settings: Settings, selection: Selection, limit: int | None, *, is_json: bool
) -> None:
    from ingest.queues.kafka import dead_letters  # noqa: PLC0415 - as in brokers.py

    stored = dead_letters(connection_of(settings), settings.topic_dead_letters)
    async with aclosing(stored), aclosing(selection.of(stored)) as selected:
        if is_json and limit is None:
            async for letter in selected:
                print(orjson.dumps(document_of(letter)).decode())
            return
        found, count = await latest(selected, ROWS_MAX if limit is None else limit)
    if is_json:
        for letter in found:
            print(orjson.dumps(document_of(letter)).decode())
    else:
        print_table([row_of(letter) for letter in found], count, DEAD_LETTERS)


async def _replay(settings: Settings, selection: Selection, *, dry_run: bool) -> Counter[str]:
    from ingest.queues.kafka import dead_letters  # noqa: PLC0415 - as in brokers.py

    inputs = topics_of(settings).kinds
    async with producer_to(
        [*inputs], settings, patience_of(settings), say_that_kafka_is_away
    ) as producer:
        stored = dead_letters(connection_of(settings), settings.topic_dead_letters)
        async with aclosing(stored), aclosing(selection.of(stored)) as selected:
            return await replay_letters(selected, inputs, _keep if dry_run else producer.send)


async def _keep(_: "Sequence[Outgoing]") -> None:
    """Send nothing."""
