"""What the commands share of their arguments: how they are checked, named and explained."""

import re
import sys
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from ingest.core.schema import ID_PATTERN
from ingest.core.timestamps import days_between, instant_of
from ingest.errors import RecordRefused
from ingest.settings import Settings

_ID: Final = re.compile(ID_PATTERN)


def is_date(text: str) -> str:
    """The text if it is a civil date; a usage error otherwise."""
    try:
        days_between(text, text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date YYYY-MM-DD") from None
    return text


def is_instant(text: str | None) -> str | None:
    """The text if it is a time with an offset, or none is given; a usage error otherwise."""
    try:
        instant_of(text or "2000-01-01T00:00:00Z", "time")
    except RecordRefused:
        raise typer.BadParameter(f"{text!r} is not a time as 2025-11-13T07:30:00+01:00") from None
    return text


def instant(text: str | None) -> datetime | None:
    """The instant of a time that `is_instant` let pass, in whole milliseconds."""
    if text is None:
        return None
    seconds, ms = divmod(instant_of(text, "time").ms, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=ms * 1000)


def is_id(text: str | None) -> str | None:
    """The text if it is an id, or none is given; a usage error otherwise."""
    if text is not None and _ID.fullmatch(text) is None:
        raise typer.BadParameter(f"{text!r} is not an id: 1 to 128 of A-Z a-z 0-9 . _ : @ -")
    return text


def say_where_memory_went(settings: Settings) -> None:
    """Where the store is in memory, say on standard error that there is nothing in it."""
    if settings.repository_backend == "inmemory":
        sys.stderr.write(
            "ingest: the store in memory is empty when a command starts; set REPOSITORY_BACKEND="
            "mongodb, or let `ingest replay` write --totals, --deltas or --export\n"
        )


def say_that_kafka_is_away() -> None:
    """Say on standard error why nothing happens."""
    sys.stderr.write("ingest: Kafka has not answered for some seconds; still waiting\n")


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
UserArgument = Annotated[str, typer.Argument(metavar="USER", callback=is_id)]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
AfterOption = Annotated[
    str | None,
    typer.Option(metavar="TIME", callback=is_instant, help="Only those behind this time."),
]
