"""Answers to requests with an Idempotency-Key: the same request again gets the same answer.

IETF draft-ietf-httpapi-idempotency-key-header. The key is the message's own (DESIGN section 3), in
the scope of its user. Answers are kept in this process, the last ones of them: after that, or by
another replica, a repeated message is answered as what it is, all duplicates. That another message
has the key is found out in any case, by what the store remembers of it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import orjson
from starlette.datastructures import Headers

from ingest.core.dedupe import KeyRef
from ingest.gateway.problems import Problem

ANSWERS_MAX: Final = 10_000
REFUSED_MAX: Final = 100_000
Answer = dict[str, Any]


class Answers:
    """The answers given last, by key."""

    def __init__(self, size_max: int = ANSWERS_MAX, refused_max: int = REFUSED_MAX) -> None:
        self._size_max = size_max
        self._refused_max = refused_max  # of all answers: each may name a thousand records
        self._refused = 0
        self._given: OrderedDict[KeyRef, tuple[str, asyncio.Task[Answer]]] = OrderedDict()

    async def given(
        self, ref: KeyRef, fingerprint: str, answer: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """The answer to the message of this fingerprint, by `answer` if it was not asked before.

        A repetition waits for the first. One that failed may be asked again. Raises `Problem` where
        the key was used for another message.
        """
        known = self._given.get(ref)
        if known is None:
            task = asyncio.ensure_future(_finished(answer))
            self._given[ref] = fingerprint, task
            task.add_done_callback(lambda done: self._settle(ref, done))
        else:
            first, task = known
            if first != fingerprint:
                raise conflict()
        return await asyncio.shield(task)

    def _settle(self, ref: KeyRef, task: asyncio.Task[Answer]) -> None:
        is_kept = ref in self._given and self._given[ref][1] is task
        if task.cancelled() or task.exception() is not None:
            if is_kept:
                del self._given[ref]
        elif is_kept:  # or it had to go before it was known
            self._refused += _refused_in(task)
        while len(self._given) > self._size_max or self._refused > self._refused_max:
            _, (_, oldest) = self._given.popitem(last=False)
            self._refused -= _refused_in(oldest)


def conflict() -> Problem:
    """A key that was used for another message."""
    detail = "the key was used for another message"
    return Problem(422, "Idempotency conflict", code="IDEMPOTENCY_CONFLICT", detail=detail)


def key_of(headers: Headers) -> str | None:
    """The key in the header, a structured string or bare, if there is one."""
    text = headers.get("idempotency-key")
    if text is None:
        return None
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if not 0 < len(text) <= KEY_LENGTH_MAX or not text.isascii() or not text.isprintable():
        detail = f"Idempotency-Key: 1 to {KEY_LENGTH_MAX} printable ASCII characters"
        raise Problem(400, "Bad header", code="BAD_HEADER", detail=detail)
    return text


def with_key(message: bytes, key: str) -> bytes:
    """The message with the key as its own, nothing else of it changed."""
    try:
        fields = _FIELDS.decode(message)
    except msgspec.DecodeError:
        return message  # no object: it is refused for that
    own = fields.get("idempotency_key")
    if own is None and "idempotency_key" not in fields:
        opening = b'{"idempotency_key":' + orjson.dumps(key) + (b"," if fields else b"")
        return opening + message.lstrip()[1:]
    if own is None or orjson.loads(bytes(own)) != key:
        detail = "Idempotency-Key differs from the message's idempotency_key"
        raise Problem(400, "Bad header", code="BAD_HEADER", detail=detail)
    return message


def _refused_in(task: asyncio.Task[Answer]) -> int:
    """How many refused records an answer names; none where it is not known yet."""
    return len(task.result().get("refused", ())) if task.done() else 0


async def _finished(answer: Callable[[], Awaitable[Answer]]) -> Answer:
    return await answer()


KEY_LENGTH_MAX: Final = 255
_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
