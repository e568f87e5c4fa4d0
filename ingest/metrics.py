"""Every metric of a worker, declared once; labels are only from small fixed sets."""

import platform
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import wraps
from importlib.metadata import version
from inspect import iscoroutinefunction
from itertools import product
from typing import Any, Final, TypeVar, cast

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
)

from ingest.core.dedupe import Verdict
from ingest.core.records import Kind
from ingest.errors import BatchRetryable, QueueUnavailable, Reason, StoreUnavailable
from ingest.outcome import Outcome, Verdicts
from ingest.ports import Store

Port = TypeVar("Port")
SECONDS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30, 60, 120, 300),  # a service that is away is waited for
)
MESSAGES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})


class Metrics:
    """The metrics of one worker on these input topics, in a registry of their own."""

    def __init__(self, topics: Iterable[str] = ()) -> None:
        registry = self.registry = CollectorRegistry()
        self._records = Counter(
            "ingest_records", "Records by verdict.", ["topic", "verdict"], registry=registry
        )
        self._rejections = Counter(
            "ingest_rejections", "Refused records.", ["topic", "reason"], registry=registry
        )
        self._messages = Counter("ingest_messages", "Messages done.", registry=registry)
        self._misplaced = Counter(
            "ingest_misplaced_messages", "Messages whose key is not their user.", registry=registry
        )
        self._resets = Counter("ingest_resets", "Resets found in totals.", registry=registry)
        self._glitches = Counter("ingest_glitches", "Glitches found in totals.", registry=registry)
        self._days = Counter(
            "ingest_days", "Days settled: folded, or read again.", ["path"], registry=registry
        )
        self._races = Counter("ingest_races", "Compare-and-sets lost.", registry=registry)
        self._batch_messages = Histogram(
            "ingest_batch_messages", "Messages in a batch.", buckets=MESSAGES, registry=registry
        )
        self._batch_seconds = Histogram(
            "ingest_batch_seconds",
            "From a batch taken to acknowledged.",
            buckets=SECONDS,
            registry=registry,
        )
        self._store_seconds = Histogram(
            "ingest_store_seconds",
            "A call of the store.",
            ["call"],
            buckets=SECONDS,
            registry=registry,
        )
        self._publish_seconds = Histogram(
            "ingest_publish_seconds",
            "A publication.",
            ["call"],
            buckets=SECONDS,
            registry=registry,
        )
        self.retries = Counter(
            "ingest_retries", "Attempts at a batch that failed.", ["error"], registry=registry
        )
        self.dropped = Counter(
            "ingest_dropped_batches", "Batches left to another worker.", registry=registry
        )
        self.skipped = Counter(
            "ingest_skipped_offsets", "Offsets that Kafka did not deliver.", registry=registry
        )
        self.lag = Gauge(
            "ingest_lag", "Messages not done yet.", ["topic", "partition"], registry=registry
        )
        self.cached_days = Gauge("ingest_cached_days", "Days kept at hand.", registry=registry)
        self.partitions = Gauge("ingest_partitions", "Partitions assigned.", registry=registry)
        self.rebalances = Counter("ingest_rebalances", "Assignments received.", registry=registry)
        self.ready = Gauge(
            "ingest_ready", "Whether it was ready when last seen.", registry=registry
        )
        clock = Gauge("ingest_time_seconds", "Unix time by this clock.", registry=registry)
        clock.set_function(time.time)
        build = Gauge("ingest_build_info", "What runs.", ["version", "python"], registry=registry)
        build.labels(version("ingest"), platform.python_version()).set(1)
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        self._declare_requests(registry)
        self._begin_at_zero([*topics])

    def _declare_requests(self, registry: CollectorRegistry) -> None:
        """Those of the HTTP service."""
        self._requests = Counter(
            "ingest_http_requests", "Requests.", ["route", "method", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "ingest_http_seconds",
            "From a request's head to the end of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self._forwarded = Counter(
            "ingest_http_forwarded_records",
            "Records written to Kafka, for workers.",
            ["topic"],
            registry=registry,
        )
        self.waiting = Gauge("ingest_http_waiting", "Pushed messages waiting.", registry=registry)
        self.body_bytes = Gauge("ingest_http_body_bytes", "Bodies in hand.", registry=registry)

    def _begin_at_zero(self, topics: Sequence[str]) -> None:
        """Show what has not happened yet as 0: a rate never sees the first of a new counter."""
        for topic, verdict in product(topics, Verdict):
            self._records.labels(topic, verdict.value)
        for topic, reason in product(topics, Reason):
            self._rejections.labels(topic, reason.value)
        for path in ("folded", "reread"):
            self._days.labels(path)
        for error in (StoreUnavailable, QueueUnavailable, BatchRetryable):
            self.retries.labels(error.__name__)

    def count(self, outcome: Outcome, topics: dict[Kind, str], seconds: float) -> None:
        """One more batch is done."""
        for (kind, verdict), count in outcome.counts.items():
            self._records.labels(topics[kind], verdict.value).inc(count)
        for (topic, reason), records in outcome.rejections.items():
            self._records.labels(topic, Verdict.REJECTED.value).inc(records)
            self._rejections.labels(topic, reason.value).inc(records)
        self._messages.inc(outcome.messages)
        self._misplaced.inc(outcome.misplaced)
        self._resets.inc(outcome.resets)
        self._glitches.inc(outcome.glitches)
        self._days.labels("folded").inc(outcome.folded)
        self._days.labels("reread").inc(outcome.reread)
        self._races.inc(outcome.races)
        self._batch_messages.observe(outcome.messages)
        self._batch_seconds.observe(seconds)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """One more request is answered; the route is a template, one of a few."""
        self._requests.labels(route, method if method in _METHODS else "other", str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def forward(self, topic: str, verdicts: Sequence[Verdicts]) -> None:
        """Some more messages are in Kafka, but for those whose user nobody can tell."""
        for own in verdicts:
            self._forwarded.labels(topic).inc(own.records - own.rejected)
            for refusal in own.refusals:
                self._records.labels(topic, Verdict.REJECTED.value).inc(refusal.records)
                self._rejections.labels(topic, refusal.reason.value).inc(refusal.records)
        self._messages.inc(len(verdicts))

    def records_forwarded(self) -> dict[str, int]:
        """How many records are in Kafka, and how many showed at once that they will be refused."""
        rejected = self.records_by_verdict()[Verdict.REJECTED.value]
        return {"forwarded": _sums(self._forwarded, "").get("", 0), "rejected": rejected}

    def messages_done(self) -> int:
        """How many messages are done."""
        return _sums(self._messages, "")[""]

    def records_by_verdict(self) -> dict[str, int]:
        """How many records, over all topics."""
        return _sums(self._records, "verdict")

    def rejections_by_reason(self) -> dict[str, int]:
        """How many refused records, over all topics, of the reasons that there were."""
        found = _sums(self._rejections, "reason")
        return {reason: count for reason, count in found.items() if count}

    def timed_store(self, store: Store) -> Store:
        """The same store, each call of it measured."""
        return Store(*(cast("Any", _Timed(port, self._store_seconds)) for port in store))

    def timed_publisher(self, publisher: Port) -> Port:
        """The same publisher, each call of it measured."""
        return cast("Port", _Timed(publisher, self._publish_seconds))


def _sums(counter: Counter, label: str) -> dict[str, int]:
    """A counter's values by one of its labels."""
    sums: dict[str, int] = {}
    for family in counter.collect():
        for sample in family.samples:
            if sample.name.endswith("_total"):
                name = sample.labels.get(label, "")
                sums[name] = sums.get(name, 0) + int(sample.value)
    return sums


class _Timed:
    """A port whose calls are observed by name; each is wrapped when it is first looked up."""

    def __init__(self, port: Any, seconds: Histogram) -> None:
        self._port = port
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if iscoroutinefunction(method):
            method = _observed(method, self._seconds.labels(name))
        self.__dict__[name] = method
        return method


def _observed(method: Callable[..., Awaitable[Any]], seconds: Histogram) -> Callable[..., Any]:
    @wraps(method)
    async def observed(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return await method(*arguments, **options)
        finally:
            seconds.observe(time.perf_counter() - started)

    return observed
