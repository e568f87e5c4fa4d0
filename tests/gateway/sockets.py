"""HTTP by hand, on plain sockets: requests as no client library would send them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import orjson

DEADLINE_SECONDS = 30
EVENTS = "/v1/activity-events"


class Answer(NamedTuple):
    """What came back for a request."""

    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))
        await self.writer.drain()

    async def send_until_closed(self, piece: bytes, every_seconds: float = 0) -> None:
        """Send it again and again; raises `ConnectionError`, or `TimeoutError` at the deadline."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                await self.send(piece)
                await asyncio.sleep(every_seconds)

    async def answers(self, count: int) -> list[Answer]:
        return [await self.answer() for _ in range(count)]

    async def answer(self) -> Answer:
        """The next answer; `IncompleteReadError` where the connection ends before."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines)
            if "content-length" in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
            else:
                body = b"".join([chunk async for chunk in self.chunks()])
            return Answer(int(first.split()[1]), headers, body)

    async def chunks(self) -> AsyncIterator[bytes]:
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)

    async def is_closed(self) -> bool:
        """Wait until the other side has closed it; False at the deadline."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while await self.reader.read(65536):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Wire]:
    """A connection for as long as the block runs."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


def head(method: str, path: str, **headers: object) -> bytes:
    """A head with these headers, and Host; what is posted is JSON unless it is said."""
    if method == "POST":
        headers = {"Content_Type": "application/json", **headers}
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{''.join(lines)}\r\n".encode()


def get(path: str, **headers: object) -> bytes:
    return head("GET", path, **headers)


def post(body: bytes, path: str = EVENTS, **headers: object) -> bytes:
    return head("POST", path, Content_Length=len(body), **headers) + body


def chunked(*pieces: bytes) -> bytes:
    """A body in chunks, and its end."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def message(number: int, user: str | None = None, minute: int = 0) -> bytes:
    """One event of a user of its own."""
    day, rest = divmod(minute, 1440)
    ts = f"2025-11-{1 + day:02d}T{rest // 60:02d}:{rest % 60:02d}:00Z"
    user = f"user-{number:05d}" if user is None else user
    return orjson.dumps({"user_id": user, "events": [{"ts": ts, "steps": 1 + number % 90}]})
