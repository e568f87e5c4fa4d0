"""A proxy between a driver and its server: it loses replies, cuts connections, and looks old.

Of MongoDB's wire protocol it reads the length before each message, and what a command is called.
It runs in a thread of its own, so that a test may wait for a process that goes through it.
"""

import asyncio
import struct
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from urllib.parse import urlsplit

import pymongo

ANY = "any"  # command, but for those by which a driver makes and watches its connections
OP_MSG = 2013
STRING = 2
MAX_WIRE_VERSION = b"\x10maxWireVersion\x00"  # in BSON, a 32-bit number of this name
DEADLINE_SECONDS = 10
_CONNECTING = ("hello", "ping", "endSessions", "saslStart", "saslContinue")


class Fault(Enum):
    """What happens to a command and its reply."""

    CUT_BEFORE = auto()  # the server never hears of it, and the connection is gone
    CUT_AFTER = auto()  # the server does it; instead of a reply, the connection is gone
    SILENCE = auto()  # the server does it, and nothing comes back
    DOWN_BEFORE = auto()  # as the first two, and no connection is let in any more
    DOWN_AFTER = auto()


class Proxy:
    """Forwards to one server; set `is_down` to False to let connections in again."""

    def __init__(self, uri: str) -> None:
        with pymongo.MongoClient(uri) as client:
            client.admin.command("ping")
            assert client.address is not None
            self._behind = client.address
        self._given = urlsplit(uri)
        self._armed: dict[str, deque[Fault | None]] = {}
        self._links: set[asyncio.Task[None]] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self.is_down = False
        self.max_wire_version: int | None = None
        self.port = 0

    @property
    def uri(self) -> str:
        """The address of the server by way of here."""
        user, at, _ = self._given.netloc.rpartition("@")
        query = "&".join(filter(None, (self._given.query, "directConnection=true")))
        return f"mongodb://{user}{at}127.0.0.1:{self.port}{self._given.path or '/'}?{query}"

    def arm(self, command: str, *faults: Fault | None) -> None:
        """Let these happen to the next such commands in order; None lets one pass.

        A command is a name and a collection, "insert daily_totals", or `ANY`.
        """
        self._armed[command] = deque(faults)

    def is_armed(self, command: str) -> bool:
        """Whether something has still to happen to such a command."""
        return bool(self._armed[command])

    def run(self, is_ready: threading.Event) -> None:
        """Forward until `stop` is called; `is_ready` is set as soon as `port` is open."""
        asyncio.run(self._serve(is_ready))

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)

    async def _serve(self, is_ready: threading.Event) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._link, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        is_ready.set()
        await self._stopped.wait()
        server.close()
        self._go_down()
        await asyncio.gather(*self._links)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it ends at either end."""
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        self._clients.add(writer)
        with suppress(OSError):
            await self._forward(reader, writer)
        writer.close()
        self._clients.discard(writer)
        self._links.discard(link)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_down:
            return
        behind_reader, behind_writer = await asyncio.open_connection(*self._behind)
        after: deque[Fault] = deque()
        ways = [
            asyncio.ensure_future(self._forward_commands(reader, behind_writer, after)),
            asyncio.ensure_future(self._forward_replies(behind_reader, writer, after)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        behind_writer.close()
        for way in ways:
            way.cancel()

    async def _forward_commands(
        self, reader: asyncio.StreamReader, behind: asyncio.StreamWriter, after: deque[Fault]
    ) -> None:
        async for message in _messages(reader):
            fault = self._fault_of(message)
            if fault is Fault.DOWN_BEFORE:
                self._go_down()
            if fault in (Fault.CUT_BEFORE, Fault.DOWN_BEFORE):
                return
            if fault is not None:
                after.append(fault)
            behind.write(message)

    async def _forward_replies(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, after: deque[Fault]
    ) -> None:
        async for message in _messages(reader):
            fault = after.popleft() if after else None
            if fault is Fault.DOWN_AFTER:
                self._go_down()
            if fault in (Fault.CUT_AFTER, Fault.DOWN_AFTER):
                return
            if fault is None:
                writer.write(self._aged(message))

    def _fault_of(self, message: bytes) -> Fault | None:
        command = _command_of(message)
        names = (command,) if command.startswith(_CONNECTING) else (command, ANY)
        faults = next((self._armed[name] for name in names if self._armed.get(name)), None)
        return faults.popleft() if faults else None

    def _go_down(self) -> None:
        self.is_down = True
        for client in self._clients:
            client.transport.abort()

    def _aged(self, message: bytes) -> bytes:
        before, name, after = message.partition(MAX_WIRE_VERSION)
        if self.max_wire_version is None or not name:
            return message
        return before + name + struct.pack("<i", self.max_wire_version) + after[4:]


@contextmanager
def proxied(uri: str) -> Iterator[Proxy]:
    """A proxy to the server of an address, for as long as the block runs."""
    proxy, is_ready = Proxy(uri), threading.Event()
    thread = threading.Thread(target=proxy.run, args=(is_ready,))
    thread.start()
    try:
        assert is_ready.wait(DEADLINE_SECONDS)
        yield proxy
    finally:
        proxy.stop()
        thread.join()


async def _messages(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The messages that come, to the end of the connection."""
    with suppress(OSError, asyncio.IncompleteReadError):
        while True:
            length = await reader.readexactly(4)
            yield length + await reader.readexactly(struct.unpack("<i", length)[0] - 4)


def _command_of(message: bytes) -> str:
    """The name and the collection of a command; only a handshake is not of `OP_MSG`."""
    if struct.unpack_from("<i", message, 12) != (OP_MSG,):
        return "hello"
    name, _, value = message[26:].partition(b"\0")  # behind the header, flags, and lengths
    collection = value[4:].partition(b"\0")[0] if message[25] == STRING else b""
    return f"{name.decode()} {collection.decode()}".strip()
