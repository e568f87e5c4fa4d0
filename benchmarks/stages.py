"""Where the microseconds of a record go, from Kafka to acknowledged totals on MongoDB.

Beside each stage stands its floor: the library alone, doing that part with the same bytes.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaProducer
from pymongo import ReplaceOne

import ingest.worker.app
from benchmarks import floors
from benchmarks.embedded import Backend, empty_store
from benchmarks.from_kafka import read
from benchmarks.measuring import Spent, in_child, spending
from benchmarks.plan import Plan
from benchmarks.servers import Ground
from benchmarks.stepping import Steps
from benchmarks.streams import Stream, stream_of
from benchmarks.topics import Environment, filled, fresh_group
from ingest.core.documents import total_message
from ingest.core.totals import DailyTotal
from ingest.pipeline import Pipeline
from ingest.queues.kafka.totals import total_key
from ingest.stores.documents import TOTALS, total_document
from ingest.stores.mongo import opened
from ingest.worker.batches import Batches

WARM_UP: Final = 1  # slices that are not counted
READERS: Final = ("getmany", "transport", "worker in memory")
Row = dict[str, Any]


def stages(plan: Plan, ground: Ground) -> Iterator[Row]:
    """A row for each size and reader: seconds of each round; the worker's by stage and by floor."""
    for size, records in plan.stage_records.items():
        slices = plan.rounds + WARM_UP
        stream = stream_of(records * slices, size=size, users=plan.stage_users)
        batch = {"BATCH_SIZE_MAX": str(min(1000, records // size))}
        topic = filled(ground.brokers, stream.messages) | batch
        common = {"size": size, "records": records}
        for label in READERS:
            own = fresh_group(topic, None)
            rounds = in_child(read, label.split()[0], own, records // size, slices, None)
            yield {**common, "reader": label, "rounds": rounds}
        own = fresh_group(topic, ground.mongodb)
        rounds, floor = in_child(_worker, own, records // size, slices, stream)
        yield {**common, "reader": "worker on MongoDB", "rounds": rounds, "floors": floor}


def _worker(
    environment: Environment, messages: int, slices: int, stream: Stream
) -> tuple[list[Spent], list[Spent]]:
    """What the worker took by stage, and then what the libraries take alone, slice by slice."""
    steps = Steps()
    steps.install()
    ingest.worker.app.pipeline_of = _timed_pipelines(steps)
    Batches._acknowledge = steps.function(Batches._acknowledge, "acknowledge")
    rounds = read("worker", environment, messages, slices, steps)
    backend = Backend(environment["MONGODB_URI"])
    parts = [
        stream._replace(messages=stream.messages[first : first + messages])
        for first in range(messages, len(stream.messages), messages)
    ]
    saves = _parted(steps.saved, len(parts))
    own = zip(parts, saves, strict=True)
    return rounds, [asyncio.run(_floor(backend, environment, *part)) for part in own]


def _timed_pipelines(steps: Steps) -> Any:
    pipeline_of = ingest.worker.app.pipeline_of

    def timed(store: Any, publisher: Any, settings: Any) -> Pipeline:
        pipeline = pipeline_of(steps.store(store), steps.publisher(publisher), settings)
        pipeline.run = steps.coroutine(pipeline.run, "pipeline")  # type: ignore[method-assign]
        return pipeline

    return timed


async def _floor(
    backend: Backend,
    environment: Environment,
    stream: Stream,
    saves: Sequence[Sequence[DailyTotal]],
) -> Spent:
    """CPU seconds of the libraries alone with the same records, saves and publications."""
    spent: Spent = {}
    floors.validate(stream, spent)
    await floors.send(backend, stream, spent)
    await _save(backend, saves, spent)
    await _publish(environment, saves, spent)
    return spent


async def _save(backend: Backend, saves: Sequence[Sequence[DailyTotal]], spent: Spent) -> None:
    """The driver's bulk of documents that are ready, as many at once as the worker saved."""
    async with empty_store(backend), opened(backend.connection) as database:
        for totals in saves:
            documents = [total_document(total) for total in totals]
            writes = [ReplaceOne({"_id": d["_id"]}, d, upsert=True) for d in documents]
            with spending(spent, "driver_save"):
                await database[TOTALS].bulk_write(writes, ordered=False)


async def _publish(
    environment: Environment, saves: Sequence[Sequence[DailyTotal]], spent: Spent
) -> None:
    """The Kafka client sending bytes that are ready, each lot waited for."""
    topic = environment["TOPIC_DAILY_TOTALS"]
    producer = AIOKafkaProducer(
        bootstrap_servers=environment["KAFKA_BROKERS"], acks="all", enable_idempotence=True
    )
    async with producer:
        await producer.partitions_for(topic)
        for totals in saves:
            ready = [(total_key(own.day), orjson.dumps(total_message(own))) for own in totals]
            with spending(spent, "kafka_client_publish"):
                sent = [await producer.send(topic, value, key) for key, value in ready]
                await asyncio.gather(*sent)


def _parted(
    saved: Sequence[Sequence[DailyTotal]], parts: int
) -> list[Sequence[Sequence[DailyTotal]]]:
    """What was saved behind the first slice, in as many parts as there are slices."""
    behind = saved[len(saved) // (parts + WARM_UP) :]
    return [behind[part::parts] for part in range(parts)]
