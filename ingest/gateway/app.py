"""The app: routes, who may call them, and what is open for as long as it runs."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI
from pydantic import TypeAdapter
from starlette.middleware.cors import CORSMiddleware
from starlette.staticfiles import StaticFiles

from ingest.backends import store_to_write
from ingest.brokers import connection_of, topics_of
from ingest.core.schema import Message
from ingest.embedded import pipeline_of
from ingest.gateway import health, page, problems, push, queries, stream
from ingest.gateway.access import Guard
from ingest.gateway.headers import SecureHeaders
from ingest.gateway.intake import ORIGINS, Intake, Run
from ingest.gateway.keys import KeyRing
from ingest.gateway.measured import Measured
from ingest.gateway.onlooking import Lag, feeding
from ingest.gateway.push import Desk
from ingest.gateway.rates import Rates
from ingest.gateway.runs import through, towards
from ingest.gateway.stream import Hub, HubTopics
from ingest.metrics import Metrics
from ingest.outcome import Outcome, reasons_of
from ingest.ports import Store
from ingest.replay import replay
from ingest.retries import Patience
from ingest.settings import Settings

# How long a push waits for a store that is away, before it is told so.
PATIENCE: Final = Patience(timedelta(seconds=1), timedelta(seconds=5))
SEND_SECONDS: Final = 10.0


def create_app(settings: Settings, replayed: Sequence[str] = ()) -> FastAPI:
    """The service of these settings; it reaches for nothing until it is started.

    Files of messages in `replayed` are run into the store then, before anything is answered.
    Raises `SettingsInvalid` where the file of keys cannot be read.
    """
    app = FastAPI(
        title="ingest",
        description="Exact daily totals from wearable and phone sync streams.",
        version=version("ingest"),
        lifespan=_opened,
        docs_url=None,  # its page loads from elsewhere
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.settings = settings
    app.state.replayed = replayed
    app.state.began_at = time.monotonic()
    app.state.metrics = Metrics(ORIGINS.values())
    app.state.hub = Hub()
    keys = None if settings.api_keys_file is None else KeyRing(settings.api_keys_file)
    rates = Rates(settings.api_rate_max, burst=max(1, int(2 * settings.api_rate_max)))
    app.state.guard = Guard(keys, rates)
    for part in (push, queries, stream, health, page):
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=page.STATIC), name="static")
    app.add_middleware(push.PushesFirst)
    problems.install(app)
    app.add_middleware(SecureHeaders)
    app.add_middleware(Measured, metrics=app.state.metrics)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
        )
    _describe(app)
    return app


@asynccontextmanager
async def _opened(app: FastAPI) -> AsyncIterator[None]:
    """The store, and what empties the queue of what was pushed."""
    settings: Settings = app.state.settings
    async with AsyncExitStack() as stack:
        store = app.state.store = await stack.enter_async_context(store_to_write(settings))
        if app.state.replayed:
            await replay(
                app.state.replayed,
                store,
                settings,
                write_dead_letter=lambda _: None,
                on_read=lambda _: None,
            )
        is_judging = settings.gateway_mode == "embedded"
        if is_judging:
            run = _judging(app, store)
        else:
            run = await _forwarding(app, stack)
        intake = Intake(run, settings.batch_size_max, PATIENCE)
        await stack.enter_async_context(intake.working())
        app.state.intake = intake
        if is_judging:
            app.state.lag = _lag_of(intake)
        metrics: Metrics = app.state.metrics
        metrics.waiting.set_function(lambda: len(intake))
        desk = app.state.desk = Desk(
            intake, store, idle_seconds=settings.request_idle_seconds, is_judging=is_judging
        )
        metrics.body_bytes.set_function(lambda: desk.budget.bytes + desk.streamed.bytes)
        yield


def _lag_of(intake: Intake) -> Callable[[], Awaitable[int]]:
    async def lag() -> int:
        return len(intake)

    return lag


def _judging(app: FastAPI, store: Store) -> Run:
    metrics: Metrics = app.state.metrics
    hub: Hub = app.state.hub
    timed = metrics.timed_store(store)
    publisher = metrics.timed_publisher(HubTopics(hub))
    pipeline = pipeline_of(timed, publisher, app.state.settings)
    return through(pipeline, metrics, partial(_tell, hub))


def _tell(hub: Hub, outcome: Outcome) -> None:
    """Tell who listens what a batch came to."""
    if hub.is_heard:
        hub.publish_outcome(
            {
                "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "messages": outcome.messages,
                "records": outcome.records,
                "accepted": outcome.accepted,
                "duplicates": outcome.duplicates,
                "corrected": outcome.corrected,
                "stale": outcome.stale,
                "rejected": outcome.rejected,
                "reasons": reasons_of(outcome),
            }
        )


async def _forwarding(app: FastAPI, stack: AsyncExitStack) -> Run:
    from ingest.queues.kafka import (  # noqa: PLC0415 - the client takes time others need not pay
        KafkaTopics,
        Producer,
        administration,
        lag_of,
        require,
    )

    settings: Settings = app.state.settings
    connection, names = connection_of(settings), topics_of(settings)
    async with administration(connection) as client:
        await require(client, [*names.kinds, names.daily_totals])
    producer = Producer(connection, SEND_SECONDS)
    stack.push_async_callback(producer.close)
    app.state.topics = KafkaTopics(producer, names)  # for tombstones
    app.state.lag = Lag(partial(lag_of, connection, settings.kafka_group, [*names.kinds]))
    await stack.enter_async_context(feeding(app.state.hub, connection, names.daily_totals))
    return towards(
        producer, {kind: name for name, kind in names.kinds.items()}, settings, app.state.metrics
    )


def _describe(app: FastAPI) -> None:
    """Put the decoder's own types and the keys into the OpenAPI document."""
    made = app.openapi

    def described() -> dict[str, Any]:
        document = made()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        message = TypeAdapter(Message).json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(message.pop("$defs"))
        schemas["Message"] = message
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            if path.startswith("/v1/"):
                for operation in operations.values():
                    operation["security"] = [{"key": []}, {}]  # none where there are no keys
        return document

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's own way to extend it
