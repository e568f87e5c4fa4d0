"""A file that is no whole export of ours is refused at the line, or told of where it is ours."""

import pytest

from ingest.archive import export, import_
from ingest.core.records import Day
from ingest.core.totals import Rules, advanced
from ingest.errors import FileUnusable
from ingest.stores.memory import memory_store
from tests.batches import TTL, totals_of
from tests.core.messages import NOW
from tests.stores.contents import event, lines_in, rows_of, snapshot
from tests.stores.marked import MARK, marked_lines, refused

ELSE = "not the last line of an export"
TOO_DEEP, DEEP = (b"%s%s" % (b"[" * n, b"]" * n) for n in (3_000, 300))


@pytest.fixture
async def lines(tmp_path) -> list[bytes]:
    return await marked_lines(tmp_path)


async def imported(store, lines, folder):
    path = folder / "import.ndjson"
    path.write_bytes(b"".join(lines))
    return await import_(store, str(path), lambda _: None)


@pytest.mark.parametrize(
    ("number", "line", "expected"),
    [
        (1, b"not JSON 4711\n", "not JSON"),
        (1, b'{"ingest_export":2}\n', "this is no export"),
        (1, b'{"user_id":"u4711","events":[]}\n', "this is no export"),
        (3, b"{\n", "not JSON"),
        (3, b"\0\0\0\0\n", "not JSON"),
        (3, b'{"collection":"health_snapshots","document":{"_id":"u\0"}}\n', "not JSON"),
        (3, b"\xff\xfe\n", "not JSON"),
        (3, b"4711\n", "not a JSON object"),
        (3, b"[4711]\n", "not a JSON object"),
        (3, b"null\n", "not a JSON object"),
        (3, b"{}\n", "collection: unknown"),
        (3, b'{"collection":"c4711","document":{}}\n', "collection: unknown"),
        (3, b'{"collection":["daily_totals"],"document":{}}\n', "collection: unknown"),
        (3, b'{"collection":"daily_totals"}\n', "document: "),
        (3, b'{"collection":"daily_totals","document":4711}\n', "document: "),
        (3, b'{"collection":"daily_totals","document":[]}\n', "document: "),
        (3, b'{"collection":"daily_totals","document":%s}\n' % TOO_DEEP, "not JSON"),
        (3, b'{"collection":"daily_totals","document":%s}\n' % DEEP, "document: "),
        (6, b'{"counts":4711,"checksum":"4711"}\n', ELSE),
        (6, b'{"counts":{"activity_events":1},"checksum":"4711"}\n', ELSE),
        (6, b'{"checksum":"4711"}\n', ELSE),
    ],
    ids=str,
)
async def test_a_line_that_none_could_be_is_refused(tmp_path, lines, number, line, expected):
    lines[number - 1] = line
    reason = await refused(lines, tmp_path)
    assert reason.startswith(f"FILE, line {number}: {expected}")
    assert MARK not in reason


@pytest.mark.parametrize("count", ['"4711"', "4711.5", "true", "null", "[]"])
async def test_a_count_that_is_no_number_is_refused(tmp_path, lines, count):
    lines[5] = lines[5].replace(b'"daily_totals":1', f'"daily_totals":{count}'.encode())
    assert (await refused(lines, tmp_path)) == f"FILE, line 6: {ELSE}"


async def test_two_exports_in_one_file_are_refused_where_the_second_begins(tmp_path, lines):
    assert (await refused(lines * 2, tmp_path)).startswith("FILE, line 7: this is no export")


async def test_a_document_behind_the_last_line_is_refused(tmp_path, lines):
    assert (await refused([*lines, lines[1]], tmp_path)).startswith("FILE, line 7: more behind")


@pytest.mark.parametrize("blank", [b"", b"\n", b"  \n\n"])
async def test_documents_without_a_first_line_are_refused(tmp_path, lines, blank):
    number = 1 + blank.count(b"\n")
    expected = f"FILE, line {number}: this is no export"
    assert (await refused([blank, *lines[1:]], tmp_path)).startswith(expected)


@pytest.mark.parametrize("kept", range(6))
async def test_a_file_that_ends_early_says_so(tmp_path, lines, kept):
    assert (await refused(lines[:kept], tmp_path)).startswith("FILE ends early")


async def test_what_stands_before_a_line_that_is_refused_is_imported(tmp_path, lines):
    store = memory_store(TTL)
    with pytest.raises(FileUnusable, match="line 5"):
        await imported(store, [*lines[:4], b"x\n"], tmp_path)
    assert (await lines_in(store)) == lines[1:3]


async def test_blank_lines_are_no_matter(tmp_path, lines):
    spaced = [b"\n\n", *(line + b" \n\n" for line in lines)]
    assert (await imported(memory_store(TTL), spaced, tmp_path)).is_whole


@pytest.mark.parametrize(
    ("before", "after"),
    [(b'"daily_totals":1', b'"daily_totals":2'), (b'"checksum":"', b'"checksum":"0')],
)
async def test_wrong_counts_or_a_wrong_checksum_are_told_of(tmp_path, lines, before, after):
    lines[5] = lines[5].replace(before, after)
    done = await imported(memory_store(TTL), lines, tmp_path)
    assert not done.is_whole
    assert (done.new, done.differing) == (4, [])


@pytest.mark.parametrize("missing", [1, 2, 3, 4])
async def test_a_line_that_is_missing_is_told_of(tmp_path, lines, missing):
    del lines[missing]
    assert not (await imported(memory_store(TTL), lines, tmp_path)).is_whole


async def test_a_value_that_was_changed_by_hand_is_told_of(tmp_path, lines):
    lines[1] = lines[1].replace(b'"steps":4711', b'"steps":4712')
    done = await imported(memory_store(TTL), lines, tmp_path)
    assert (done.new, done.differing, done.is_whole) == (4, [], False)
    assert done.file.counts == done.stored.counts


async def test_what_a_store_may_hold_that_looks_odd_is_imported(tmp_path, lines):
    """Negative steps of an authoritative source, a total of nothing, the farthest dates."""
    source, store, path = memory_store(TTL), memory_store(TTL), tmp_path / "odd.ndjson"
    await imported(source, lines, tmp_path)
    (total,) = (await totals_of(source)).values()
    negative = total._replace(day=Day("u1", "2025-11-14"), steps=-5, calories_out=-1)
    await source.totals.restore([negative, advanced(None, Day("u2", "2025-11-14"), Rules(), NOW)])
    await source.log.append_events([event(0, date="2025-11-12"), event(1439, date="2025-11-14")])
    days = ("2025-11-10", "2025-11-16")  # 2 days of distance, and one that an offset adds
    await source.log.append_snapshots([snapshot(0, date=date) for date in days])
    await export(source, path, lambda _: None)
    assert (await import_(store, str(path), lambda _: None)).is_whole
    assert await rows_of(store) == await rows_of(source)
