"""The hand-written fakes: a publisher that keeps everything, and ports that something happens to.

A `PortThrough` hands every async call of the port behind it to `around`, which makes the call, or
does not, or does something else first. What stands behind it is always a real port.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum, auto
from inspect import iscoroutinefunction
from itertools import islice
from typing import Any

from ingest.core.records import Day
from ingest.core.totals import DailyTotal
from ingest.errors import BatchRetryable
from ingest.ports import DeadLetter, Publisher, Store

Call = Callable[..., Awaitable[Any]]
Around = Callable[..., Awaitable[Any]]  # of the method's name, the method, and its arguments

WRITES = frozenset(
    {
        *("append_events", "append_snapshots", "correct_events", "correct_snapshots"),
        *("save", "remember", "publish_totals", "publish_dead_letters"),
    }
)


class RecordingPublisher:
    """A publisher that keeps every total and every dead letter in the order they came."""

    def __init__(self) -> None:
        self.published: list[DailyTotal] = []
        self.dead_letters: list[DeadLetter] = []

    async def publish_totals(self, totals: Sequence[DailyTotal]) -> None:
        self.published += totals

    async def publish_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> None:
        self.dead_letters += dead_letters

    @property
    def latest(self) -> dict[Day, DailyTotal]:
        """The published total of the highest revision of each day: what a reader ends up with."""
        return {total.day: total for total in sorted(self.published, key=lambda t: t.revision)}


class PortThrough:
    """A port whose every async method goes through `around`."""

    def __init__(self, port: Any, around: Around) -> None:
        self._port = port
        self._around = around

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if not iscoroutinefunction(method):
            return method

        async def through_around(*args: Any) -> Any:
            return await self._around(name, method, *args)

        return through_around


def store_through(store: Store, around: Around) -> Store:
    """The store with each of its ports going through `around`."""
    return Store(*(PortThrough(port, around) for port in store))


class Mode(Enum):
    """How much of the failing call was applied."""

    BEFORE = auto()
    PARTWAY = auto()
    AFTER = auto()


class Failure:
    """Raises `BatchRetryable` at the calls of these numbers, from 1, over all the ports behind it.

    Reads that fail partway fail before: nothing comes of them either way.
    """

    def __init__(self, at: Mapping[int, Mode]) -> None:
        self.at = at
        self.calls = 0

    async def __call__(self, name: str, method: Call, *args: Any) -> Any:
        self.calls += 1
        mode = self.at.get(self.calls)
        if mode is None:
            return await method(*args)
        if mode is Mode.AFTER:
            await method(*args)
        elif mode is Mode.PARTWAY and name in WRITES:
            rows, *others = args
            await method(_first_half(rows), *others)
        raise BatchRetryable(f"call {self.calls}, {name}, failed {mode.name}")


def FailingStore(store: Store, failure: Failure) -> Store:  # noqa: N802 - reads as the class it is
    """The store, failing as `failure` says."""
    return store_through(store, failure)


def FailingPort(port: Any, failure: Failure) -> Any:  # noqa: N802 - as above
    """A single port, failing as `failure` says."""
    return PortThrough(port, failure)


class Calls:
    """Keeps the name of each call, and its first argument, in order."""

    def __init__(self) -> None:
        self.made: list[tuple[str, Any]] = []

    async def __call__(self, name: str, method: Call, *args: Any) -> Any:
        self.made.append((name, args[0]))
        return await method(*args)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.made]

    def count(self) -> Counter[str]:
        return Counter(self.names)


class Meanwhile:
    """Before each call of a method, while there is one left, does the next of these things."""

    def __init__(self, method: str, things: Sequence[Callable[[], Awaitable[Any]]]) -> None:
        self._method = method
        self._left = iter(things)
        self.done = 0

    async def __call__(self, name: str, method: Call, *args: Any) -> Any:
        if name == self._method and (thing := next(self._left, None)) is not None:
            await thing()
            self.done += 1
        return await method(*args)


def _first_half(rows: Any) -> Any:
    half = len(rows) // 2
    return dict(islice(rows.items(), half)) if isinstance(rows, Mapping) else rows[:half]


def through(store: Store, publisher: Publisher, around: Around) -> tuple[Store, Publisher]:
    """A store and a publisher behind one `around`, so that it sees the calls of both in order."""
    return store_through(store, around), PortThrough(publisher, around)
