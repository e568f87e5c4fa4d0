"""What can be asked of a worker over HTTP, and the watch that notices when it stands still.

`/livez`: the event loop turns, and no partition stands still with messages waiting. `/readyz`:
partitions are assigned, nothing is being retried, Kafka and the store answer. `/metrics`: for
Prometheus.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final, NamedTuple, Protocol

import orjson
import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ingest.core.records import Day
from ingest.errors import BatchRetryable, SettingsInvalid, StoreUnusable
from ingest.metrics import Metrics
from ingest.ports import Store
from ingest.settings import Settings
from ingest.worker.batches import Batches, Place
from ingest.worker.partitions import Partitions

log = structlog.get_logger()
STORE_SECONDS: Final = 5.0
NO_DAY: Final = Day("readyz", "2000-01-01")


class Group(Protocol):
    """What the watch asks of the consumer group."""

    @property
    def assigned(self) -> set[Place]: ...

    @property
    def is_rebalancing(self) -> bool: ...

    async def lag(self, positions: Mapping[Place, int]) -> dict[Place, int]:
        """How many messages of each assigned partition are not done."""


class Watch:
    """Looks at lag and progress every few seconds, and answers for the worker's health."""

    def __init__(
        self,
        group: Group,
        batches: Batches,
        partitions: Partitions,
        metrics: Metrics,
        stall_timeout: timedelta,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._group = group
        self._batches = batches
        self._partitions = partitions
        self._metrics = metrics
        self._stall_seconds = stall_timeout.total_seconds()
        self._now = now
        self._lag: Mapping[Place, int] = {}
        self._queue_problem: str | None = None
        self.store: Store | None = None

    async def look(self) -> None:
        """Ask how far behind each partition is; without an answer, what was known stays."""
        await self._look_at_lag()
        self._metrics.cached_days.set(self._partitions.cached_days)
        self._metrics.ready.set(await self.unready() is None)

    async def _look_at_lag(self) -> None:
        try:
            lag = await self._group.lag(self._batches.positions)
        except Exception as error:
            self._queue_problem = f"Kafka does not answer ({type(error).__name__})"
            log.warning("ingest.lag_unknown", error=type(error).__name__)
            return
        self._queue_problem = None
        for gone in self._lag.keys() - lag.keys():
            self._metrics.lag.remove(gone.topic, str(gone.partition))
        for place, count in lag.items():
            self._metrics.lag.labels(place.topic, str(place.partition)).set(count)
        self._lag = lag
        self._forgive()

    def stalled(self) -> list[Place]:
        """The partitions with messages waiting of which none was done for the stall timeout."""
        now = self._now()
        return [
            place
            for place, count in self._lag.items()
            if count > 0
            and now - self._batches.progress_at.get(place, now) > self._stall_seconds
            and place.partition not in self._batches.waiting
        ]

    async def unready(self) -> str | None:
        """Why no messages are being worked on now, None where they are."""
        if not self._group.assigned or self._group.is_rebalancing:
            return "no partitions are assigned"
        if problem := next(iter(self._batches.waiting.values()), self._queue_problem):
            return problem
        return await self._store_problem()

    async def _store_problem(self) -> str | None:
        if self.store is None:
            return "the store is not open yet"
        try:
            await asyncio.wait_for(self.store.totals.load([NO_DAY]), STORE_SECONDS)
        except (BatchRetryable, StoreUnusable) as error:
            return str(error)
        except TimeoutError:
            return "the store does not answer in time"
        return None

    def _forgive(self) -> None:
        """Start the clock anew where nothing waits, or a service is being waited for."""
        now = self._now()
        for place in self._batches.progress_at:
            if not self._lag.get(place) or place.partition in self._batches.waiting:
                self._batches.progress_at[place] = now


@asynccontextmanager
async def serving(settings: Settings, watch: Watch, metrics: Metrics) -> AsyncIterator[None]:
    """The web port, open for as long as the block runs; `WEB_PORT=0` takes any, and logs which.

    Raises `SettingsInvalid` where it cannot be opened.
    """
    app = web.Application()
    app.add_routes(_Pages(watch, metrics).routes())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await _listen(runner, settings.web_host, settings.web_port)
        log.info("ingest.web_started", address=[*runner.addresses[0]][:2])
        yield
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        reason = (error.strerror or "").rpartition(": ")[2]  # asyncio puts the address before it
        raise SettingsInvalid(f"WEB_HOST={host} WEB_PORT={port}: {reason}") from error


class _Pages(NamedTuple):
    watch: Watch
    metrics: Metrics

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/livez", self.livez),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.show_metrics),
        ]

    async def livez(self, _: web.Request) -> web.Response:
        stalled = [f"{place.topic}/{place.partition}" for place in self.watch.stalled()]
        return _answer(f"no progress on {', '.join(stalled)}" if stalled else None)

    async def readyz(self, _: web.Request) -> web.Response:
        return _answer(await self.watch.unready())

    async def show_metrics(self, _: web.Request) -> web.Response:
        text = generate_latest(self.metrics.registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _answer(problem: str | None) -> web.Response:
    document = {"status": "ok"} if problem is None else {"status": "unavailable", "reason": problem}
    return web.Response(
        body=orjson.dumps(document),
        status=200 if problem is None else 503,
        content_type="application/json",
    )
