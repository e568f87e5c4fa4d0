"""Faust's consumer, made to hand a message on without four tasks for it.

Faust 0.15.3 lets the delivery of every message race against the end of the flow and against its own
end: four tasks, three of them cancelled, which is more than half of what a message costs. But a
delivery waits for nothing unless the buffer is full, and what never waits cannot lose a race.
"""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any

from faust.transport.drivers.aiokafka import Consumer, Transport


class EagerWaits:
    """A `mode.Service` that begins the first of two coroutines before it makes tasks of them."""

    async def wait_first(self, *waits: Any, **options: Any) -> Any:
        """As the service's own; but where the first never waits, the second is never begun.

        All others get a turn then, as they had: a stream takes one message a turn, so a consumer
        that just went on would soon find its buffer full. The result is not what Faust asks for.
        """
        if len(waits) != 2:  # noqa: PLR2004 - a delivery, and the end of the flow
            return await super().wait_first(*waits, **options)  # type: ignore[misc]
        delivery, end = waits
        try:
            waited_for = delivery.send(None)
        except StopIteration:
            end.close()
            return await asyncio.sleep(0)
        except BaseException:
            end.close()
            raise
        return await super().wait_first(  # type: ignore[misc]
            _Begun(delivery, waited_for), end, **options
        )


class EagerConsumer(EagerWaits, Consumer):
    """The consumer of a worker."""


class EagerTransport(Transport):
    """Faust's transport by aiokafka, with that consumer."""

    Consumer = EagerConsumer


class _Begun:
    """The rest of a coroutine that has had its first turn, and waits for something since."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], waited_for: Any) -> None:
        self._coroutine = coroutine
        self._waited_for = waited_for

    def __await__(self) -> Generator[Any, Any, Any]:
        waited_for = self._waited_for
        try:
            while True:
                try:
                    answer = yield waited_for
                except BaseException as error:  # a cancellation is its business too
                    waited_for = self._coroutine.throw(error)
                else:
                    waited_for = self._coroutine.send(answer)
        except StopIteration as ended:
            return ended.value
