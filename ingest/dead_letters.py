"""What is done with dead letters: which are meant, how they are shown, and sent again."""

import heapq
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from datetime import datetime
from hashlib import blake2b
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple

from ingest.core.documents import Document, original_document
from ingest.errors import Reason

if TYPE_CHECKING:
    from ingest.queues.kafka import Outgoing, StoredDeadLetter

BATCH_LETTERS: Final = 500
BATCH_BYTES: Final = 4 * 1024 * 1024

Letters = AsyncGenerator["StoredDeadLetter", None]


class Selection(NamedTuple):
    """Which dead letters are meant: of a reason, refused behind a time; None is any."""

    reason: Reason | None = None
    after: datetime | None = None

    async def of(self, letters: Letters) -> Letters:
        """Those of these that are meant."""
        async for letter in letters:
            if self._has(letter):
                yield letter

    def _has(self, letter: "StoredDeadLetter") -> bool:
        if self.reason is not None and letter.headers["reason"] != self.reason:
            return False
        if self.after is None:
            return True
        refused_at = _instant_of(letter.headers["time"])
        return refused_at is not None and refused_at > self.after


async def latest(letters: Letters, count_max: int) -> tuple[list["StoredDeadLetter"], int]:
    """The last to be refused of these, in the order of their times, and how many there are.

    Holds `count_max` of them in memory.
    """
    numbers, kept = count(), list[tuple[str, int, "StoredDeadLetter"]]()
    async for letter in letters:
        ranked = letter.headers["time"], next(numbers), letter
        if len(kept) < count_max:
            heapq.heappush(kept, ranked)
        else:
            heapq.heappushpop(kept, ranked)
    return [letter for _, _, letter in sorted(kept)], next(numbers)


def row_of(letter: "StoredDeadLetter") -> Document:
    """A dead letter without what was refused, which may hold health values."""
    headers = letter.headers
    return {
        "time": headers["time"],
        "reason": headers["reason"],
        "field": headers["field"],
        "topic": headers["topic"],
        "partition": _number_of(headers["partition"]),
        "offset": _number_of(headers["offset"]),
        "records": _number_of(headers["records"]),
        "bytes": len(letter.value),
    }


def document_of(letter: "StoredDeadLetter") -> Document:
    """All of a dead letter: its own place, its key, and the original."""
    key = None if letter.key is None else letter.key.decode(errors="replace")
    return {"place": letter.place, **row_of(letter), "key": key, **original_document(letter.value)}


async def replay_letters(
    letters: Letters,
    topics: Collection[str],
    send: Callable[[Sequence["Outgoing"]], Awaitable[None]],
) -> Counter[str]:
    """Send the originals to the topics they came from, if these are among `topics`.

    What was refused several times is sent once. Counts the `sent`, the `repeated`, and the
    `foreign`, which came from elsewhere. Holds about 100 bytes of memory for each one sent.
    """
    from ingest.queues.kafka import Outgoing  # noqa: PLC0415 - as in brokers.py

    counts, seen = Counter(sent=0, repeated=0, foreign=0), set[bytes]()
    batch, size = list[Outgoing](), 0
    async for letter in letters:
        topic = letter.headers["topic"]
        digest = _digest_of(topic, letter)
        if topic not in topics:
            counts["foreign"] += 1
        elif digest in seen:
            counts["repeated"] += 1
        else:
            seen.add(digest)
            batch.append(Outgoing(topic, letter.key, letter.value))
            size += len(letter.value)
            counts["sent"] += 1
        if len(batch) == BATCH_LETTERS or size >= BATCH_BYTES:
            await send(batch)
            batch, size = [], 0
    if batch:
        await send(batch)
    return counts


def _digest_of(topic: str, letter: "StoredDeadLetter") -> bytes:
    key = letter.key or b""
    text = b"%b %d %b%b" % (topic.encode(), len(key), key, letter.value)
    return blake2b(text, digest_size=16).digest()


def _instant_of(text: str) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant if instant.tzinfo else None


def _number_of(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
