"""What messages take in the logs of a broker: sent by the producer, as it is, to new topics.

The producer does not compress. It fills batches of up to 256 KiB with what it is handed at once; a
message that is sent alone has the 61 bytes of a batch's head to itself, which is not in here.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from benchmarks.disk_population import Population, last_revisions, packed
from benchmarks.topics import PUT_AT_ONCE, environment_on, settings_of
from ingest.brokers import connection_of, initialise_topics, topics_of
from ingest.core.totals import DailyTotal
from ingest.queues.kafka import KafkaTopics, Outgoing, Producer
from ingest.stores.mongo.collection import slices

Row = dict[str, Any]


def in_kafka(population: Population) -> Iterator[Row]:
    """A row for each kind of message: how many, the bytes of their logs, and of all beside them.

    Measured once the broker has ended, so all is in the files and these are as long as they look.
    """
    from tests.kafka.broker import running  # noqa: PLC0415 - the tests know how to start one

    contents = _contents(population)
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with running(Path(folder)) as broker:
            for place, own in enumerate(contents.values()):
                asyncio.run(_put(broker.address(), f"disk{place}", own))
        for place, (name, own) in enumerate(contents.items()):
            files = [*Path(folder).glob(f"logs/disk{place}-*/*")]
            logs = sum(path.stat().st_size for path in files if path.suffix == ".log")
            in_all = sum(path.stat().st_size for path in files)
            yield {
                "topic": name,
                "messages": len(own),
                "log_bytes": logs,
                "index_bytes": in_all - logs,
            }


def _contents(population: Population) -> dict[str, Sequence[bytes | DailyTotal]]:
    return {
        "activity-events, 60 a message": [*packed(population.activity, 60)],
        "activity-events, 1 a message": [*packed(population.activity, 1)],
        "activity-events, an hour of a device a message": population.activity,
        "health-snapshots, 1 a message": population.health,
        "daily-totals, every revision": population.totals,
        "daily-totals, the last revisions": last_revisions(population.totals),
    }


async def _put(address: str, name: str, own: Sequence[bytes | DailyTotal]) -> None:
    settings = settings_of(environment_on(address, name))
    await initialise_topics(settings, dry_run=False)
    producer, topics = Producer(connection_of(settings)), topics_of(settings)
    for chunk in slices(own, PUT_AT_ONCE):
        totals = [one for one in chunk if isinstance(one, DailyTotal)]
        await KafkaTopics(producer, topics).publish_totals(totals)
        messages = (one for one in chunk if isinstance(one, bytes))
        await producer.send(_outgoing(topics.activity_events, messages))
    await producer.close()


def _outgoing(topic: str, messages: Iterable[bytes]) -> Iterator[Outgoing]:
    for message in messages:
        yield Outgoing(topic, orjson.loads(message)["user_id"].encode(), message)
