"""A push: files of messages to the input topics, each line as it is, in order, acknowledged."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ingest.core.careful import kind_and_user
from ingest.core.records import Kind
from ingest.embedded import fill
from ingest.errors import QueueUnusable
from ingest.ndjson import LINE_BYTES_MAX
from ingest.ports import Message
from ingest.queues.memory import MemoryQueue

if TYPE_CHECKING:
    from ingest.queues.kafka import Producer

BATCH_MESSAGES: Final = 1000
BATCH_BYTES: Final = 4 * 1024 * 1024


@dataclass(slots=True)
class Pushed:
    """What is written so far: messages by kind, those whose kind or user cannot be told apart.

    `last` is the file and the line up to which every line is written.
    """

    files: Sequence[str]
    activity_events: int = 0
    health_snapshots: int = 0
    unreadable: int = 0
    seconds: float = 0.0
    last: tuple[str, int] | None = None

    @property
    def messages(self) -> int:
        return self.activity_events + self.health_snapshots + self.unreadable

    def add(self, batch: Sequence[Message]) -> None:
        """Count messages that are written now."""
        for message in batch:
            match message.kind:
                case Kind.ACTIVITY:
                    self.activity_events += 1
                case Kind.HEALTH:
                    self.health_snapshots += 1
                case None:
                    self.unreadable += 1
        self.last = batch[-1].origin, batch[-1].offset

    def document(self) -> dict[str, Any]:
        """The one object of `--json`."""
        return {
            "messages": self.messages,
            "activity_events": self.activity_events,
            "health_snapshots": self.health_snapshots,
            "unreadable": self.unreadable,
            "seconds": round(self.seconds, 3),
        }

    def how_to_go_on(self) -> str:
        """How far it came and what to do then; empty where nothing is written."""
        if self.last is None:
            return ""
        name, line = self.last
        others = ", then with the files behind it" if name != self.files[-1] else ""
        return f"{name}: lines up to {line} are written; go on with --from {line + 1}{others}"


async def push(
    pushed: Pushed,
    producer: "Producer",
    topics: Mapping[Kind, str],
    *,
    first_line: int,
    on_read: Callable[[int], None],
) -> None:
    """Every line of the files, in order, to the topic of its kind, with its user as the key.

    One whose kind or user cannot be told goes to the activity events without a key: a worker then
    refuses it with a reason. Raises `FileUnusable`, `QueueUnavailable` or `QueueUnusable`; what is
    written by then, `pushed` says. Reading and sending take turns through a bounded queue.
    """
    queue = MemoryQueue(2 * BATCH_MESSAGES, 2 * BATCH_BYTES)
    started = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fill(queue, pushed.files, on_read, first_line=first_line))
            tasks.create_task(_empty(queue, producer, topics, pushed))
    except* Exception as errors:
        raise errors.exceptions[0] from None
    pushed.seconds = time.perf_counter() - started


async def _empty(
    queue: MemoryQueue, producer: "Producer", topics: Mapping[Kind, str], pushed: Pushed
) -> None:
    """Send batch after batch; the next only when the one before is written, so none is skipped."""
    while batch := await queue.take(BATCH_MESSAGES, BATCH_BYTES):
        addressed = [_addressed(message) for message in batch]
        try:
            await _send(producer, addressed, topics)
            pushed.add(addressed)
        except QueueUnusable:
            await _send_one_by_one(producer, addressed, topics, pushed)
        await queue.acknowledge(len(batch))


async def _send_one_by_one(
    producer: "Producer", batch: Sequence[Message], topics: Mapping[Kind, str], pushed: Pushed
) -> None:
    """Find the line that a batch was refused for; what stands before it is written then."""
    for message in batch:
        try:
            await _send(producer, [message], topics)
        except QueueUnusable as error:
            raise QueueUnusable(f"{message.origin}, line {message.offset}: {error}") from error
        pushed.add([message])


async def _send(producer: "Producer", batch: Sequence[Message], topics: Mapping[Kind, str]) -> None:
    from ingest.queues.kafka import Outgoing  # noqa: PLC0415 - as in brokers.py

    if any(len(message.value) >= LINE_BYTES_MAX for message in batch):
        raise QueueUnusable(f"a line may have {LINE_BYTES_MAX - 1} bytes")
    await producer.send(
        [
            Outgoing(topics[message.kind or Kind.ACTIVITY], message.key, message.value)
            for message in batch
        ]
    )


def _addressed(message: Message) -> Message:
    """The message with its kind and key."""
    told = kind_and_user(message.value)
    if told is None:
        return message
    kind, user_id = told
    return message._replace(kind=kind, key=user_id.encode())
