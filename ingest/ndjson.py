"""Files of one JSON document a line: read in chunks, written whole or not at all."""

import asyncio
import gzip
import secrets
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
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
        number, rest = 0, bytearray()
        while chunk := await loop.run_in_executor(reader, _read, chunks, name):
            on_read(raw.tell() if name != STDIN else 0)
            first, *whole = chunk.split(b"\n")
            rest += first[: LINE_BYTES_MAX - len(rest)]
            if not whole:
                continue
            whole.insert(0, bytes(rest))
            rest[:] = whole.pop()
            yield [(number + i, line) for i, line in enumerate(whole, 1) if line.strip()]
            number += len(whole)
        if rest.strip():
            yield [(number + 1, bytes(rest))]


@contextmanager
def written(path: Path | None) -> Iterator[Write]:
    """A function that writes one line; the file appears, complete, when the block ends well.

    What is no regular file (a pipe, `/dev/stdout`) is written as it goes. Without a path nothing
    is written. Raises `FileUnusable`.
    """
    if path is None:
        yield lambda _: None
        return
    with _naming(path):
        is_stream = path.exists() and not path.is_file()
    if is_stream:
        with _naming(path):
            stream = path.open("wb", buffering=0)
        with stream:
            yield _line_writer(stream, path)
        return
    target = path.resolve()
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    with _naming(path):
        file = partial.open("xb")
    try:
        yield _line_writer(file, path)
        with _naming(path):
            file.close()
            partial.replace(target)
    except BaseException:
        with suppress(OSError):
            file.close()
        partial.unlink(missing_ok=True)
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
        if sys.stdin is None:
            raise FileUnusable("cannot read -: standard input is closed")
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


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """An error of this file, but not that of a reader that left, becomes one clear line."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise FileUnusable(f"cannot write {path}: {error.strerror}") from error


def _line_writer(file: IO[bytes], path: Path) -> Write:
    def write(document: dict[str, Any]) -> None:
        with _naming(path):
            file.write(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))

    return write
