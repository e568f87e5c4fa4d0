"""The publisher on Kafka: totals to `daily-totals`, refusals to the dead letters."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

import orjson

from ingest.core.documents import total_message
from ingest.core.records import Day
from ingest.core.totals import DailyTotal
from ingest.ports import DeadLetter
from ingest.queues.kafka.dead_letters import headers_of
from ingest.queues.kafka.producer import Outgoing, Producer
from ingest.queues.kafka.topics import TopicNames


class KafkaTopics:
    """A `Publisher`; raises `QueueUnavailable` or `QueueUnusable`."""

    def __init__(
        self,
        producer: Producer,
        topics: TopicNames,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._producer = producer
        self._topics = topics
        self._now = now

    async def publish_totals(self, totals: Sequence[DailyTotal]) -> None:
        topic = self._topics.daily_totals
        await self._producer.send(
            [
                Outgoing(topic, total_key(total.day), orjson.dumps(total_message(total)))
                for total in totals
            ]
        )

    async def delete_totals(self, days: Iterable[Day]) -> None:
        """Delete the totals of these days from `daily-totals`."""
        topic = self._topics.daily_totals
        await self._producer.send([Outgoing(topic, total_key(day), None) for day in days])

    async def publish_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> None:
        topic, now = self._topics.dead_letters, self._now()
        await self._producer.send(
            [
                Outgoing(
                    topic,
                    letter.message.key or None,
                    letter.refusal.original,
                    headers_of(letter, now),
                )
                for letter in dead_letters
            ]
        )


def total_key(day: Day) -> bytes:
    """The key of a day's total: `user_id|date` (DESIGN section 5)."""
    return f"{day.user_id}|{day.date}".encode()
