"""Where messages go that came by HTTP: through one bounded queue, in batches, to their answers.

What waits is bounded in messages and bytes. A request is answered when each of its messages is
done: durable in the store, or written by the broker. Batches are made of what waits, so that many
small requests cost little more than one large one.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import structlog

from ingest.core.records import Kind
from ingest.errors import BatchRetryable, QueueUnavailable, StoreUnavailable
from ingest.outcome import Verdicts
from ingest.ports import Message
from ingest.queues.memory import MemoryQueue
from ingest.retries import Patience, until_done

log = structlog.get_logger()
Run = Callable[[Sequence[Message]], Awaitable[Sequence[Verdicts]]]
PROBLEM_SECONDS: Final = 10.0
ORIGINS: Final = {Kind.ACTIVITY: "activity-events", Kind.HEALTH: "health-snapshots"}


class Busy(Exception):  # noqa: N818 - named by what is so
    """No room for more messages now; nothing was taken."""


class Failed(Exception):  # noqa: N818 - as above
    """A bug made a message fail; it may have been stored, and may be sent again."""


class _Request:
    """What of a request's messages is known already, and the end of its wait."""

    __slots__ = ("done", "left", "verdicts")

    def __init__(self, messages: int) -> None:
        self.verdicts: list[Verdicts | None] = [None] * messages
        self.left = messages
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Intake:
    """One queue, and the one task that empties it; `run` brings a batch to its verdicts."""

    def __init__(
        self,
        run: Run,
        batch_size_max: int,
        patience: Patience,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._batch_size_max = batch_size_max
        self._patience = patience
        self._now = now
        self._queue = MemoryQueue()
        self._waiting: dict[int, tuple[_Request, int]] = {}
        self._offset = 0
        self._problem: str | None = None
        self._problem_at = 0.0
        self._in_vain: BatchRetryable | None = None
        self._in_vain_until = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def problem(self) -> str | None:
        """Why the last batch failed, if that was a moment ago.

        Whoever is told keeps messages away, and only a message finds out that it is over.
        """
        is_recent = self._now() - self._problem_at < PROBLEM_SECONDS
        return self._problem if is_recent else None

    async def offer(self, values: Sequence[bytes], kind: Kind) -> list[Verdicts]:
        """What became of each message, if there is room for all of them.

        Raises `Busy`, `BatchRetryable` where the store or broker is away, or `Failed`; after the
        latter two it is not known whether they were stored, and sending them again is safe.
        """
        messages, request = self._addressed(values, kind)
        if not await self._queue.offer(messages):
            self._forget(messages)
            raise Busy
        return await self._answer(request)

    async def put(self, values: Sequence[bytes], kind: Kind) -> list[Verdicts]:
        """As `offer`, but waits for room: for a sender who is made to wait by it."""
        messages, request = self._addressed(values, kind)
        try:
            await self._queue.put_whole(messages)
        except BaseException:
            self._forget(messages)
            raise
        return await self._answer(request)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Empty the queue for as long as the block runs, and what is left in it at the end."""
        task = asyncio.create_task(self._work())
        try:
            yield
        finally:
            await self._queue.close()
            await task

    def _addressed(self, values: Sequence[bytes], kind: Kind) -> tuple[list[Message], _Request]:
        request = _Request(len(values))
        messages = []
        for index, value in enumerate(values):
            messages.append(Message(value, kind, ORIGINS[kind], 0, self._offset))
            self._waiting[self._offset] = request, index
            self._offset += 1
        return messages, request

    async def _answer(self, request: _Request) -> list[Verdicts]:
        await request.done
        return [verdicts for verdicts in request.verdicts if verdicts is not None]

    async def _work(self) -> None:
        while taken := await self._queue.take(self._batch_size_max):
            batch = self._without_those_in_vain(taken)
            try:
                if batch:
                    await self._finish(batch)
            except Exception as error:
                name = type(error).__name__
                log.error("ingest.bug", error=name)  # noqa: TRY400 - a traceback may quote values
                await self._finish_one_by_one(batch)
            await self._queue.acknowledge(len(taken))

    def _without_those_in_vain(self, taken: Sequence[Message]) -> Sequence[Message]:
        """What came after a batch was given up; what waited already is given up with it.

        Else the last of many batches would wait as many times as long for the same answer.
        """
        waited = [message for message in taken if message.offset < self._in_vain_until]
        if self._in_vain is not None:
            self._give_up(waited, self._in_vain)
        return [message for message in taken if message.offset >= self._in_vain_until]

    async def _finish(self, batch: Sequence[Message]) -> None:
        """Bring a batch to an end, be it that its service is away."""
        try:
            verdicts = await until_done(partial(self._attempt, batch), self._patience)
        except (StoreUnavailable, QueueUnavailable) as error:
            self._in_vain, self._in_vain_until = error, self._offset
            self._give_up(batch, error)
        except BatchRetryable as error:
            self._give_up(batch, error)
        else:
            for message, own in zip(batch, verdicts, strict=True):
                self._tell(message, own)

    def _give_up(self, messages: Sequence[Message], error: BatchRetryable) -> None:
        for message in messages:
            self._refuse(message, error)

    async def _attempt(self, batch: Sequence[Message]) -> Sequence[Verdicts]:
        try:
            verdicts = await self._run(batch)
        except BatchRetryable as error:
            self._problem, self._problem_at = str(error), self._now()
            raise
        self._problem = None
        return verdicts

    async def _finish_one_by_one(self, batch: Sequence[Message]) -> None:
        """After a bug: only the message that makes it is to fail."""
        for message in batch:
            try:
                await self._finish([message])
            except Exception as error:
                self._refuse(message, Failed(type(error).__name__))

    def _tell(self, message: Message, verdicts: Verdicts) -> None:
        request, index = self._waiting.pop(message.offset)
        request.verdicts[index] = verdicts
        request.left -= 1
        if not request.left and not request.done.done():
            request.done.set_result(None)

    def _refuse(self, message: Message, error: Exception) -> None:
        request, _ = self._waiting.pop(message.offset)
        if not request.done.done():
            request.done.set_exception(error)
            request.done.exception()  # whoever asked may have gone, and would be missed

    def _forget(self, messages: Sequence[Message]) -> None:
        for message in messages:
            del self._waiting[message.offset]
