"""Clients that are slow, rude or broken, on plain sockets: each has its answer or its end."""

import asyncio
import sys
import time
from asyncio import IncompleteReadError
from collections.abc import Iterator

import orjson
import pytest

from ingest.gateway.problems import MEDIA_TYPE
from tests.gateway.server import MIB, Gateway, serving
from tests.gateway.sockets import EVENTS, chunked, connected, get, head, message, post

pytestmark = pytest.mark.e2e

SECONDS = 1.0
HURRIED = f"""
import ingest.gateway.connection as connection, ingest.gateway.serve as serve, ingest.__main__
connection.HEAD_SECONDS = connection.UNREAD_SECONDS = serve.KEEP_ALIVE_SECONDS = {SECONDS}
ingest.__main__.main()
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A service whose clocks for clients run fast."""
    folder = tmp_path_factory.mktemp("gateway")
    command = (sys.executable, "-c", HURRIED)
    with serving(folder, command, REQUEST_IDLE_SECONDS=str(SECONDS)) as one:
        yield one
        assert "ingest.bug" not in one.log()
        assert "Traceback" not in one.log()


async def open_files(gateway: Gateway) -> int:
    text = (await asyncio.to_thread(gateway.get, "/metrics")).text
    (line,) = [line for line in text.splitlines() if line.startswith("process_open_fds ")]
    return int(float(line.split()[1]))


async def test_a_head_that_drips_is_closed(gateway: Gateway):
    began_at = time.monotonic()
    async with connected(gateway.port) as wire:
        await wire.send(b"GET /")
        with pytest.raises(ConnectionError):
            await wire.send_until_closed(b"x", SECONDS / 10)
    assert time.monotonic() - began_at < 3 * SECONDS


@pytest.mark.parametrize(
    "opening",
    [b"", b"\r\n", get("/livez")[:-2], get("/livez") + b"\r\n", get("/livez") + b"GET"],
    ids=["nothing", "an empty line", "half a head", "a request and a line", "one and a half"],
)
async def test_what_does_not_go_on_is_closed(gateway: Gateway, opening: bytes):
    async with connected(gateway.port) as wire:
        await wire.send(opening)
        assert await wire.is_closed()


@pytest.mark.parametrize(
    "opening",
    [
        post(b"{}" * 10)[:-1],
        head("POST", EVENTS, Transfer_Encoding="chunked") + b"a\r\n{",
        head("POST", EVENTS, Content_Length=9, Content_Type="application/x-ndjson") + b"{}\n",
    ],
    ids=["json", "chunked", "ndjson"],
)
async def test_a_body_that_stops_is_told_so_and_closed(gateway: Gateway, opening: bytes):
    async with connected(gateway.port) as wire:
        await wire.send(opening)
        answer = await wire.answer()
        assert (answer.status, answer.headers["content-type"]) == (408, MEDIA_TYPE)
        assert await wire.is_closed()


async def test_a_refused_body_that_goes_on_dripping_is_closed(gateway: Gateway):
    began_at = time.monotonic()
    async with connected(gateway.port) as wire:
        await wire.send(head("POST", "/v1/nothing", Content_Length=10**9))
        assert (await wire.answer()).status == 404
        with pytest.raises(ConnectionError):
            await wire.send_until_closed(b"x", SECONDS / 10)
    assert time.monotonic() - began_at < 3 * SECONDS


@pytest.mark.parametrize(
    "opening",
    [
        head("GET", "/livez", X="x" * 65_536),
        head("GET", "/livez", X="x" * 10_000_000),
        head("GET", "/" + "x" * 65_536),
        get("/livez")[:-2] + b"X: x\r\n" * 20_000,
        b"\r\n" * 40_000,
    ],
    ids=["just too large", "ten million", "a path", "many headers", "empty lines"],
)
async def test_a_head_that_is_too_large_is_refused(gateway: Gateway, opening: bytes):
    before = gateway.forget_most_resident()
    async with connected(gateway.port) as wire:
        try:
            await wire.send(opening)
            assert (await wire.answer()).status == 431
        except (ConnectionError, IncompleteReadError):
            pass  # it was closed while we sent
        assert await wire.is_closed()
    assert gateway.most_resident() - before < 4 * MIB


async def test_trailers_without_end_are_not_kept(gateway: Gateway):
    before = gateway.forget_most_resident()
    async with connected(gateway.port) as wire:
        await wire.send(head("POST", EVENTS, Transfer_Encoding="chunked"), b"2\r\n{}\r\n0\r\n")
        with pytest.raises(ConnectionError):
            await wire.send_until_closed(b"X: %b\r\n" % (b"x" * 1000) * 1000)
    assert gateway.most_resident() - before < 8 * MIB


async def test_trailers_are_allowed(gateway: Gateway):
    async with connected(gateway.port) as wire:
        body = chunked(message(1, "trailed"))[:-2] + b"X: y\r\n\r\n"
        await wire.send(head("POST", EVENTS, Transfer_Encoding="chunked"), body, get("/livez"))
        assert (await wire.answer()).status == 200
        assert (await wire.answer()).body == b'{"status":"ok"}'


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00" * 1000,
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"GET /livez HTTP/9.9\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        head("POST", EVENTS, Content_Length="-1") + b"{}",
        head("POST", EVENTS, Content_Length="2x") + b"{}",
        head("POST", EVENTS, Content_Length=2, Transfer_Encoding="chunked") + b"{}",
        head("POST", EVENTS)[:-2] + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}}",
        head("POST", EVENTS, Transfer_Encoding="chunked") + b"zz\r\n{}\r\n",
        head("POST", EVENTS, Transfer_Encoding="chunked") + b"fffffffffffffffff\r\n{}\r\n",
        head("POST", EVENTS, Transfer_Encoding="gzip, identity") + b"{}",
    ],
    ids=lambda garbage: repr(garbage[:60].replace(b"POST /v1/activity-events", b""))[2:-1],
)
async def test_what_is_not_http_is_a_bad_request_and_closed(gateway: Gateway, garbage: bytes):
    async with connected(gateway.port) as wire:
        await wire.send(garbage)
        answer = await wire.answer()
        assert (answer.status, answer.headers["content-type"]) == (400, MEDIA_TYPE)
        assert orjson.loads(answer.body)["status"] == 400
        assert await wire.is_closed()


@pytest.mark.parametrize(
    "asked",
    [
        head("CONNECT", "example.org:443"),
        head("GET", "/livez", Connection="Upgrade", Upgrade="websocket"),
        head("PRI", "*"),
        head("OPTIONS", "*"),
        b"GET /livez HTTP/1.0\r\n\r\n",
    ],
    ids=["connect", "upgrade", "http/2", "options", "http/1.0"],
)
async def test_what_is_odd_is_answered_and_does_not_stay(gateway: Gateway, asked: bytes):
    async with connected(gateway.port) as wire:
        await wire.send(asked)
        assert (await wire.answer()).status < 500
        await wire.send(b"\r\n")
        assert await wire.is_closed()


async def test_a_length_too_long_is_no_message_and_one_too_short_is_the_end(gateway: Gateway):
    body = message(1, "lengths")
    async with connected(gateway.port) as wire:
        await wire.send(head("POST", EVENTS, Content_Length=len(body) + 1), body)
        wire.writer.write_eof()
        assert await wire.is_closed()
    async with connected(gateway.port) as wire:
        await wire.send(head("POST", EVENTS, Content_Length=len(body)), body, b"\x00rest")
        assert orjson.loads((await wire.answer()).body)["accepted"] == 1  # and not a duplicate
        assert await wire.is_closed()


async def test_who_has_no_more_to_send_still_gets_an_answer(gateway: Gateway):
    async with connected(gateway.port) as wire:
        await wire.send(post(message(1, "half-closed")), get("/livez"))
        wire.writer.write_eof()
        assert orjson.loads((await wire.answer()).body)["accepted"] == 1
        assert (await wire.answer()).status == 200
        assert await wire.is_closed()


async def test_who_leaves_before_the_answer_has_stored_once(gateway: Gateway):
    for user in (f"left-{number}" for number in range(50)):
        async with connected(gateway.port) as wire:
            await wire.send(post(message(1, user)))
    for user in (f"left-{number}" for number in range(50)):
        async with connected(gateway.port) as wire:
            await wire.send(post(message(1, user)))
            answer = orjson.loads((await wire.answer()).body)
            assert answer["accepted"] + answer["duplicates"] == 1
            await wire.send(get(f"/v1/users/{user}/days/2025-11-01"))
            assert orjson.loads((await wire.answer()).body)["total"]["steps"] == 2


async def test_requests_ahead_are_answered_in_order(gateway: Gateway):
    async with connected(gateway.port) as wire:
        await wire.send(*(post(message(n, f"ahead-{n % 7}", n)) for n in range(30)))
        assert [orjson.loads(own.body)["accepted"] for own in await wire.answers(30)] == [1] * 30
        await wire.send(get("/nothing"), get("/livez"), get("/v1/users/ahead-1/days/2025-11-01"))
        assert [own.status for own in await wire.answers(3)] == [404, 200, 200]


async def test_ever_more_requests_ahead_of_their_answers_take_no_memory(gateway: Gateway):
    before = gateway.forget_most_resident()
    async with connected(gateway.port) as wire:
        with pytest.raises(ConnectionError):
            await wire.send_until_closed(get("/livez") * 10_000)
    assert gateway.most_resident() - before < 8 * MIB


async def test_garbage_behind_a_request_does_not_come_between_it_and_its_answer(gateway: Gateway):
    async with connected(gateway.port) as wire:
        await wire.send(post(message(1, "before-garbage")), b"\x00garbage")
        assert orjson.loads((await wire.answer()).body)["accepted"] == 1
        assert await wire.is_closed()


async def test_who_never_reads_an_export_is_cut_off(gateway: Gateway):
    lines = b"\n".join(message(n, "exported", n) for n in range(30_000))
    stored = gateway.post(EVENTS, lines, headers={"Content-Type": "application/x-ndjson"})
    assert stored.json()["accepted"] == 30_000
    files, before = await open_files(gateway), gateway.forget_most_resident()
    async with connected(gateway.port) as wire:
        await wire.send(*[get("/v1/users/exported/export")] * 4)
        await _until_files(gateway, files)
        assert gateway.most_resident() - before < 16 * MIB
        with pytest.raises((IncompleteReadError, ConnectionError)):
            await wire.answers(4)


async def test_who_never_reads_the_stream_is_cut_off(gateway: Gateway):
    files = await open_files(gateway)
    async with connected(gateway.port) as wire:
        await wire.send(get("/v1/stream"))
        await wire.reader.readuntil(b"\r\n\r\n")
        before = gateway.forget_most_resident()
        lines = b"\n".join(message(n, f"streamed-{n}") for n in range(20_000))
        headers = {"Content-Type": "application/x-ndjson"}
        for _ in range(2):
            assert gateway.post(EVENTS, lines, headers=headers).status_code == 200
        await _until_files(gateway, files)
        assert gateway.most_resident() - before < 64 * MIB  # the totals are most of it


async def test_readers_of_the_stream_that_leave_are_forgotten_at_once(gateway: Gateway):
    for _ in range(150):  # more than may listen at a time
        async with connected(gateway.port) as wire:
            await wire.send(get("/v1/stream"))
            assert b"200" in await wire.reader.readuntil(b"\r\n")


async def _until_files(gateway: Gateway, files: int) -> None:
    """Wait until it has no more connections than when it had so many open files."""
    deadline = time.monotonic() + 30
    while await open_files(gateway) > files:
        assert time.monotonic() < deadline, "the connection stays open"
