"""An asyncio loop whose time is virtual: where it would wait, it moves its clock instead.

Nothing in it depends on the wall clock or on the addresses of objects, so that the same coroutine
always takes the same steps: even a set of tasks has the order in which they were made.
"""

import asyncio
from collections.abc import Coroutine
from itertools import count
from typing import Any


class Deadlock(Exception):  # noqa: N818 - it is what happened
    """Something waits, and nothing is left that could end it."""


class NumberedTask(asyncio.Task):
    """A task whose hash is its number in its loop, so that sets of tasks have one order."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._number = next(options["loop"].numbers)
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop without sockets, threads and signals; its time begins at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = count()
        self._clock = 0.0
        self._selector = self
        self.set_task_factory(_numbered)

    def time(self) -> float:
        return self._clock

    def select(self, timeout: float | None) -> list[Any]:
        """Called where nothing is ready: go to the time of what comes next."""
        if timeout is None:
            raise Deadlock
        if timeout > 0:
            self._clock = max(self._clock, self._scheduled[0].when())
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """There are no other threads."""


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """What the coroutine returns; all that it started and left is cancelled. Raises `Deadlock`."""
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        _cancel_all(loop)
        asyncio.set_event_loop(None)
        loop.close()


def _numbered(loop: VirtualLoop, coro: Any, **options: Any) -> NumberedTask:
    return NumberedTask(coro, loop=loop, **options)


def _cancel_all(loop: VirtualLoop) -> None:
    left = sorted(asyncio.all_tasks(loop), key=hash)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
