"""A client that costs little: kept connections, requests made beforehand, answers hardly read.

`saturate` sends a request when one is answered, as fast as the server can; `visit` sends them at
fixed times, whether the server is ready or not.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from selectors import SelectSelector
from typing import Any, Final, NamedTuple, TypeVar

DEADLINE_SECONDS: Final = 120
HOST: Final = "127.0.0.1"
_LENGTH: Final = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)
Result = TypeVar("Result")


class Visits(NamedTuple):
    """Seconds of each request, from when it was due: to its answer, and to its being sent."""

    latencies: Sequence[float]
    delays: Sequence[float]
    answers: Sequence[bytes]


def request_of(path: str, body: bytes, media_type: str) -> bytes:
    """The bytes of a POST."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {media_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def saturate(port: int, requests: Sequence[bytes], connections: int) -> Sequence[bytes]:
    """Send all of them over so many connections, each its next when it has an answer; the bodies.

    Raises `ConnectionError` for an answer that is not 200.
    """
    return _run(_saturate(port, requests, connections))


def visit(port: int, requests: Sequence[bytes], connections: int, *, rate: float) -> Visits:
    """Send so many a second, evenly; one that finds every connection taken waits for the first.

    Raises `ConnectionError` for an answer that is not 200.
    """
    return _run(_visit(port, requests, connections, rate))


class _Connection(asyncio.Protocol):
    """A kept connection with one request at a time; `on_answer` is given the body of each."""

    def __init__(
        self,
        on_answer: Callable[["_Connection", bytes], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self._on_answer = on_answer
        self._on_failure = on_failure
        self._come = b""
        self.due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def send(self, request: bytes, due: float = 0.0) -> None:
        self.due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._come += data
        head, end, body = self._come.partition(b"\r\n\r\n")
        if not end:
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            self._on_failure(self._come[:300].decode(errors="replace"))
        elif (length := _LENGTH.search(head)) and len(body) >= int(length[1]):
            self._come = b""
            self._on_answer(self, body)

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_failure(f"the connection ended: {exc}")

    def close(self) -> None:
        self._transport.abort()


class _Client:
    """Connections to a port, and the end of the work on them."""

    def __init__(self, port: int, requests: int) -> None:
        self.answers: list[bytes] = []
        self._port = port
        self._requests = requests
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @asynccontextmanager
    async def connected(
        self, connections: int, on_answer: Callable[[_Connection], None]
    ) -> AsyncIterator[list[_Connection]]:
        """New connections, closed in the end; `on_answer` is told of each that has its answer."""

        def answered(connection: _Connection, body: bytes) -> None:
            self.answers.append(body)
            on_answer(connection)
            if len(self.answers) == self._requests and not self._done.done():
                self._done.set_result(None)

        loop = asyncio.get_running_loop()
        made: list[_Connection] = []
        try:
            for _ in range(connections):
                _, connection = await loop.create_connection(
                    lambda: _Connection(answered, self._failed), HOST, self._port
                )
                made.append(connection)
            yield made
        finally:
            for connection in made:
                connection.close()
            await asyncio.sleep(0)  # they are told that they are closed

    async def finished(self) -> None:
        """Return when every request has its answer."""
        await asyncio.wait_for(self._done, DEADLINE_SECONDS)

    def _failed(self, reason: str) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError(reason))


async def _saturate(port: int, requests: Sequence[bytes], connections: int) -> Sequence[bytes]:
    left = iter(requests)

    def send_next(connection: _Connection) -> None:
        if request := next(left, None):
            connection.send(request)

    client = _Client(port, len(requests))
    async with client.connected(connections, send_next) as made:
        for connection in made:
            send_next(connection)
        await client.finished()
    return client.answers


async def _visit(port: int, requests: Sequence[bytes], connections: int, rate: float) -> Visits:
    latencies: list[float] = []
    delays: list[float] = []
    waiting: deque[tuple[bytes, float]] = deque()
    free: list[_Connection] = []

    def is_free(connection: _Connection) -> None:
        latencies.append(time.perf_counter() - connection.due)
        free.append(connection)
        send_waiting()

    def send_waiting() -> None:
        while waiting and free:
            request, due = waiting.popleft()
            free.pop().send(request, due)

    client = _Client(port, len(requests))
    async with client.connected(connections, is_free) as made:
        free += made
        began = time.perf_counter()
        for place, request in enumerate(requests):
            due = began + place / rate
            await asyncio.sleep(due - time.perf_counter())
            delays.append(time.perf_counter() - due)
            waiting.append((request, due))
            send_waiting()
        await client.finished()
    return Visits(latencies, delays, client.answers)


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    """On a loop of `select`, whose timers know microseconds; those of epoll know milliseconds."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(SelectSelector())) as runner:
        return runner.run(work)
