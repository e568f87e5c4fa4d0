"""One run of a plan, from the first message until all is committed and nothing is under way."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Final, NamedTuple

import structlog

from ingest.stores.memory import memory_store
from tests.batches import TTL
from tests.core.messages import NOW
from tests.simulation.faults import Faults
from tests.simulation.group import Group, Log
from tests.simulation.loop import Deadlock, run
from tests.simulation.plan import Plan
from tests.simulation.services import Services
from tests.simulation.trace import Trace
from tests.simulation.witness import Broken, Witness
from tests.simulation.worker import Worker, timed

SECONDS_MAX: Final = 2_000.0  # of virtual time, behind the last fault
QUIET_SECONDS: Final = 3.0


class Result(NamedTuple):
    """How a run ended; `broken` is None if everything held."""

    plan: Plan
    broken: Broken | None
    trace: Trace
    faults: Counter[str]
    faults_drawn: int
    seconds: float
    records: int


def simulate(plan: Plan) -> Result:
    """Run a plan; the same plan always gives the same result."""
    world = World(plan)
    random.seed(plan.seed)  # stamina draws its jitter from there
    with _silence():
        try:
            run(world.main())
        except Deadlock:
            world.witness.breaks("every run ends", "nothing is left that could go on")
    return Result(
        plan,
        world.witness.broken,
        world.trace,
        world.faults.injected,
        world.faults.drawn,
        world.seconds,
        world.witness.records_acknowledged,
    )


class World:
    """Everything of a run: what is shared, and who is there."""

    witness: Witness
    services: Services
    group: Group
    loop: asyncio.AbstractEventLoop

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.trace = Trace()
        self.faults = Faults(plan)
        self.log = Log(plan.partitions)
        self.store = memory_store(TTL)
        self.workers: list[Worker] = []
        self.seconds = 0.0
        self._incarnations: Counter[int] = Counter()
        self._rng = random.Random(f"world {plan.seed}")
        self._is_broken = asyncio.Event()

    async def main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.witness = Witness(self.plan, self.log, self.store, self._is_broken.set)
        self.services = Services(self.plan, self.store, self.faults, self.trace, self.witness)
        self.group = Group(self.plan, self.trace, self.witness.commits)
        for number in range(self.plan.workers):
            self.workers.append(self._worker(number))
        for sending in self.plan.sendings:
            self.loop.call_at(sending.at, self._send, sending)
        for fault in self.plan.timed_faults:
            act = timed(partial(self.workers.__getitem__, fault.worker), fault.kind, fault.seconds)
            self.loop.call_at(fault.at, self._if_admitted, fault.kind, act)
        await self._until_quiet()
        self.seconds = self.loop.time()
        if self.witness.broken is None:
            self.witness.ends(self.now())

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.loop.time())

    def ended(self, worker: Worker) -> None:
        """Another one comes in its place."""
        number = self.workers.index(worker)
        seconds = self._rng.choice((0.1, 1.0, self.plan.session_seconds)) * self._rng.random()

        def replace() -> None:
            self.workers[number] = self._worker(number)

        self.loop.call_later(seconds, replace)

    def _worker(self, number: int) -> Worker:
        self._incarnations[number] += 1
        return Worker(self, f"w{number}.{self._incarnations[number]}")

    def _send(self, sending: object) -> None:
        self.log.append(sending)  # type: ignore[arg-type]
        for worker in self.workers:
            worker.more()

    def _if_admitted(self, kind: str, act: partial[None]) -> None:
        if self.faults.admits(kind):
            act()

    async def _until_quiet(self) -> None:
        last = max([sending.at for sending in self.plan.sendings], default=0)
        end = max(self.plan.faults_until, last) + SECONDS_MAX
        quiet = 0.0
        while quiet < QUIET_SECONDS and not self._is_broken.is_set():
            await asyncio.sleep(1)
            quiet = quiet + 1 if self.loop.time() > last and self._is_quiet() else 0
            if self.loop.time() > end:
                self.witness.breaks("every run ends", f"not within {end:.0f} s")

    def _is_quiet(self) -> bool:
        return (
            self.loop.time() > self.plan.faults_until
            and self.services.late == 0
            and all(worker.is_dead or worker.is_idle for worker in self.workers)
            and self.witness.is_drained(self.group.committed)
        )


@contextmanager
def _silence() -> Iterator[None]:
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        yield
    finally:
        structlog.configure(**before)
