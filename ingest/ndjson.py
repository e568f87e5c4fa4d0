"""Files of one JSON document a line: read in chunks, written whole or not at all."""

import asyncio
import gzip
import os
import sys
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, Final, Protocol, cast

import orjson

from ingest.errors import FileUnusable

CHUNK_BYTES: Final = 256 * 1024
LINE_BYTES_MAX: Final = 16 * 1024 * 1024  # what is kept of a line without an end
STDIN: Final = "-"

Write = Callable[[dict[str, Any]], None]


class _Chunks(Protocol):
    def read1(self, size: int = ..., /) -> bytes: ...


async def lines_of(
    name: str, on_read: Callable[[int], None]
) -> AsyncIterator[Sequence[tuple[int, bytes]]]:
    """The lines of a file with their numbers from 1, some at a time, as soon as they are there.

    `name` is a path, gzipped where it ends in `.gz`, or `-` for standard input. Blank lines are
    left out. `on_read` is told how far the file itself was read, in bytes. Of a line over
    `LINE_BYTES_MAX` only that much is kept. Raises `FileUnusable`.
    """
    # A thread of its own: closing the loop must not wait for a read of a silent standard input.
    reader = ThreadPoolExecutor(max_workers=1)
    loop = asyncio.get_running_loop()
    with _opened(name) as (chunks, raw):
        number, rest = 0, b""
        while chunk := await loop.run_in_executor(reader, _read, chunks, name):
            on_read(raw.tell() if name != STDIN else 0)
            if len(rest) >= LINE_BYTES_MAX:
                _, end, chunk = chunk.partition(b"\n")
                rest += end
            *whole, rest = (rest + chunk).split(b"\n")
            yield [(number + i, line) for i, line in enumerate(whole, 1) if line.strip()]
            number += len(whole)
            rest = rest[:LINE_BYTES_MAX]
        if rest.strip():
            yield [(number + 1, rest)]


@contextmanager
def written(path: Path | None) -> Iterator[Write]:
    """A function that writes one line; the file appears, complete, when the block ends well.

    What is no regular file (a pipe, `/dev/stdout`) is written as it goes. Without a path nothing
    is written. Raises `FileUnusable`.
    """
    if path is None:
        yield lambda _: None
        return
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as file:
                yield _line_writer(file)
            return
        descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise FileUnusable(f"cannot write {path}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            yield _line_writer(file)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def size_of(name: str) -> int | None:
    """A file's size in bytes, None of standard input. Raises `FileUnusable`, if only later."""
    if name == STDIN:
        return None
    try:
        with Path(name).open("rb"):
            return Path(name).stat().st_size
    except OSError as error:
        raise FileUnusable(f"cannot read {name}: {error.strerror}") from error


@contextmanager
def _opened(name: str) -> Iterator[tuple[_Chunks, IO[bytes]]]:
    if name == STDIN:
        stdin = cast("BufferedReader", sys.stdin.buffer)
        yield stdin, stdin
        return
    try:
        raw = Path(name).open("rb")  # noqa: SIM115 - closed below; opening has errors of its own
    except OSError as error:
        raise FileUnusable(f"cannot read {name}: {error.strerror}") from error
    with raw:
        yield (gzip.GzipFile(fileobj=raw) if name.endswith(".gz") else raw), raw


def _read(chunks: _Chunks, name: str) -> bytes:
    try:
        return chunks.read1(CHUNK_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileUnusable(f"cannot read {name}: {reason}") from error


def _line_writer(file: IO[bytes]) -> Write:
    def write(document: dict[str, Any]) -> None:
        file.write(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))

    return write
