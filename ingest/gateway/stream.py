"""Live totals: a hub that hands each new total to whoever listens, as server-sent events.

Nobody is waited for. What a reader has not taken yet is bounded; one that falls behind is cut off
and connects again, and the totals it missed are read from the store.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, cast

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ingest.core.documents import Document, total_message
from ingest.core.totals import DailyTotal
from ingest.gateway.access import Caller, reader
from ingest.gateway.parameters import Absent, SomeUser
from ingest.gateway.problems import Problem, documented, unavailable
from ingest.ports import DeadLetter

KEEP_ALIVE_SECONDS: Final = 15.0
WAITING_MAX: Final = 1_000  # events of a reader
SUBSCRIBERS_MAX: Final = 100
TOTALS_AT_ONCE: Final = 250  # published before readers have their turn
KEEP_ALIVE: Final = b": keep-alive\n\n"
OPENING: Final = b"retry: 2000\n\n"  # milliseconds before a reader connects again
EVENT_STREAM: Final = "text/event-stream"
router: Final = APIRouter()
Covers = Callable[[str], bool]


class Subscription:
    """The events of one reader, as an iterator over what came since the last time.

    It ends when it is closed or has fallen behind. A task may wait for it at a time.
    """

    def __init__(self, wants: Covers, hub: "Hub", *, with_outcomes: bool) -> None:
        self.wants = wants
        self.with_outcomes = with_outcomes
        self._hub = hub
        self._waiting: deque[bytes] = deque([OPENING])
        self._changed = asyncio.Event()
        self._is_over = False

    def offer(self, event: bytes) -> None:
        """Keep an event for the reader, or end it if there is no room."""
        if len(self._waiting) >= self._hub.waiting_max:
            self.close()
        else:
            self._waiting.append(event)
            self._changed.set()

    def close(self) -> None:
        """End it; twice is once."""
        self._is_over = True
        self._waiting.clear()
        self._changed.set()
        self._hub.forget(self)

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> bytes:
        """All that waits, or a comment where nothing comes for a while."""
        if not self._waiting and not self._is_over:
            self._changed.clear()
            try:
                async with asyncio.timeout(self._hub.keep_alive_seconds):
                    await self._changed.wait()
            except TimeoutError:
                return KEEP_ALIVE
        if self._is_over:
            raise StopAsyncIteration
        events = b"".join(self._waiting)
        self._waiting.clear()
        return events


class Hub:
    """Who listens, and what they are told."""

    def __init__(
        self,
        *,
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
        waiting_max: int = WAITING_MAX,
        subscribers_max: int = SUBSCRIBERS_MAX,
    ) -> None:
        self.keep_alive_seconds = keep_alive_seconds
        self.waiting_max = waiting_max
        self._subscribers_max = subscribers_max
        self._subscriptions: dict[Subscription, None] = {}
        self._published = 0
        self._is_closed = False

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens: where nobody does, nothing need be made."""
        return bool(self._subscriptions)

    def subscribe(
        self,
        user_id: str | None = None,
        covers: Covers = lambda _: True,
        *,
        with_outcomes: bool = False,
    ) -> Subscription:
        """The events from now on, of one user or of all that `covers` knows; raises a `Problem`.

        Whoever subscribes must close it.
        """
        if self._is_closed or len(self._subscriptions) >= self._subscribers_max:
            raise unavailable("TOO_MANY_READERS", "no more streams are served now; try again")
        wants = covers if user_id is None else lambda own: own == user_id and covers(own)
        subscription = Subscription(wants, self, with_outcomes=with_outcomes)
        self._subscriptions[subscription] = None
        return subscription

    def publish_total(self, message: Document, user_id: str) -> None:
        """Tell of a total, given as its message."""
        self._published += 1
        readers = [own for own in self._subscriptions if own.wants(user_id)]
        if readers:
            event = b"event: total\nid: %d\n" % self._published + _data(message)
            for subscription in readers:
                subscription.offer(event)

    def publish_outcome(self, outcome: Document) -> None:
        """Tell what a batch came to."""
        readers = [own for own in self._subscriptions if own.with_outcomes]
        if readers:
            event = b"event: outcome\n" + _data(outcome)
            for subscription in readers:
                subscription.offer(event)

    def forget(self, subscription: Subscription) -> None:
        """Drop a subscription, if it is there."""
        self._subscriptions.pop(subscription, None)

    def close(self) -> None:
        """End every stream, and begin none: a server that stops waits for its connections."""
        self._is_closed = True
        for subscription in [*self._subscriptions]:
            subscription.close()


class HubTopics:
    """A `Publisher` that feeds a hub. A reader that is away is no reason to wait."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def publish_totals(self, totals: Sequence[DailyTotal]) -> None:
        for place, total in enumerate(totals, 1):
            if not self._hub.is_heard:
                return
            self._hub.publish_total(total_message(total), total.day.user_id)
            if place % TOTALS_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def publish_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Nobody reads these here."""


class EventStream(StreamingResponse):
    """A subscription as an answer, closed with it, begun or not."""

    media_type = EVENT_STREAM

    def __init__(self, subscription: Subscription) -> None:
        super().__init__(
            subscription, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        self._subscription = subscription

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._subscription.close()


@router.get(
    "/v1/stream",
    tags=["stream"],
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Events total and outcome, and comments to keep it open",
            "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
        },
        **documented(401, 403, 422, 429, 503),
    },
)
async def stream(
    request: Request,
    caller: Annotated[Caller, Depends(reader)],
    user: Annotated[SomeUser | Absent, Query(description="Only of this user.")] = None,
) -> Response:
    """Each new total as it is saved; what batches came to, for keys that are for every user."""
    if user is not None and not caller.covers(user):
        raise Problem(403, code="USER_NOT_COVERED", detail="user: not one that the key is for")
    hub = cast("Hub", request.app.state.hub)
    return EventStream(hub.subscribe(user, caller.covers, with_outcomes=caller.user_prefix is None))


def _data(fields: dict[str, Any]) -> bytes:
    """The data of an event, in one line, and its end."""
    return b"data: " + orjson.dumps(fields) + b"\n\n"
