"""A worker: the real `Batches`, `Partitions` and `Pipeline` in surroundings that can be broken.

What `ingest.worker.app`, `agents` and `membership` do around them with Faust is written again
here, as short as it can be: take a batch and run it; commit every second; on a rebalance settle,
commit, join, assign; on a stop drain and leave. The `Trust` by which a membership
is confirmed is the real one.
"""

import asyncio
import random
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, NoReturn

from ingest.core.records import Kind
from ingest.metrics import Metrics
from ingest.outcome import Outcome
from ingest.pipeline import Permit, Pipeline
from ingest.ports import Message
from ingest.retries import Patience
from ingest.worker.batches import Batches, Delivery, Place
from ingest.worker.limits import DeadLetterLimits
from ingest.worker.partitions import Partitions
from ingest.worker.trust import Heard, Trust
from tests.simulation.group import KINDS

COMMIT_SECONDS = 1.0
TOPICS = {kind: name for name, kind in KINDS.items()}


class Worker:
    """One incarnation of a worker, from its start to its crash or its end."""

    def __init__(self, world: Any, name: str) -> None:
        plan = world.plan
        self.world = world
        self.name = name
        self.is_dead = False
        self.is_busy = False
        self.silent_until = 0.0  # until when the broker does not answer
        self._loop = asyncio.get_running_loop()
        self._rng = random.Random(f"worker {plan.seed} {name}")
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._frozen_until = 0.0
        self._buffer: deque[Delivery] = deque()
        self._arrived, self._more = asyncio.Event(), asyncio.Event()
        self._fetched: dict[Place, int] = {}
        self.membership = SimulatedMembership(self)
        self.partitions = Partitions(self._new_pipeline, plan.day_cache_size)
        self.metrics = CountingMetrics(self)
        self.batches = Batches(
            self.partitions,
            self.membership,
            patience=Patience(timedelta(seconds=plan.store_seconds), timeout=None),
            limits=DeadLetterLimits(share_max=1, consecutive_max=1_000_000),
            metrics=self.metrics,  # type: ignore[arg-type]
            topics=TOPICS,
            on_failure=self._failed,
            now=self._loop.time,
        )
        self._ports = world.services.ports_of(self)
        self._tasks = [
            asyncio.create_task(main())
            for main in (self._stay_a_member, self._read, self._fetch, self._commit_now_and_then)
        ]
        for task in self._tasks:
            task.add_done_callback(self._task_done)

    # What the surroundings do to it.

    async def gate(self) -> None:
        """Return when it is not frozen; a dead one never goes on."""
        while not self._thawed.is_set():
            await self._thawed.wait()
        if self.is_dead:
            await asyncio.Event().wait()

    def freeze(self, seconds: float) -> None:
        until = self._loop.time() + seconds
        self.say(f"freezes for {seconds:.1f} s")
        self._thawed.clear()
        self._frozen_until = max(self._frozen_until, until)
        self._loop.call_at(until, self._thaw, until)

    async def crash(self) -> NoReturn:
        """Crash within one of its own calls."""
        self.die()
        await asyncio.Event().wait()
        raise AssertionError("nothing sets it")

    def die(self) -> None:
        """Lose everything; another incarnation comes later."""
        if not self.is_dead:
            self.say("crashes")
            self._end()

    def stop(self) -> None:
        """Ask it to stop, as SIGTERM does."""
        if not self.is_dead:
            self.say("is asked to stop")
            self._tasks.append(asyncio.create_task(self._drain()))

    @property
    def is_frozen(self) -> bool:
        return not self._thawed.is_set()

    @property
    def is_idle(self) -> bool:
        return not self.is_busy and not self._buffer and not self.is_frozen

    def more(self) -> None:
        """There may be something to fetch."""
        self._more.set()

    def say(self, what: str, *values: Any) -> None:
        self.world.trace.add(self._loop.time(), self.name, what, *values)

    def _thaw(self, until: float) -> None:
        if until >= self._frozen_until and self.is_frozen:
            self.say("thaws")
            self._thawed.set()

    def _end(self) -> None:
        self.is_dead = True
        self._thawed.set()
        for task in self._tasks:
            task.cancel()
        self.world.ended(self)

    def _task_done(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.world.witness.breaks("the simulator itself works", repr(error))

    def _failed(self, error: BaseException) -> None:
        if not self.is_dead:
            self.world.witness.breaks("no worker stops by itself", repr(error))

    # What `WorkerApp` and its agent do.

    async def _read(self) -> None:
        """As `noack_take`: a batch when there is one of full size, or when it waited enough."""
        plan = self.world.plan
        while True:
            while not self._buffer:
                self._arrived.clear()
                await self._arrived.wait()
            if len(self._buffer) < plan.batch_size:
                await asyncio.sleep(plan.batch_wait_seconds)
            await self.gate()
            size = min(plan.batch_size, len(self._buffer))
            batch = [self._buffer.popleft() for _ in range(size)]
            self._more.set()
            self.is_busy = True
            await self.batches.run(batch)
            self.is_busy = False
            days = self.partitions.cached_days
            if days > max(plan.day_cache_size, len(self.partitions)):
                self.world.witness.breaks("caches are bounded", days)

    async def _fetch(self) -> None:
        """Keep the buffer full, from the positions that were committed at the assignment."""
        while True:
            await self._more.wait()
            self._more.clear()
            await asyncio.sleep(self.world.plan.latency_seconds)
            await self.gate()
            generation = self.membership.generation
            for place in self._rng.sample([*self._fetched], len(self._fetched)):
                own = self.world.log.messages[place]
                room = self.world.plan.batch_size - len(self._buffer)
                messages = own[self._fetched[place] :][: max(0, room)]
                self._buffer.extend(Delivery(message, generation) for message in messages)
                self._fetched[place] += len(messages)
            if self._buffer:
                self._arrived.set()

    async def _commit_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            await self.gate()
            await self._commit()

    async def _commit(self) -> None:
        await self.membership.commit(self.batches.positions)

    async def _stay_a_member(self) -> None:
        grace = min(10.0, self.world.plan.session_seconds / 2)
        while True:
            await self.gate()
            await self.batches.settle(self.membership.generation, grace)
            await self.gate()
            await self._commit()
            self.batches.release()
            assigned = await self.membership.join()
            await asyncio.sleep(self._rng.choice((0, 0.1, 1)) * self._rng.random())
            self.batches.assign(assigned, self.membership.generation)
            committed = self.world.group.committed
            self._fetched = {place: committed.get(place, 0) for place in assigned}
            member, generation = self.membership.member, self.membership.generation
            self.world.witness.assigned(member, generation, self._fetched)
            self._more.set()
            await self.membership.until_it_must_join_again()
            self._fetched = {}

    async def _drain(self) -> None:
        self.batches.stop()
        await self.batches.settle(self.membership.generation, self.world.plan.session_seconds)
        await self.gate()
        await self._commit()
        self.world.group.leave(self.membership.member)
        self.say("has stopped")
        self._end()

    def _new_pipeline(self) -> Pipeline:
        plan = self.world.plan
        return WatchedPipeline(
            *self._ports,
            on_outcome=self.metrics.expect,
            rules=plan.rules,
            now=self.world.now,
            future_skew_max=timedelta(hours=24),
            day_cache_size=plan.day_cache_size,
        )


class SimulatedMembership:
    """The `Membership` of a worker, and its client's part in the group."""

    def __init__(self, worker: Worker) -> None:
        plan = worker.world.plan
        self._worker = worker
        self._group = worker.world.group
        self._loop = asyncio.get_running_loop()
        self._session = plan.session_seconds
        self._latency = plan.latency_seconds
        self._joins = 0
        self._must_join = False
        put_out_seconds = min(plan.session_seconds, plan.rebalance_seconds)
        self._trust = Trust(put_out_seconds, self._loop.time)
        self.member = ""
        self.generation = -1
        self.assigned: Sequence[Place] = ()

    def owns(self, place: Place, generation: int) -> bool:
        return generation == self.generation and place in self.assigned

    async def confirm(self) -> None:
        await self._trust.confirm(self._ask)

    async def commit(self, positions: Mapping[Place, int]) -> None:
        offsets = {place: at for place, at in positions.items() if place in self.assigned}
        if offsets and self.generation >= 0 and not await self._is_silent():
            taken = self._group.commit(self.member, self.generation, offsets)
            if not taken:
                self._worker.say("may not commit", offsets)

    async def join(self) -> Sequence[Place]:
        """What is assigned when the rebalance is over."""
        while await self._is_silent():  # noqa: ASYNC110 - as the client polls
            await asyncio.sleep(self._session / 6)
        if self.generation < 0:
            self._joins += 1
            self.member = f"{self._worker.name}-{self._joins}"
        self._must_join = False
        generation, numbers = await self._group.join(self.member)
        await self._worker.gate()
        self.assigned = self._worker.world.log.places_of(numbers)
        self.generation = generation
        return self.assigned

    async def until_it_must_join_again(self) -> None:
        """Send heartbeats until one says that there is a rebalance, or that it is no member."""
        while not self._must_join:
            await asyncio.sleep(self._session / 6)
            await self._worker.gate()
            if self._loop.time() >= self._worker.silent_until:
                self._hear(self._group.heartbeat(self.member, self.generation))

    async def _ask(self) -> Heard:
        """As `FaustMembership._ask`; the answer is on its way for a while."""
        fault = self._worker.world.faults.of_call("heartbeat", self._loop.time())
        if fault == "freeze before":
            self._worker.freeze(self._session * 1.5)
        if await self._is_silent():
            return Heard.NOTHING
        heard = self._group.heartbeat(self.member, self.generation)
        if fault == "freeze within":
            self._worker.freeze(self._session * 1.5)
        await asyncio.sleep(self._latency)
        await self._worker.gate()
        self._hear(heard)
        return heard

    async def _is_silent(self) -> bool:
        await asyncio.sleep(self._latency)
        await self._worker.gate()
        return self._loop.time() < self._worker.silent_until

    def _hear(self, heard: Heard) -> None:
        if heard is not Heard.MEMBER:
            self._must_join = True
        if heard is Heard.PUT_OUT:
            self._worker.say("is no member any more")
            self.generation = -1


class WatchedPipeline(Pipeline):
    """The pipeline; each outcome is shown with its messages before it is returned."""

    def __init__(self, *ports: Any, on_outcome: Any, **options: Any) -> None:
        super().__init__(*ports, **options)
        self._on_outcome = on_outcome

    async def run(self, messages: Sequence[Message], permit: Permit) -> Outcome:  # type: ignore[override]
        outcome = await super().run(messages, permit)
        self._on_outcome(outcome, messages)
        return outcome


class CountingMetrics:
    """The real metrics, made once a process; `count` tells the witness what is acknowledged."""

    _shared = Metrics()

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._expected: dict[int, tuple[Outcome, Sequence[Message]]] = {}
        self.skipped = self._shared.skipped
        self.dropped = self._shared.dropped
        self.retries = self._shared.retries

    def expect(self, outcome: Outcome, messages: Sequence[Message]) -> None:
        self._expected[id(outcome)] = outcome, messages

    def count(self, outcome: Outcome, topics: Mapping[Kind, str], seconds: float) -> None:
        _, messages = self._expected.pop(id(outcome))
        world, membership = self._worker.world, self._worker.membership
        self._worker.say("acknowledges", [(m.origin[:1], m.partition, m.offset) for m in messages])
        world.witness.acknowledges(membership.member, membership.generation, messages, outcome)


def timed(worker_of: Any, kind: str, seconds: float) -> Any:
    """What a timed fault does to the worker that is there by then."""

    def act() -> None:
        worker: Worker = worker_of()
        if worker.is_dead:
            return
        match kind:
            case "crash":
                worker.die()
            case "freeze":
                worker.freeze(seconds)
            case "stop":
                worker.stop()
            case _:
                worker.say(f"hears nothing from the broker for {seconds:.1f} s")
                worker.silent_until = worker.world.loop.time() + seconds

    return partial(act)
