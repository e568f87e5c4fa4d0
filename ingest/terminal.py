"""What a person sees: tables on standard output, a bar on standard error where it is a terminal."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import Any, Final, Literal

import orjson
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from ingest.core.documents import Document

ROWS_MAX: Final = 200
Columns = dict[str, Literal["left", "right"]]
TOTALS: Final[Columns] = {
    "user_id": "left",
    "date": "left",
    "steps": "right",
    "calories_out": "right",
    "hr_avg": "right",
    "basis": "left",
    "devices": "left",
    "events_count": "right",
    "snapshots_count": "right",
    "resets": "right",
}
DELTAS: Final[Columns] = {
    "device_id": "left",
    "timestamp": "left",
    "kind": "left",
    "steps_delta": "right",
    "calories_out_delta": "right",
    "steps_total": "right",
    "calories_out_total": "right",
}
EVENTS: Final[Columns] = {
    "ts": "left",
    "date": "left",
    "device_id": "left",
    "source": "left",
    "steps": "right",
    "calories_out": "right",
    "hr_avg": "right",
    "version": "right",
}

DEAD_LETTERS: Final[Columns] = {
    "time": "left",
    "reason": "left",
    "field": "left",
    "topic": "left",
    "partition": "right",
    "offset": "right",
    "records": "right",
    "bytes": "right",
}
KEYS: Final[Columns] = {
    "id": "left",
    "name": "left",
    "scopes": "left",
    "user_prefix": "left",
    "created_at": "left",
}


@contextmanager
def reading(size: int | None) -> Iterator[Callable[[int], None]]:
    """A bar of the bytes read, on a terminal only; `size` is None where it cannot be known."""
    with _progress(DownloadColumn()) as progress:
        task = progress.add_task("reading", total=size)
        yield lambda position: progress.update(task, completed=position)


@contextmanager
def counting(what: str) -> Iterator[Callable[[], None]]:
    """A count, on a terminal only, and only where the output does not go there too."""
    with _progress(MofNCompleteColumn(), is_shown=not sys.stdout.isatty()) as progress:
        task = progress.add_task(what, total=None)
        yield lambda: progress.advance(task)


@contextmanager
def counting_to(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """A bar of how many of a known number are done, on a terminal only."""
    with _progress(MofNCompleteColumn()) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.advance(task, done)


def print_difference(difference: Document, *, is_json: bool) -> None:
    """One day of `db verify`: each field as it is stored, and as the log has it."""
    if is_json:
        print(orjson.dumps(difference).decode())
        return
    fields = "; ".join(
        f"{name}: stored {_plain(stored)}, from the log {_plain(right)}"
        for name, (stored, right) in difference["differs"].items()
    )
    print(f"{difference['user_id']} {difference['date']}: {fields}")


def print_rows(documents: Sequence[Document], columns: Columns, *, is_json: bool) -> None:
    """The documents as JSON, one a line, or as a table."""
    if is_json:
        for document in documents:
            print(orjson.dumps(document).decode())
    else:
        print_table(documents[:ROWS_MAX], len(documents), columns)


def print_table(
    shown: Sequence[Document], count: int, columns: Columns, *, rest: str = "--json has them all"
) -> None:
    """The rows that are shown of `count`, and a line with `rest`: where the others are."""
    if not count:
        print("nothing found")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, justify in columns.items():
        table.add_column(name, justify=justify, no_wrap=True)
    for document in shown:
        table.add_row(*(Text(_cell(document[name])) for name in columns))
    text = StringIO()  # rich would end the program on a broken pipe, with status 1
    Console(file=text, width=10_000, force_terminal=sys.stdout.isatty()).print(table)
    print(text.getvalue(), end="")
    if count > len(shown):
        print(f"... and {count - len(shown):,} more; {rest}")


def _progress(count: ProgressColumn, *, is_shown: bool = True) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        count,
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not (is_shown and console.is_terminal),
    )


def _plain(value: Any) -> str:
    return "nothing" if value is None else orjson.dumps(value).decode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return ", ".join(value)
    return f"{value:.4f}" if isinstance(value, float) else str(value)
