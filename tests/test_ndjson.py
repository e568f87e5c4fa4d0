"""NDJSON files: every line with its number however the chunks fall, and written whole or not."""

import gzip
import os
import sys
from collections.abc import Sequence
from io import BufferedReader, RawIOBase
from pathlib import Path
from types import SimpleNamespace

import pytest

from ingest.errors import FileUnusable
from ingest.ndjson import CHUNK_BYTES, LINE_BYTES_MAX, lines_of, size_of, written

Lines = list[tuple[int, bytes]]


class Trickle(RawIOBase):
    """A standard input that gives its pieces one read at a time."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = [*pieces]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        piece = self._pieces.pop(0) if self._pieces else b""
        buffer[: len(piece)] = piece
        return len(piece)


async def lines(name: str | Path) -> Lines:
    return [line async for some in lines_of(str(name), lambda _: None) for line in some]


def file_of(path: Path, text: bytes) -> Path:
    path.write_bytes(text)
    return path


async def trickled(monkeypatch: pytest.MonkeyPatch, pieces: Sequence[bytes]) -> Lines:
    """The lines of a standard input that comes in these pieces."""
    stdin = SimpleNamespace(buffer=BufferedReader(Trickle(pieces)))
    monkeypatch.setattr(sys, "stdin", stdin)
    return await lines("-")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b"", []),
        (b"\n", []),
        (b"\n\n  \n\t\r\n", []),
        (b"a", [(1, b"a")]),
        (b"a\n", [(1, b"a")]),
        (b"a\nb", [(1, b"a"), (2, b"b")]),
        (b"\na\n\n \nb\n\n", [(2, b"a"), (5, b"b")]),
        (b"a\r\nb\r\n", [(1, b"a\r"), (2, b"b\r")]),
        (b"a\x0bb\x0cc\x1cd\x85e\n", [(1, b"a\x0bb\x0cc\x1cd\x85e")]),
        ("a\u2028b\u2029c\n".encode(), [(1, "a\u2028b\u2029c".encode())]),
        (b"a\rb\n", [(1, b"a\rb")]),
        (b"\xff\x00\n", [(1, b"\xff\x00")]),
    ],
)
async def test_a_line_ends_at_a_newline_and_nowhere_else(
    tmp_path: Path, text: bytes, wanted: Lines
) -> None:
    assert await lines(file_of(tmp_path / "f", text)) == wanted


async def test_the_lines_are_the_same_wherever_the_input_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = '{"a":"é€😀"}\n\n{"b":1}\r\n \nü'.encode()
    whole = await trickled(monkeypatch, [text])
    assert [number for number, _ in whole] == [1, 3, 5]
    for cut in range(1, len(text)):
        assert await trickled(monkeypatch, [text[:cut], text[cut:]]) == whole
    assert await trickled(monkeypatch, [bytes([byte]) for byte in text]) == whole


@pytest.mark.parametrize("name", ["f", "f.gz"])
async def test_lines_longer_than_a_chunk_are_whole_and_numbered(tmp_path: Path, name: str) -> None:
    wanted = [(i, ("é" * (CHUNK_BYTES * i // 3)).encode() + b"%d" % i) for i in range(1, 8)]
    text = b"\n".join(line for _, line in wanted)
    path = tmp_path / name
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert await lines(path) == wanted


@pytest.mark.parametrize("over", [-1, 0, 1, 1000, CHUNK_BYTES, 3 * CHUNK_BYTES + 5])
async def test_of_a_line_without_an_end_only_so_much_is_kept(tmp_path: Path, over: int) -> None:
    text = b"a\n" + b"x" * (LINE_BYTES_MAX + over) + b"\nb\n\nc"
    found = await lines(file_of(tmp_path / "f", text))
    assert [number for number, _ in found] == [1, 2, 3, 5]
    assert len(found[1][1]) == LINE_BYTES_MAX + min(over, 0)
    assert found[1][1].strip(b"x") == b""
    assert [line for _, line in found if line != found[1][1]] == [b"a", b"b", b"c"]


async def test_a_last_line_that_is_too_long_is_kept_as_far(tmp_path: Path) -> None:
    path = file_of(tmp_path / "f", b"x" * (LINE_BYTES_MAX + CHUNK_BYTES + 1))
    ((number, line),) = await lines(path)
    assert (number, len(line)) == (1, LINE_BYTES_MAX)


async def test_lines_come_before_standard_input_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe:  # noqa: ASYNC230 - a pipe, opened already
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=pipe))
        some = lines_of("-", lambda _: None)
        os.write(writing, b"a\nb\nc")
        assert await anext(some) == [(1, b"a"), (2, b"b")]
        os.close(writing)
        assert await anext(some) == [(3, b"c")]


@pytest.mark.parametrize("name", ["f", "f.gz"])
async def test_how_far_it_read_is_told_in_bytes_of_the_file(tmp_path: Path, name: str) -> None:
    text = os.urandom(3 * CHUNK_BYTES)
    path = tmp_path / name
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    told: list[int] = []
    async for _ in lines_of(str(path), told.append):
        pass
    assert told == sorted(told)
    assert len({*told}) > 2
    assert told[-1] == size_of(str(path))


async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    zipped = gzip.compress(b"a\n" * 1000)
    (tmp_path / "cut.gz").write_bytes(zipped[:-9])
    (tmp_path / "plain.gz").write_bytes(b"a\n")
    (tmp_path / "data.gz").write_bytes(zipped[:10] + b"\xff" + zipped[11:])
    for name in ("missing", ".", "cut.gz", "plain.gz", "data.gz"):
        with pytest.raises(FileUnusable, match=r"^cannot read [^\n]+: [^\n]+$") as raised:
            await lines(tmp_path / name)
        assert str(tmp_path / name) in str(raised.value)


def test_the_size_of_what_is_no_file_is_not_known(tmp_path: Path) -> None:
    assert size_of("-") is None
    with pytest.raises(FileUnusable, match=r"^cannot read "):
        size_of(str(tmp_path / "missing"))


def test_a_file_appears_when_all_of_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with written(path) as write:
        write({"a": "é"})
        write({"b": 1.5})
        assert not path.exists()
    assert path.read_bytes() == '{"a":"é"}\n{"b":1.5}\n'.encode()
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, FileUnusable])
def test_what_goes_wrong_leaves_the_file_that_was_there(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"before\n")
    with pytest.raises(error), written(path) as write:  # noqa: PT012 - what is written first counts
        write({"a": 1})
        raise error
    assert path.read_bytes() == b"before\n"
    assert [*tmp_path.iterdir()] == [path]


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with written(None) as write:
        write({"a": 1})
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("path", [".", "missing/out", "file/out"])
def test_a_path_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(FileUnusable, match=rf"^cannot write {path}: "), written(Path(path)):
        pytest.fail("it was opened")


def test_an_error_of_the_block_is_not_taken_for_one_of_the_pipe() -> None:
    """Not every OSError inside is about the file."""
    with pytest.raises(TimeoutError), written(Path(os.devnull)):
        raise TimeoutError
