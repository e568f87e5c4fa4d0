"""A connection that is bounded: heads, requests ahead of their answers, and waits for a client.

uvicorn 0.54 waits for ever: for the rest of a head of whatever length, or for a client to read. It
queues any number of requests that come before their answers, keeps trailers of any size, and takes
the end of what a client sends for the end of the client.
"""

import asyncio
from http import HTTPStatus
from typing import Final, NoReturn

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ingest.gateway.problems import MEDIA_TYPE

HEAD_SECONDS: Final = 10.0
HEAD_BYTES_MAX: Final = 64 * 1024
UNREAD_SECONDS: Final = 30.0  # how long an answer waits for the client to read any of it
AHEAD_MAX: Final = 32  # requests that wait for the answers to those before them
CONNECTIONS_MAX: Final = 20_000
ENDLESS: Final = "/v1/stream"


class HurriedConnection(HttpToolsProtocol):
    """uvicorn's, with clocks and measures for what a client may leave half done."""

    _clock: asyncio.TimerHandle | None = None  # runs while the client owes a head
    _unread_clock: asyncio.TimerHandle | None = None  # runs while it does not read
    _owed_bytes = 0  # of what is neither a complete head nor a body
    _is_in_body = False
    _is_deaf = False
    _refusal = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock for the first head."""
        super().connection_made(transport)
        self._refusal = BAD
        self._start_clock()

    def data_received(self, data: bytes) -> None:
        """Measure what is no body: a head that does not end, trailers, empty lines."""
        if self._is_deaf:
            return
        self._owed_bytes += len(data)
        super().data_received(data)
        if self._owed_bytes > HEAD_BYTES_MAX:
            self._refusal = TOO_LARGE
            self.send_400_response("")
        elif not self._is_under_way():
            self._start_clock()

    def on_message_begin(self) -> None:
        """Start the clock for one more head of the connection."""
        if len(self.pipeline) >= AHEAD_MAX:
            self._end_with(BAD)
        super().on_message_begin()
        self._start_clock()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Drop trailers: nobody asks for them."""
        if not self._is_in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop the clock, and let the request in."""
        self._stop_clock()
        self._owed_bytes = 0
        size = len(self.url) + sum([len(name) + len(value) for name, value in self.headers])
        if size > HEAD_BYTES_MAX:
            self._end_with(TOO_LARGE)
        if len(self.connections) > CONNECTIONS_MAX:
            self._end_with(BUSY)
        self._is_in_body = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A body has measures of its own."""
        self._owed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Begin to measure again."""
        self._is_in_body = False
        self._owed_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Read on for a while what is left of a body, so that its answer is not lost by a reset."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._start_unread_clock()  # it closes when all is sent, which may be never
        elif self._is_in_body and not self._is_under_way():
            self._start_clock()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's name for it
        """Refuse what came, but behind the answers to what came before it."""
        self._is_deaf = True
        self._stop_clock()
        if not self._is_under_way():
            self._refuse()
        elif not self._is_in_body:
            self.cycle.keep_alive = False
        elif self.cycle.response_started or self.pipeline:
            self.transport.abort()
        else:
            self._refuse()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Keep open for the answer; a request that is cut short has none, nor has TLS."""
        is_owed = self._is_under_way() and not self._is_in_body and self.scheme == "http"
        if not is_owed or self.cycle.scope["path"] == ENDLESS:
            return None
        self.cycle.keep_alive = False
        self._stop_clock()
        return True

    def pause_writing(self) -> None:
        """Start the clock for the client to read."""
        super().pause_writing()
        self._start_unread_clock()

    def resume_writing(self) -> None:
        """Stop it."""
        super().resume_writing()
        self._stop_unread_clock()

    def timeout_keep_alive_handler(self) -> None:
        """Close what is idle."""
        self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        self._stop_clock()
        self._stop_unread_clock()
        super().connection_lost(exc)

    def _is_under_way(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _end_with(self, refusal: bytes) -> NoReturn:
        """Leave the parser, which is not used again."""
        self._refusal = refusal
        raise httptools.HttpParserError("refused")

    def _refuse(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self._refusal)
            self._close()

    def _close(self) -> None:
        """Close it; a client that has not read what it was sent is not waited for any more."""
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._start_unread_clock()

    def _start_clock(self) -> None:
        if self._clock is None and not self.transport.is_closing():
            self._clock = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    def _head_is_late(self) -> None:
        self._clock = None
        if self._is_under_way():
            self._start_clock()  # perhaps we do not read it because of the request before
        else:
            self._close()

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _start_unread_clock(self) -> None:
        if self._unread_clock is None:
            self._unread_clock = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def _stop_unread_clock(self) -> None:
        if self._unread_clock is not None:
            self._unread_clock.cancel()
            self._unread_clock = None


def _refusal_of(status: HTTPStatus, headers: str = "") -> bytes:
    """An answer that needs no request, and ends the connection."""
    body = orjson.dumps({"type": "about:blank", "title": status.phrase, "status": status})
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
        f"content-length: {len(body)}\r\n{headers}connection: close\r\n\r\n"
    )
    return head.encode() + body


BAD: Final = _refusal_of(HTTPStatus.BAD_REQUEST)
TOO_LARGE: Final = _refusal_of(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
BUSY: Final = _refusal_of(HTTPStatus.SERVICE_UNAVAILABLE, "retry-after: 1\r\n")
