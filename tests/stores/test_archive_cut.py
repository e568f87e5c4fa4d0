"""An export that was cut short at any byte goes on, and ends as one that never was."""

import os

import pytest

from ingest.archive import HEADER_LINE, export, partial_of
from ingest.errors import FileUnusable
from ingest.stores.memory import memory_store
from tests.batches import TTL, sent
from tests.stores.contents import event, fill, run, snapshot


@pytest.fixture
def path(tmp_path):
    return tmp_path / "export.ndjson"


async def exported(store, path) -> bytes:
    await export(store, path, lambda _: None)
    return path.read_bytes()


def ends_of_lines(whole: bytes) -> list[int]:
    return [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]


async def test_cut_at_any_byte_it_ends_with_the_same_bytes(path):
    store = memory_store(TTL)
    await run(store, sent(event(), key="k"), sent(snapshot()))
    whole = await exported(store, path)
    for cut in range(len(whole) + 1):
        partial_of(path).write_bytes(whole[:cut])
        assert await exported(store, path) == whole, cut
        assert not partial_of(path).exists()


async def test_cut_around_the_end_of_any_line_it_ends_with_the_same_bytes(store, path):
    await fill(store)
    whole = await exported(store, path)
    for cut in [0, *(end + step for end in ends_of_lines(whole)[::3] for step in (-1, 0, 1))]:
        partial_of(path).write_bytes(whole[:cut])
        assert await exported(store, path) == whole, cut


async def test_what_stands_behind_the_last_line_is_cut_off(path):
    store = memory_store(TTL)
    await fill(store)
    whole = await exported(store, path)
    partial_of(path).write_bytes(whole + whole[len(HEADER_LINE) :])
    assert await exported(store, path) == whole


async def test_it_goes_on_where_it_was_cut_instead_of_beginning_again(path):
    """What was written before is not read from the store again: a change there does not show."""
    store = memory_store(TTL)
    await run(store, sent(event(1), event(2)))
    whole = await exported(store, path)
    second = ends_of_lines(whole)[1]
    partial_of(path).write_bytes(whole[:second])
    await store.log.correct_events([event(1, steps=9, version=1)])
    assert (await exported(store, path))[:second] == whole[:second]


async def test_it_tells_of_the_documents_that_were_there_already(path):
    store = memory_store(TTL)
    await fill(store)
    whole = await exported(store, path)
    partial_of(path).write_bytes(whole[: ends_of_lines(whole)[5]])
    told: list[int] = []
    tally = await export(store, path, told.append)
    assert (told[0], sum(told)) == (5, sum(tally.counts.values()))


LINE = b'{"collection":"activity_events","document":{"_id":"u1|29383201|phone"}}\n'


@pytest.mark.parametrize(
    "other",
    [
        b"x",
        b"\x7fELF without a line",
        b"notes\n",
        b"[]\n",
        b"\n",
        LINE,
        HEADER_LINE.replace(b"1", b"2"),
        HEADER_LINE[:-1] + b" ",
        HEADER_LINE + b"x\n",
        HEADER_LINE + b"\0\0\0\0\n",
        HEADER_LINE + b"7\n",
        HEADER_LINE + b"[]\n",
        HEADER_LINE + b"{}\n",
        HEADER_LINE + LINE + HEADER_LINE,
        HEADER_LINE + LINE + LINE,
        HEADER_LINE + LINE.replace(b"|29383201|", b"|29383202|") + LINE,
        HEADER_LINE + LINE.replace(b"activity_events", b"sleep"),
        HEADER_LINE + LINE.replace(b"_id", b"id"),
    ],
    ids=repr,
)
async def test_a_partial_file_that_is_something_else_is_refused_and_left_as_it_is(path, other):
    store = memory_store(TTL)
    await fill(store)
    partial_of(path).write_bytes(other)
    with pytest.raises(FileUnusable, match=r"export\.ndjson\.partial.*move it away"):
        await exported(store, path)
    assert partial_of(path).read_bytes() == other
    assert not path.exists()


@pytest.mark.parametrize("added", [b"no JSON\n", LINE, b"[]\n", b'{"document":{}}\n'], ids=repr)
async def test_what_somebody_else_wrote_into_it_meanwhile_is_seen(path, added):
    store = memory_store(TTL)
    await fill(store)

    def write_too(_: int) -> None:
        with partial_of(path).open("ab") as partial:
            partial.write(added)

    with pytest.raises(FileUnusable, match="does not read back"):
        await export(store, path, write_too)
    assert not path.exists()
    with pytest.raises(FileUnusable, match="move it away"):
        await export(store, path, lambda _: None)


async def test_an_export_replaces_the_one_before_only_when_it_is_complete(path):
    store = memory_store(TTL)
    await run(store, sent(event()))
    path.write_bytes(b"before")
    seen: list[bytes] = []
    await export(store, path, lambda _: seen.append(path.read_bytes()))
    assert {*seen} == {b"before"}
    assert path.read_bytes().startswith(HEADER_LINE)


async def test_a_link_to_a_file_stays_a_link(tmp_path):
    store = memory_store(TTL)
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)
    whole = await exported(store, link)
    assert link.is_symlink()
    assert target.read_bytes() == whole


async def test_a_pipe_is_refused_and_stays_one(path):
    os.mkfifo(path)
    with pytest.raises(FileUnusable, match=r"cannot write .*export\.ndjson"):
        await export(memory_store(TTL), path, lambda _: None)
    assert path.is_fifo()


@pytest.mark.parametrize("where", ["folder", "missing/export.ndjson"])
async def test_what_cannot_be_written_is_refused_with_its_name(tmp_path, where):
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileUnusable, match=f"cannot write .*{where}"):
        await export(memory_store(TTL), tmp_path / where, lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
