"""What an error is answered with: RFC 9457 problem documents, without a value or a user id."""

import traceback
from collections.abc import Mapping
from typing import Any, Final

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ingest.errors import BatchRetryable

log = structlog.get_logger()
MEDIA_TYPE: Final = "application/problem+json"
AWAY_SECONDS: Final = "5"


class Problem(Exception):  # noqa: N818 - named by its RFC
    """An answer other than what was asked for."""

    def __init__(
        self,
        status: int,
        title: str,
        *,
        code: str | None = None,
        detail: str | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        """`code` names the type, `members` are more of the document."""
        super().__init__(title)
        self.status = status
        self.headers = headers
        self.document = {
            "type": "about:blank" if code is None else f"urn:ingest:{code}",
            "title": title,
            "status": status,
            **({} if detail is None else {"detail": detail}),
            **({} if code is None else {"code": code}),
            **members,
        }


def problem_response(problem: Problem) -> Response:
    """The problem as an answer."""
    return Response(
        orjson.dumps(problem.document), problem.status, problem.headers, media_type=MEDIA_TYPE
    )


def away(error: BatchRetryable) -> Problem:
    """A store or broker that does not answer now."""
    headers = {"Retry-After": AWAY_SECONDS}
    return Problem(503, "Service unavailable", code="away", detail=str(error), headers=headers)


def install(app: FastAPI) -> None:
    """Let the app answer with problems."""

    @app.exception_handler(Problem)
    async def _problem(_: Request, problem: Problem) -> Response:
        return problem_response(problem)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> Response:
        broken = error.errors()[0]
        where = ".".join(str(part) for part in broken["loc"][1:])
        detail = f"{where}: {broken['msg']}"
        return problem_response(Problem(422, "Invalid request", code="invalid", detail=detail))

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> Response:
        return problem_response(
            Problem(error.status_code, str(error.detail), headers=error.headers)
        )

    @app.exception_handler(BatchRetryable)
    async def _away(_: Request, error: BatchRetryable) -> Response:
        return problem_response(away(error))

    @app.exception_handler(Exception)
    async def _bug(_: Request, error: Exception) -> Response:
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{f.filename}:{f.lineno} {f.name}" for f in frames[-5:]]
        log.error("ingest.bug", error=type(error).__name__, frames=places)
        return problem_response(Problem(500, "Internal error", code="bug"))


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer with, for its OpenAPI document."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _TITLES[status], "content": content} for status in statuses}


SCHEMA: Final = {
    "type": "object",
    "description": "RFC 9457. `code` names what is wrong where the status does not say it all.",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
    },
}
_TITLES: Final = {
    400: "The body or a header cannot be read",
    401: "A key is needed",
    403: "The key does not permit this",
    404: "There is none",
    408: "The body came too slowly",
    413: "The body is too large",
    415: "The media type or encoding is not taken",
    422: "The request breaks a rule",
    429: "Too many requests",
    503: "Busy, or the store or broker is away",
}
