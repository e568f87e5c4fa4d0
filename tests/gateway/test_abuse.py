"""Too much of everything: the service answers all of it, or says when to come back, in bounds."""

import asyncio
import gzip
import resource
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from ingest.gateway.keys import Scope, create_key
from tests.gateway.server import MIB, Gateway, serving
from tests.gateway.sockets import EVENTS, Answer, chunked, connected, get, head, message, post

pytestmark = pytest.mark.e2e

JSON, NDJSON = "application/json", "application/x-ndjson"
HUNDRED_MB = gzip.compress(bytes(100_000_000), mtime=0)  # a member; ten of them are a gzip too


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with serving(tmp_path) as one:
        yield one
        assert "ingest.bug" not in one.log()
        assert "Traceback" not in one.log()


async def test_a_bomb_of_10_gb_is_too_large_for_a_json_body(gateway: Gateway):
    before = gateway.forget_most_resident()
    async with connected(gateway.port) as wire:
        bomb = post(HUNDRED_MB * 100, Content_Type=JSON, Content_Encoding="gzip")
        sending = asyncio.create_task(wire.send(bomb))
        assert (await wire.answer()).status == 413
        await sending
    assert gateway.most_resident() - before < 48 * MIB  # three times what a body may have


@pytest.mark.parametrize("unit", [b"\0", b"\n"], ids=["zeros", "blank lines"])
async def test_a_bomb_of_1_gb_as_lines_is_a_refused_line_or_none(gateway: Gateway, unit: bytes):
    bomb = gzip.compress(unit * 100_000_000, mtime=0) * 10
    before = gateway.forget_most_resident()
    async with connected(gateway.port) as wire, connected(gateway.port) as other:
        await wire.send(post(bomb, Content_Type=NDJSON, Content_Encoding="gzip"))
        answering = asyncio.create_task(wire.answer())
        others = 0
        while not answering.done():  # who else asks meanwhile is answered
            await other.send(get("/livez"))
            assert (await other.answer()).status == 200
            others += 1
        answer = orjson.loads((await answering).body)
    assert gateway.most_resident() - before < 16 * MIB
    reasons = [refused["reason"] for refused in answer["refused"]]
    assert reasons == (["MESSAGE_TOO_LARGE"] if unit == b"\0" else [])
    assert others > 20


async def test_a_hundred_megabytes_of_lines_take_no_more_memory_than_one(gateway: Gateway):
    fields = orjson.loads(message(1, "steady"))
    line = orjson.dumps(fields | {"note": "x" * 24_000}) + b"\n"  # a field that nobody knows
    piece = line * 20
    count = 100_000_000 // len(piece) + 1
    async with connected(gateway.port) as wire:
        await wire.send(post(piece, Content_Type=NDJSON))
        assert (await wire.answer()).status == 200
        before = gateway.forget_most_resident()
        await wire.send(head("POST", EVENTS, Transfer_Encoding="chunked", Content_Type=NDJSON))
        end = chunked()
        for _ in range(count):
            await wire.send(chunked(piece)[: -len(end)])
        await wire.send(end)
        answer = orjson.loads((await wire.answer()).body)
    assert (answer["messages"], answer["duplicates"]) == (20 * count, 20 * count)
    assert answer["records"] == 20 * count
    assert gateway.most_resident() - before < 60 * MIB


async def test_ten_thousand_that_push_at_once_are_answered_or_told_to_come_back(gateway: Gateway):
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    count = 10_000
    assert most > count + 500, f"ulimit -n is {most}: too few for {count} sockets on each side"
    before = gateway.forget_most_resident()
    async with AsyncExitStack() as stack:
        opening = asyncio.Semaphore(200)

        async def opened(number: int):
            async with opening:
                return await stack.enter_async_context(connected(gateway.port))

        wires = await asyncio.gather(*map(opened, range(count)))

        async def pushed(number: int) -> Answer:
            await wires[number].send(post(message(number)))
            return await wires[number].answer()

        answers = await asyncio.gather(*map(pushed, range(count)))
        assert gateway.most_resident() - before < 400 * MIB
        by_status = Counter(answer.status for answer in answers)
        assert by_status.keys() <= {200, 503}
        assert by_status[200] >= 1000
        assert all(answer.headers["retry-after"] for answer in answers if answer.status == 503)
        await asyncio.gather(*(own.send(get(_day_of(number))) for number, own in enumerate(wires)))
        days = await asyncio.gather(*(wire.answer() for wire in wires))
        stored = [orjson.loads(day.body)["total"]["steps"] for day in days if day.status == 200]
        assert [200 if a.status == 200 else 404 for a in answers] == [day.status for day in days]
        assert sum(stored) == sum(1 + n % 90 for n, a in enumerate(answers) if a.status == 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))
    assert gateway.records() == {"accepted": by_status[200]}


def _day_of(number: int) -> str:
    return f"/v1/users/user-{number:05d}/days/2025-11-01"


async def test_a_key_over_its_rate_waits_as_long_as_told_and_another_does_not(tmp_path: Path):
    file = tmp_path / "keys.json"
    greedy, modest = (f"Bearer {_token_in(file, name)}" for name in ("greedy", "modest"))
    with serving(tmp_path, API_KEYS_FILE=file, API_RATE_MAX="1") as gateway:
        async with connected(gateway.port) as wire:
            await wire.send(*(post(message(n), Authorization=greedy) for n in range(20)))
            answers = await wire.answers(20)
            assert [answer.status for answer in answers[:2]] == [200, 200]
            assert answers[-1].status == 429
            await wire.send(post(message(1), Authorization=modest))
            assert (await wire.answer()).status == 200
            await asyncio.sleep(int(answers[-1].headers["retry-after"]))
            await wire.send(post(message(1), Authorization=greedy))
            assert (await wire.answer()).status == 200


def _token_in(file: Path, name: str) -> str:
    """A new key that may push."""
    scopes, now = [Scope.PUSH], datetime.now(UTC)
    _, token = create_key(file, name=name, scopes=scopes, user_prefix=None, now=now)
    return token


async def test_what_was_begun_before_the_end_is_answered(tmp_path: Path):
    with serving(tmp_path, SHUTDOWN_SECONDS="10") as gateway:
        async with AsyncExitStack() as stack:
            wires = [await stack.enter_async_context(connected(gateway.port)) for _ in range(200)]
            slow, idle, listening, *others = wires
            await listening.send(get("/v1/stream"))
            await listening.reader.readuntil(b"\r\n\r\n")
            begun, rest = message(1, "slow")[:10], message(1, "slow")[10:]
            await slow.send(head("POST", EVENTS, Content_Length=len(begun + rest)), begun)
            await idle.send(get("/livez"))
            assert (await idle.answer()).status == 200
            for number, wire in enumerate(others):
                await wire.send(post(message(number)))
            assert (await others[-1].answer()).status == 200  # so the others are begun too
            began_at = time.monotonic()
            gateway.send(signal.SIGTERM)
            assert await listening.is_closed()  # it would go on for ever
            assert await idle.is_closed()
            await slow.send(rest)
            answers = [await wire.answer() for wire in (slow, *others[:-1])]
            assert {answer.status for answer in answers} == {200}
        assert await asyncio.to_thread(gateway.exit_status) == 0
        assert time.monotonic() - began_at < 10


async def test_who_never_ends_does_not_keep_it_from_ending(tmp_path: Path):
    with serving(tmp_path, SHUTDOWN_SECONDS="1") as gateway:
        async with connected(gateway.port) as wire:
            await wire.send(head("POST", EVENTS, Content_Length=100), b"{")
            await asyncio.to_thread(gateway.get, "/livez")
            began_at = time.monotonic()
            gateway.send(signal.SIGTERM)
            assert await asyncio.to_thread(gateway.exit_status) == 0
        assert time.monotonic() - began_at < 8
