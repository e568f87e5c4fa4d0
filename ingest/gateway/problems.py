"""What a request is told that cannot be answered: problems as RFC 9457 has them.

A problem names the field and the rule that broke, never a value or a user id.
"""

import traceback
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.errors import BatchRetryable, QueueUnavailable, StoreUnavailable

log = structlog.get_logger()
MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 5


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it so
    """End the request with this status; without a title, with the status's own phrase.

    `code` is what a program may tell problems of one status apart by.
    """

    def __init__(
        self,
        status: int,
        title: str = "",
        *,
        code: str | None = None,
        detail: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status)
        self.members: dict[str, Any] = {}  # more of the document
        self.status = status
        self.title = title or HTTPStatus(status).phrase
        self.code = code
        self.detail = detail
        self.headers = headers or {}


def problem_response(problem: Problem) -> Response:
    """The answer that a problem is."""
    fields = {
        "type": f"urn:ingest:{problem.code}" if problem.code else "about:blank",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
    }
    known = {name: field for name, field in fields.items() if field is not None}
    known |= problem.members
    return Response(
        orjson.dumps(known), problem.status, headers=dict(problem.headers), media_type=MEDIA_TYPE
    )


def unavailable(code: str, detail: str) -> Problem:
    """503, to be tried again in a few seconds."""
    retry = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return Problem(503, code=code, detail=detail, headers=retry)


def away(error: BatchRetryable) -> Problem:
    """503 for a store or broker that is away."""
    match error:
        case StoreUnavailable():
            return unavailable("STORE_UNAVAILABLE", "the store is away; try again")
        case QueueUnavailable():
            return unavailable("QUEUE_UNAVAILABLE", "the broker is away; try again")
    return unavailable("BUSY", "others change the same days; try again")


def install(app: FastAPI) -> None:
    """Answer whatever a route raises with a problem.

    A bug is caught by a middleware, the innermost if this is called first: Starlette raises again
    what its own handler of `Exception` has answered, and the server then logs it once more.
    """
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(BatchRetryable, _away)
    app.add_middleware(_BugsCaught)


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - what it is registered for
    return problem_response(error)


async def _invalid(_: Request, error: Exception) -> Response:
    """Names the first parameter and the rule; pydantic's messages do not quote what they got."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
    broken = error.errors()[0]
    where = broken["loc"][:2][-1]  # behind it stand pydantic's own names of types
    rule = broken["msg"].removeprefix("Value error, ")
    return problem_response(Problem(422, code="INVALID_PARAMETER", detail=f"{where}: {rule}"))


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    return problem_response(Problem(error.status_code, headers=error.headers))


async def _away(_: Request, error: Exception) -> Response:
    assert isinstance(error, BatchRetryable)  # noqa: S101 - as above
    log.warning("ingest.request_unanswered", reason=str(error))
    return problem_response(away(error))


class _BugsCaught:
    """A middleware that answers a bug with 500, and ends the connection of an answer cut short.

    An answer that has begun can only be left incomplete: the server then closes the connection,
    and no reader takes what there is for the whole.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def watched(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001, RUF100 - the boundary: a bug ends one request
            _log_failure(error)
            if not has_begun:
                await problem_response(Problem(500))(scope, receive, send)


def _log_failure(error: Exception) -> None:
    """A bug without its text, which may quote; a service that went away in mid-answer with its own.

    Starlette raises an error of its own from what there was a handler for, but no answer any more.
    """
    for own in (error, error.__cause__):
        if isinstance(own, BatchRetryable):
            log.warning("ingest.answer_cut_short", reason=str(own))
            return
    frames = [
        f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)
    ]
    log.error("ingest.bug", error=type(error).__name__, frames=frames)


_SCHEMA: Final[dict[str, Any]] = {
    "title": "Problem",
    "description": "What was wrong (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "description": "about:blank, or urn:ingest: and the code"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "the field and the rule; never a value"},
        "code": {"type": "string", "description": "for programs"},
    },
}
_RETRY: Final = {
    "Retry-After": {"description": "seconds to wait", "schema": {"type": "integer", "minimum": 1}}
}
_CHALLENGE: Final = {"WWW-Authenticate": {"schema": {"type": "string"}}}
_MEANINGS: Final[dict[int, tuple[str, dict[str, Any]]]] = {
    400: ("The request cannot be read", {}),
    401: ("No key, or one that is not known", _CHALLENGE),
    403: ("The key does not allow this", {}),
    404: ("There is no such thing", {}),
    408: ("The body came too slowly", {}),
    413: ("The body is too large", {}),
    415: ("The body is of another type", {}),
    422: ("A parameter breaks a rule", {}),
    429: ("Too many requests", _RETRY),
    503: ("The store or the broker is away, or there is no room", _RETRY),
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems of a route, as `responses` of FastAPI takes them."""
    return {
        status: {
            "description": _MEANINGS[status][0],
            "content": {MEDIA_TYPE: {"schema": _SCHEMA}},
            **({"headers": _MEANINGS[status][1]} if _MEANINGS[status][1] else {}),
        }
        for status in statuses
    }
