"""The messages in the body of a request: JSON or NDJSON, gzipped or not, read within bounds.

A JSON body is one message or an array of them; it is read whole, so it is bounded. NDJSON is a
message a line; it is read as it streams in, and bounded in what of it waits. Not a byte of a
message is changed. What is no message is left to the decoder, so that it gets a reason.
"""

import asyncio
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from starlette.requests import Request

from ingest.core.codec import MESSAGE_BYTES_MAX
from ingest.gateway.problems import Problem

BODY_BYTES_MAX: Final = 16 * 1024 * 1024
MESSAGES_MAX: Final = 10_000  # in an array
GROUP_MESSAGES: Final = 1_000  # of a stream, at once
GROUP_BYTES: Final = 1024 * 1024
STREAM_BYTES: Final = 4 * 1024 * 1024  # what a stream holds at most: a group, a line, a piece
PIECE_BYTES: Final = 256 * 1024
BODY_SECONDS: Final = 60.0  # for a whole JSON body
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"


class Budget:
    """Bytes of all bodies that are being read; who would exceed it is sent away."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self.bytes = 0

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """A request's part of it, given back at the end of the block."""
        share = Share(self)
        try:
            yield share
        finally:
            self.bytes -= share.bytes

    def take(self, count: int) -> None:
        if self.bytes + count > self._bytes_max:
            raise busy()
        self.bytes += count


class Share:
    """What one request has of a budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.bytes = 0

    def take(self, count: int) -> None:
        """Take so many bytes more; raises `Problem` where there are none left."""
        self._budget.take(count)
        self.bytes += count


class Streams:
    """How many streams each caller has: one of them is not to take the room of all."""

    def __init__(self, of_one_max: int) -> None:
        self._of_one_max = of_one_max
        self._open: Counter[str] = Counter()

    @contextmanager
    def entered(self, name: str) -> Iterator[None]:
        """One more for as long as the block runs; raises `Problem` where there are enough."""
        if self._open[name] >= self._of_one_max:
            code, headers = "TOO_MANY_STREAMS", {"Retry-After": "5"}
            raise Problem(429, "Too many streams", code=code, headers=headers)
        self._open[name] += 1
        try:
            yield
        finally:
            self._open[name] -= 1
            if not self._open[name]:
                del self._open[name]


def busy() -> Problem:
    """Why a request is sent away for now."""
    return Problem(503, "Busy", code="BUSY", detail="send it again later", headers=_LATER)


def media_type_of(request: Request) -> str:
    """`JSON` or `NDJSON`; raises `Problem` for anything else.

    It must be said: a page of another origin may send other types, or none, without being asked.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in (JSON, NDJSON):
        raise Problem(415, "Unsupported media type", detail=f"send {JSON} or {NDJSON}")
    return given


async def messages_of(request: Request, share: Share, idle_seconds: float) -> list[bytes]:
    """The message, or the messages of the array, that a JSON body is."""
    body = bytearray()
    began_at = time.monotonic()
    async for piece in _pieces(request, idle_seconds):
        share.take(len(piece))
        body += piece
        if len(body) > BODY_BYTES_MAX:
            detail = f"a body may have {BODY_BYTES_MAX} bytes; stream {NDJSON} instead"
            raise Problem(413, "Body too large", detail=detail)
        if time.monotonic() - began_at > BODY_SECONDS:
            raise _too_slow()
    return _split(bytes(body))


async def groups_of(
    request: Request, share: Share, idle_seconds: float
) -> AsyncIterator[list[bytes]]:
    """The lines of an NDJSON body that are not blank, some at a time, as they come.

    A line that is too long for a message is cut off where that shows.
    """
    share.take(STREAM_BYTES)
    group: list[bytes] = []
    size = 0
    async for line in _lines(request, idle_seconds):
        group.append(line)
        size += len(line)
        if len(group) >= GROUP_MESSAGES or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


async def _lines(request: Request, idle_seconds: float) -> AsyncIterator[bytes]:
    rest = b""
    async for piece in _pieces(request, idle_seconds):
        if len(rest) > MESSAGE_BYTES_MAX:  # it is refused by its length already
            _, end, others = piece.partition(b"\n")
            left = end + others
        else:
            left = piece
        if not left or (not rest and left.isspace()):
            continue  # at the speed of memory: little that was zipped may be very much of this
        *lines, rest = (rest + left).split(b"\n")
        for line in lines:
            if kept := line.strip():
                yield kept[: MESSAGE_BYTES_MAX + 1]
        rest = rest.lstrip()[: MESSAGE_BYTES_MAX + 1]
    if kept := rest.strip():
        yield kept


def _split(body: bytes) -> list[bytes]:
    try:
        if body.lstrip()[:1] != b"[":
            _JSON.decode(body)
            return [body]
        messages = [bytes(raw) for raw in _ARRAY.decode(body)]
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Problem(400, "Malformed body", code="MALFORMED_BODY", detail="not JSON") from None
    if not messages:
        raise Problem(400, "Malformed body", code="MALFORMED_BODY", detail="an array of no message")
    if len(messages) > MESSAGES_MAX:
        detail = f"an array may have {MESSAGES_MAX} messages; stream {NDJSON} instead"
        raise Problem(413, "Body too large", detail=detail)
    return messages


async def _pieces(request: Request, idle_seconds: float) -> AsyncIterator[bytes]:
    """The body as it comes, unzipped, in pieces that are bounded."""
    match request.headers.get("content-encoding", "identity").strip().lower():
        case "identity":
            async for chunk in _chunks(request, idle_seconds):
                yield chunk
        case "gzip" | "x-gzip":
            async for piece in _unzipped(_chunks(request, idle_seconds)):
                yield piece
        case _:
            raise Problem(415, "Unsupported encoding", detail="send gzip, or nothing of the kind")


async def _chunks(request: Request, idle_seconds: float) -> AsyncIterator[bytes]:
    is_more = True
    while is_more:
        try:
            async with asyncio.timeout(idle_seconds):
                message = await request.receive()
        except TimeoutError:
            raise _too_slow() from None
        if message["type"] == "http.disconnect":
            raise Problem(400, "Body cut short", code="CUT_SHORT")
        if chunk := message.get("body"):
            yield chunk
        is_more = message.get("more_body", False)


async def _unzipped(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What gzip members, one after the other, hold; never more of it at once than a piece."""
    inflating = zlib.decompressobj(wbits=31)
    is_begun = False
    async for chunk in chunks:
        left = chunk
        while left:
            is_begun = True
            try:
                piece = inflating.decompress(left, PIECE_BYTES)
            except zlib.error:
                raise Problem(
                    400, "Malformed body", code="MALFORMED_BODY", detail="not gzip"
                ) from None
            left = inflating.unconsumed_tail
            if inflating.eof:
                left = inflating.unused_data
                inflating, is_begun = zlib.decompressobj(wbits=31), False
            yield piece
            await asyncio.sleep(0)  # a chunk may be a thousand pieces, and others have their turn
    if is_begun:
        raise Problem(400, "Body cut short", code="CUT_SHORT", detail="the gzip does not end")


def _too_slow() -> Problem:
    return Problem(408, "Too slow", code="TOO_SLOW")


_LATER: Final = {"Retry-After": "1"}
_JSON: Final = msgspec.json.Decoder(msgspec.Raw)
_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])
