"""The one store and the one publisher that all workers share, behind calls that may fail.

The store is `ingest.stores.memory`, whose methods are atomic. A call reaches it after a while, or
not at all, or long after its caller gave up; its caller may be frozen or dead by then.
"""

import asyncio
import random
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from ingest.core.totals import DailyTotal
from ingest.errors import QueueUnavailable, StoreUnavailable
from ingest.ports import DeadLetter, Store
from tests.fakes import PortThrough, store_through
from tests.simulation.faults import PUBLICATIONS, WRITES, Faults
from tests.simulation.plan import Plan, freeze
from tests.simulation.trace import Trace

SLOW_ANSWERS: Final = 0.2  # how many answers take as long again


def finished(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits for something")


class Topics:
    """The publisher: what is published is there for good, in order."""

    def __init__(self, witness: Any) -> None:
        self._witness = witness

    async def publish_totals(self, totals: Sequence[DailyTotal]) -> None:
        for total in totals:
            self._witness.publishes(total)

    async def publish_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> None:
        for letter in dead_letters:
            self._witness.refuses(letter)


class Services:
    """What stands between the workers and what they share."""

    def __init__(
        self, plan: Plan, store: Store, faults: Faults, trace: Trace, witness: Any
    ) -> None:
        self._plan = plan
        self._store = store
        self._topics = Topics(witness)
        self._faults = faults
        self._trace = trace
        self._witness = witness
        self._rng = random.Random(f"services {plan.seed}")
        self._loop = asyncio.get_running_loop()
        self.late = 0  # writes that are still on their way

    def ports_of(self, worker: Any) -> tuple[Store, Any]:
        """The store and the publisher as one worker reaches them."""

        async def around(name: str, method: Any, *arguments: Any) -> Any:
            return await self._call(worker, name, method, *arguments)

        return store_through(self._store, around), PortThrough(self._topics, around)

    async def _call(self, worker: Any, name: str, method: Any, *arguments: Any) -> Any:
        if name not in PUBLICATIONS:  # one that follows its permit at once is not frozen before
            await worker.gate()
        fault = self._faults.of_call(name, self._loop.time())
        self._say(worker, f"{name} ({fault})" if fault else name, arguments[0])
        await self._before(worker, fault)
        if fault in ("before", "part", "hang", "late"):
            await self._fail(worker, fault, name, method, *arguments)
        result = await self._reach(worker, fault, name, method, *arguments)
        await self._behind(worker, fault)
        if self._rng.random() < SLOW_ANSWERS:
            await asyncio.sleep(self._latency(name, None))
        await worker.gate()
        if fault == "after":
            raise _unavailable(name)
        return result

    async def _before(self, worker: Any, fault: str | None) -> None:
        if fault == "crash before":
            await worker.crash()
        if fault in ("freeze before", "freeze within"):
            worker.freeze(freeze(self._rng, self._plan.session_seconds))
        if fault == "freeze before":
            await worker.gate()

    async def _reach(
        self, worker: Any, fault: str | None, name: str, method: Any, *arguments: Any
    ) -> Any:
        """Take a while, and be applied; or the caller goes on the way, and who knows."""
        try:
            await asyncio.sleep(self._latency(name, fault))
        except asyncio.CancelledError:
            self._cancelled(worker, name, method, *arguments)
            raise
        if fault == "crash within" and self._rng.random() < 0.5:
            await worker.crash()
        return self._apply(worker, name, method, *arguments)

    async def _behind(self, worker: Any, fault: str | None) -> None:
        if fault in ("crash within", "crash behind"):
            await worker.crash()
        if fault == "freeze behind":
            worker.freeze(freeze(self._rng, self._plan.session_seconds))

    async def _fail(
        self, worker: Any, fault: str, name: str, method: Any, rows: Any, *others: Any
    ) -> None:
        """Apply none of it, some of it, all of it, or all of it when nobody waits any more."""
        await asyncio.sleep(self._latency(name, fault))
        if fault == "part" or (fault == "hang" and name in WRITES | PUBLICATIONS):
            self._apply(worker, name, method, self._part_of(rows), *others)
        if fault == "late":
            self._apply_late(worker, name, method, rows, *others)
        if fault in ("hang", "late"):
            seconds = self._plan.store_seconds
            if name in PUBLICATIONS:
                seconds = min(seconds, self._plan.session_seconds / 4)
            await asyncio.sleep(seconds)
        await worker.gate()
        raise _unavailable(name)

    def _cancelled(self, worker: Any, name: str, method: Any, *arguments: Any) -> None:
        """Its caller has gone while the call was on its way: it may have arrived, or will."""
        fate = self._rng.choice(("arrives", "is lost", "arrives late"))
        if fate == "arrives late" and name in WRITES and not self._plan.is_tame:
            self._apply_late(worker, name, method, *arguments)
        elif fate == "arrives":
            self._apply(worker, name, method, *arguments)

    def _apply_late(self, worker: Any, name: str, method: Any, *arguments: Any) -> None:
        session = self._plan.session_seconds
        seconds = self._plan.store_seconds * 1.1 + self._rng.choice((0.1, 1, 3)) * (
            session * self._rng.random()
        )
        self.late += 1

        def arrive() -> None:
            self.late -= 1
            self._apply(worker, f"late {name}", method, *arguments)

        self._loop.call_later(seconds, arrive)

    def _apply(self, worker: Any, name: str, method: Any, *arguments: Any) -> Any:
        result = finished(method(*arguments))
        if name.endswith("save"):
            self._witness.saves(arguments[0], result)
            if result:
                self._say(worker, f"{name} lost", result)
        if name.startswith("late"):
            self._say(worker, name, arguments[0])
        return result

    def _part_of(self, rows: Any) -> Any:
        """Some of the rows, in the same order; which ones does not depend on a set's order."""
        keys = [*rows]
        ranks = sorted(range(len(keys)), key=lambda n: (_order_of(keys[n]), n))
        chosen = {n for n in ranks if self._rng.random() < 0.5}
        if isinstance(rows, dict):
            return {key: rows[key] for n, key in enumerate(keys) if n in chosen}
        return [key for n, key in enumerate(keys) if n in chosen]

    def _latency(self, name: str, fault: str | None) -> float:
        seconds = self._plan.latency_seconds * (0.5 + self._rng.random())
        if fault == "slow":
            seconds *= 20
        return min(seconds, self._plan.session_seconds / 4) if name in PUBLICATIONS else seconds

    def _say(self, worker: Any, what: str, rows: Any) -> None:
        self._trace.add(self._loop.time(), worker.name, what, rows)


def _order_of(row: Any) -> tuple[Any, ...]:
    day = getattr(row, "day", None)
    return () if day is None else tuple(day)


def _unavailable(name: str) -> Exception:
    kind = QueueUnavailable if name in PUBLICATIONS else StoreUnavailable
    return kind(f"{name} failed, as the simulator wanted")
