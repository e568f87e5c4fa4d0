"""What a batch that came by HTTP is run through: the pipeline here, or the way to the workers."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ingest.core.codec import decode
from ingest.core.records import Kind
from ingest.core.refusals import Decoded
from ingest.core.retention import window_of
from ingest.gateway.intake import ORIGINS, Run
from ingest.metrics import Metrics
from ingest.outcome import Outcome, Verdicts, verdicts_by_message
from ingest.pipeline import Pipeline
from ingest.ports import Message
from ingest.settings import Settings

if TYPE_CHECKING:
    from ingest.queues.kafka import Producer


def through(pipeline: Pipeline, metrics: Metrics, on_outcome: Callable[[Outcome], None]) -> Run:
    """Batches into the store, by this pipeline; `on_outcome` is told what each came to."""

    async def run(messages: Sequence[Message]) -> list[Verdicts]:
        started = time.perf_counter()
        outcome = await pipeline.run(messages)
        metrics.count(outcome, ORIGINS, time.perf_counter() - started)
        on_outcome(outcome)
        return verdicts_by_message(messages, outcome)

    return run


def towards(
    producer: "Producer", topics: Mapping[Kind, str], settings: Settings, metrics: Metrics
) -> Run:
    """Batches to the input topics, keyed by user; done when every in-sync replica has them.

    What no worker could tell the user of is not sent: whoever pushed it is told. Records that a
    worker will refuse are told of too, and sent with their message, so that they are kept.
    """
    from ingest.queues.kafka import Outgoing  # noqa: PLC0415 - as in brokers.py

    async def run(messages: Sequence[Message]) -> list[Verdicts]:
        window = window_of(datetime.now(UTC), settings.future_skew_max, settings.retention)
        decoded = [decode(message.value, message.kind, window) for message in messages]
        outgoing = [
            Outgoing(topics[parts.kind], parts.user_id.encode(), message.value)
            for message, parts in zip(messages, decoded, strict=True)
            if parts.kind is not None
        ]
        if outgoing:
            await producer.send(outgoing)
        seen = [_seen(parts) for parts in decoded]
        for kind, origin in ORIGINS.items():
            own = [v for m, v in zip(messages, seen, strict=True) if m.kind is kind]
            if own:
                metrics.forward(origin, own)
        return seen

    return run


def _seen(decoded: Decoded) -> Verdicts:
    rejected = sum([refusal.records for refusal in decoded.refusals])
    return Verdicts(decoded.records, *_UNJUDGED, rejected, decoded.refusals)


_UNJUDGED: Final = (0, 0, 0, 0)
