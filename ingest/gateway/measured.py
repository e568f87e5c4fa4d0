"""What each request cost and came to, by route: as metrics, and as a line of the log.

Neither has a path: it may hold a user id.
"""

import time
from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.metrics import Metrics

log = structlog.get_logger()
OTHER: Final = "other"  # the page, and what is no route


class Measured:
    """Observes every request; a failure that is not the caller's is logged whatever the level."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 499  # as nginx has it: the caller went away before there was an answer

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", OTHER)
            self._metrics.request(route, scope["method"], status, seconds)
            say = log.warning if status >= 500 else log.debug  # noqa: PLR2004 - a server's own fault
            say("ingest.request", route=route, status=status, seconds=round(seconds, 4))
