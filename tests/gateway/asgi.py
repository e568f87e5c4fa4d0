"""A service without a server: an application asked as a server asks it (ASGI 3)."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode

import orjson
from fastapi import FastAPI

from ingest.gateway import problems, queries, stream
from ingest.gateway.access import Guard
from ingest.gateway.rates import Rates
from ingest.gateway.stream import Hub
from ingest.settings import Settings

DEADLINE_SECONDS = 20


class Answer(NamedTuple):
    """What came back; `is_whole` where the answer came to its end."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool = True

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


def service_on(store, *, hub: Hub | None = None, topics=None) -> FastAPI:
    """The routes on a store, as the service puts them together."""
    app = FastAPI()
    problems.install(app)
    app.include_router(queries.router)
    app.include_router(stream.router)
    app.state.store, app.state.settings, app.state.topics = store, Settings(), topics
    app.state.hub = hub or Hub()
    app.state.guard = Guard(None, Rates(1, burst=1))
    return app


async def asked(
    app: FastAPI,
    path: str,
    method: str = "GET",
    *,
    headers: Mapping[str, str] = {},
    **query: str | int,
) -> Answer:
    """The answer to one request; `from_` is asked for as `from`."""
    pairs = {name.rstrip("_"): value for name, value in query.items()}
    async with connected(app, path, method, headers=headers, query=urlencode(pairs)) as live:
        begun = await live.message()
        body = b""
        while (message := await live.message()) is not None:
            body += message["body"]
            if not message.get("more_body"):
                return _answer(begun, body)
        return _answer(begun, body)._replace(is_whole=False)


class Live:
    """A request that is being answered; what was sent but not read fills its `room`."""

    def __init__(self, room: int) -> None:
        self.sent: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(room)
        self.gone = asyncio.Event()
        self._is_asked = False

    async def message(self) -> dict[str, Any] | None:
        """The next part of the answer; None where there is no more."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            message = await self.sent.get()
        self._room.release()
        return message

    async def send(self, message: dict[str, Any]) -> None:
        await self._room.acquire()
        self.sent.put_nowait(message)

    async def receive(self) -> dict[str, Any]:
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}


@asynccontextmanager
async def connected(
    app: FastAPI,
    path: str,
    method: str = "GET",
    *,
    headers: Mapping[str, str] = {},
    query: str = "",
    room: int = 1_000,
) -> AsyncIterator[Live]:
    """A request whose answer can be read part by part; the reader goes away in the end."""
    live = Live(room)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 12345),
        "root_path": "",
    }

    async def answer() -> None:
        try:
            await app(scope, live.receive, live.send)
        finally:
            live.sent.put_nowait(None)

    task = asyncio.create_task(answer())
    try:
        yield live
    finally:
        live.gone.set()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await task


def _answer(begun: dict[str, Any] | None, body: bytes) -> Answer:
    assert begun is not None, "no answer"
    headers = {name.decode(): value.decode() for name, value in begun["headers"]}
    return Answer(begun["status"], headers, body)
