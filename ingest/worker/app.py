"""The Faust app of a worker: made from the settings, nothing at import."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import faust
import structlog
from faust.types.auth import AuthProtocol

from ingest.backends import store_to_write
from ingest.brokers import connection_of, topics_of
from ingest.embedded import pipeline_of
from ingest.metrics import Metrics
from ingest.pipeline import Pipeline
from ingest.ports import Publisher, Store
from ingest.queues.kafka import Connection, KafkaTopics, Producer
from ingest.retries import Patience
from ingest.settings import Settings
from ingest.worker.agents import add_agent
from ingest.worker.batches import Batches
from ingest.worker.eager import EagerTransport
from ingest.worker.health import Watch, serving
from ingest.worker.limits import DeadLetterLimits
from ingest.worker.membership import FaustMembership
from ingest.worker.partitions import Partitions

log = structlog.get_logger()
COMMIT_SECONDS: Final = 1.0
WATCH_SECONDS: Final = 5.0
REBALANCE_SECONDS: Final = 10.0  # how long a rebalance waits for the batch in hand
ONE_DAY: Final = 86_400.0


class WorkerApp(faust.App):
    """A `faust.App` that opens its store when it starts and closes it when it stops.

    `failed` is set when it must stop for `failure`: a bug, or a promise that cannot be kept.
    """

    settings: Settings
    batches: Batches
    membership: FaustMembership
    watch: Watch
    metrics: Metrics
    failure: BaseException | None = None
    failed: asyncio.Event
    store_port: Store
    publisher: Publisher

    async def on_start(self) -> None:
        """Open the store and the web port, before Kafka is asked for anything."""
        store = await self.async_exit_stack.enter_async_context(store_to_write(self.settings))
        self.store_port = self.metrics.timed_store(store)
        self.watch.store = self.store_port
        producer = Producer(connection_of(self.settings), self.membership.trusted_seconds)
        self.async_exit_stack.push_async_callback(producer.close)
        topics = KafkaTopics(producer, topics_of(self.settings))
        self.publisher = self.metrics.timed_publisher(topics)
        await self.async_exit_stack.enter_async_context(
            serving(self.settings, self.watch, self.metrics)
        )
        await super().on_start()

    async def on_started(self) -> None:
        """Commit and watch for as long as it runs."""
        await super().on_started()
        self.add_future(self._every(COMMIT_SECONDS, self.commit_positions))
        self.add_future(self._every(WATCH_SECONDS, self.watch.look))

    async def drain(self, seconds: float) -> None:
        """Take nothing more; finish what is in hand within this time, or leave it; commit."""
        self.batches.stop()
        await self.batches.settle(self.membership.generation, seconds)
        await self.commit_positions()

    async def commit_positions(self) -> None:
        """Tell Kafka what is done."""
        if not await self.membership.commit(self.batches.positions):
            log.warning("ingest.commit_refused", next="what is read again is a duplicate")

    def fail(self, error: BaseException) -> None:
        """Stop for this."""
        self.failure = self.failure or error
        self.failed.set()

    def new_pipeline(self) -> Pipeline:
        """A pipeline on the store and the topics."""
        return pipeline_of(self.store_port, self.publisher, self.settings)

    def _new_transport(self) -> EagerTransport:
        return EagerTransport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """There are no tables to keep files for, and the file system may be read-only."""

    async def _every(self, seconds: float, call: Callable[[], Awaitable[None]]) -> None:
        while not self.should_stop:
            await self.sleep(seconds)
            await call()


def create_app(settings: Settings) -> WorkerApp:
    """The worker of these settings; it reaches for nothing until it is started.

    Raises `QueueUnusable` where `KAFKA_TLS_CA` is no certificate.
    """
    app = WorkerApp(settings.kafka_group, **_configuration(settings))
    topics = topics_of(settings)
    app.settings = settings
    app.failed = asyncio.Event()
    app.metrics = Metrics(topics.kinds)
    put_out = min(app.conf.broker_session_timeout, app.conf.broker_rebalance_timeout)
    app.membership = FaustMembership(app, put_out)
    partitions = Partitions(app.new_pipeline, settings.day_cache_size)
    app.batches = Batches(
        partitions,
        app.membership,
        patience=Patience(settings.retry_delay_max, timeout=None),
        limits=DeadLetterLimits(
            share_max=settings.dead_letter_share_max,
            consecutive_max=settings.dead_letter_consecutive_max,
        ),
        metrics=app.metrics,
        topics={kind: name for name, kind in topics.kinds.items()},
        on_failure=app.fail,
    )
    app.watch = Watch(app.membership, app.batches, partitions, app.metrics, settings.stall_timeout)
    add_agent(app, topics.kinds, app.batches, settings)
    _follow_rebalances(app, min(REBALANCE_SECONDS, app.conf.broker_session_timeout / 2))
    return app


def _follow_rebalances(app: WorkerApp, grace_seconds: float) -> None:
    """A rebalance finishes or drops what is in hand, commits, and starts from what is committed."""

    @app.on_partitions_revoked.connect
    async def _revoked(_: Any, /, *__: Any, **___: Any) -> None:
        await app.batches.settle(app.membership.generation, grace_seconds)
        await app.commit_positions()
        app.batches.release()
        app.metrics.partitions.set(0)

    @app.on_partitions_assigned.connect
    async def _assigned(_: Any, /, *__: Any, **___: Any) -> None:
        assigned = app.membership.assigned
        app.batches.assign(assigned, app.membership.generation)
        app.metrics.rebalances.inc()
        app.metrics.partitions.set(len(assigned))
        numbers = sorted({place.partition for place in assigned})
        log.info("ingest.partitions_assigned", partitions=numbers, count=len(assigned))


def _configuration(settings: Settings) -> dict[str, Any]:
    """How Faust is set up: no tables, no web server, no topics of its own, no acknowledgements."""
    session_seconds = settings.kafka_session_timeout.total_seconds()
    return {
        "env_prefix": "INGEST_FAUST_",  # or Faust takes WEB_PORT and others from the environment
        "broker": ";".join(f"kafka://{broker}" for broker in settings.kafka_brokers),
        "broker_credentials": _credentials(connection_of(settings)),
        "broker_client_id": "ingest",
        "broker_session_timeout": session_seconds,
        "broker_heartbeat_interval": min(3.0, session_seconds / 6),
        "broker_request_timeout": max(40.0, session_seconds + 10),
        "broker_max_poll_interval": ONE_DAY,  # a store may be away for long
        "broker_commit_interval": ONE_DAY,  # `WorkerApp.commit_positions` does it
        "stream_wait_empty": False,  # `Batches.settle` waits, and not for ever
        "stream_buffer_maxsize": settings.batch_size_max,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "table_standby_replicas": 1,  # what makes Faust give out both topics' partitions together
        "consumer_auto_offset_reset": "earliest",
        "web_enabled": False,
        "autodiscover": False,
        "store": "memory://",
        "key_serializer": "raw",
        "value_serializer": "raw",
    }


def _credentials(connection: Connection) -> Any:
    if connection.uses_sasl:
        credentials: Any = faust.SASLCredentials(
            username=connection.username,
            password=connection.password,
            mechanism=connection.sasl_mechanism,
            ssl_context=connection.tls(),
        )
        credentials.protocol = AuthProtocol(connection.security_protocol)
        return credentials
    context = connection.tls()
    return None if context is None else faust.SSLCredentials(context)
