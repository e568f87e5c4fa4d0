"""Messages in: one, an array of them, or a stream of lines."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import orjson
from fastapi import APIRouter, Request, Response
from pydantic_core import from_json
from starlette.types import ASGIApp, Receive, Scope, Send

from ingest.core.codec import decode
from ingest.core.dedupe import KeyRef
from ingest.core.records import Kind
from ingest.core.timestamps import Window
from ingest.errors import BatchRetryable, Reason
from ingest.gateway.access import Caller, Pusher, admitted, require
from ingest.gateway.bodies import (
    MESSAGES_MAX,
    NDJSON,
    Budget,
    Streams,
    busy,
    groups_of,
    media_type_of,
    messages_of,
)
from ingest.gateway.idempotency import (
    KEY_LENGTH_MAX,
    Answer,
    Answers,
    conflict,
    key_of,
    with_key,
)
from ingest.gateway.intake import ORIGINS, Busy, Failed, Intake
from ingest.gateway.keys import Scope as KeyScope
from ingest.gateway.problems import Problem, away, documented, problem_response
from ingest.gateway.tally import Forwarded, Judged, Tally
from ingest.ports import Store

router = APIRouter(tags=["push"])
BODIES_BYTES_MAX: Final = 64 * 1024 * 1024
STREAMS_BYTES_MAX: Final = 64 * 1024 * 1024
STREAMS_OF_ONE_MAX: Final = 4  # of the 16 that there is room for
_ONE: Final = {"$ref": "#/components/schemas/Message"}
_BODY: Final = {
    "requestBody": {
        "required": True,
        "description": "One message or an array of them, or a message a line; gzip is taken.",
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        _ONE,
                        {"type": "array", "items": _ONE, "minItems": 1, "maxItems": MESSAGES_MAX},
                    ]
                }
            },
            NDJSON: {"schema": {"type": "string"}},
        },
    },
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "Of one message: the same again is answered alike, another is refused.",
            "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH_MAX},
        }
    ],
}
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": Judged, "description": "Durable, with the verdicts (embedded)"},
    202: {"model": Forwarded, "description": "Written to Kafka, for workers to judge (kafka)"},
    **documented(400, 401, 403, 408, 413, 415, 422, 429, 503),
}


class Desk:
    """What pushes go through; `is_judging` where this process judges them itself."""

    def __init__(
        self, intake: Intake, store: Store, *, idle_seconds: float, is_judging: bool
    ) -> None:
        self.intake = intake
        self.budget = Budget(BODIES_BYTES_MAX)
        self.streamed = Budget(STREAMS_BYTES_MAX)  # apart, so that slow streams stop no one else
        self.streams = Streams(STREAMS_OF_ONE_MAX)
        self.answers = Answers()
        self.idle_seconds = idle_seconds
        self.is_judging = is_judging
        self._store = store

    async def answer(self, messages: Sequence[bytes], kind: Kind) -> Answer:
        """What became of these messages."""
        tally = Tally()
        try:
            tally.add(await self.intake.offer(messages, kind))
        except Busy:
            raise busy() from None
        except BatchRetryable as error:
            raise away(error) from None
        except Failed:
            raise Problem(500, "Internal error", code="BUG") from None
        return self.shown(tally)

    async def answer_to_key(self, message: bytes, kind: Kind, key: str) -> Answer:
        """As `answer`, of one message; raises `Problem` where its key was another message's."""
        user_id = _user_of(message)
        if user_id is None:
            return await self.answer([message], kind)
        ref = KeyRef(user_id, key)
        fingerprint = decode(message, kind, _ANY_TIME).fingerprint or _bytes_of(message, kind)
        return await self.answers.given(ref, fingerprint, partial(self._first, message, kind, ref))

    def shown(self, tally: Tally) -> Answer:
        return tally.judged() if self.is_judging else tally.forwarded()

    async def _first(self, message: bytes, kind: Kind, ref: KeyRef) -> Answer:
        if not self.is_judging:
            await self._look_up(message, kind, ref)
        answer = await self.answer([message], kind)
        reasons = {refused["reason"] for refused in answer["refused"]}
        if Reason.IDEMPOTENCY_CONFLICT in reasons:
            raise conflict()
        return answer

    async def _look_up(self, message: bytes, kind: Kind, ref: KeyRef) -> None:
        """Whether a worker remembers the key of another message."""
        known = await self._store.keys.fingerprints({ref}, _now())
        if ref in known and decode(message, kind, _ANY_TIME).fingerprint != known[ref]:
            raise conflict()


@router.post("/v1/activity-events", responses=_ANSWERS, openapi_extra=_BODY)
async def push_activity_events(request: Request, caller: Pusher) -> Response:
    """Push minute-level events."""
    return await _push(request, caller, Kind.ACTIVITY)


@router.post("/v1/health-snapshots", responses=_ANSWERS, openapi_extra=_BODY)
async def push_health_snapshots(request: Request, caller: Pusher) -> Response:
    """Push cumulative daily snapshots."""
    return await _push(request, caller, Kind.HEALTH)


class _Route(NamedTuple):
    path: str


class PushesFirst:
    """Takes pushes before they are routed: a fifth of what a small one costs is FastAPI's routing.

    The routes above are the same; they are what the service's document is made of.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = _KINDS.get(scope["path"]) if scope["type"] == "http" else None
        if kind is None or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope["route"] = _Route(scope["path"])  # as a router leaves it, for `Measured`
        request = Request(scope, receive)
        try:
            caller = admitted(request, KeyScope.PUSH)
            response = await _push(request, caller, kind)
        except Problem as problem:
            response = problem_response(problem)
        except BatchRetryable as error:
            response = problem_response(away(error))
        await response(scope, receive, send)


async def _push(request: Request, caller: Caller, kind: Kind) -> Response:
    desk: Desk = request.app.state.desk
    key = key_of(request.headers)
    if media_type_of(request) == NDJSON:
        if key is not None:
            raise _one_only()
        with desk.streams.entered(caller.name), desk.streamed.share() as share:
            groups = groups_of(request, share, desk.idle_seconds)
            return _response(desk, await _streamed(desk, groups, caller, kind))
    with desk.budget.share() as share:
        messages = await messages_of(request, share, desk.idle_seconds)
        _check_users(caller, messages)
        if key is None:
            return _response(desk, await desk.answer(messages, kind))
        if len(messages) > 1:
            raise _one_only()
        message = with_key(messages[0], key)
        return _response(desk, await desk.answer_to_key(message, kind, key))


async def _streamed(
    desk: Desk, groups: AsyncIterator[list[bytes]], caller: Caller, kind: Kind
) -> Answer:
    """What became of every line; where it ends early, the problem says what is done."""
    tally = Tally()
    try:
        async for group in groups:
            _check_users(caller, group)
            tally.add(await desk.intake.put(group, kind))
    except BatchRetryable as error:
        raise _with_done(away(error), tally) from None
    except Failed:
        raise _with_done(Problem(500, "Internal error", code="BUG"), tally) from None
    except Problem as problem:
        raise _with_done(problem, tally) from None
    return desk.shown(tally)


def _with_done(problem: Problem, tally: Tally) -> Problem:
    problem.members["done"] = {"messages": tally.messages, "records": tally.records}
    return problem


def _check_users(caller: Caller, messages: Sequence[bytes]) -> None:
    """A key for some users is for no message of another; what names nobody is refused later."""
    if caller.user_prefix is not None:
        for message in messages:
            if (user_id := _user_of(message)) is not None:
                require(caller, user_id)


def _user_of(message: bytes) -> str | None:
    """The user that the decoder will read in a message, by the same parser."""
    try:
        fields = from_json(message)
    except ValueError:
        return None
    user_id = fields.get("user_id") if isinstance(fields, dict) else None
    return user_id if isinstance(user_id, str) else None


def _one_only() -> Problem:
    detail = "Idempotency-Key is for one message; in others each has its own idempotency_key"
    return Problem(400, "Bad header", code="BAD_HEADER", detail=detail)


def _response(desk: Desk, answer: Answer) -> Response:
    status = 200 if desk.is_judging else 202
    return Response(orjson.dumps(answer), status, media_type="application/json")


def _bytes_of(message: bytes, kind: Kind) -> str:
    """What a message that is refused whole is known by."""
    return blake2b(kind.value.encode() + message, digest_size=16).hexdigest()


def _now() -> datetime:
    return datetime.now(UTC)


_KINDS: Final = {f"/v1/{origin}": kind for kind, origin in ORIGINS.items()}
_ANY_TIME: Final = Window(0, 2**62)
