"""A partitioned log and its consumer group, as a broker keeps them.

What of Kafka is here: sessions and generations, rebalances in which every member gives up its
partitions before any gets new ones, members that are put out because they were silent or did not
join in time, and commits that only a member of the current generation may make.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ingest.core.records import Kind
from ingest.ports import Message
from ingest.worker.batches import Place
from ingest.worker.trust import Heard
from tests.simulation.plan import EVENTS, SNAPSHOTS, Plan, Sending
from tests.simulation.trace import Trace

KINDS = {EVENTS: Kind.ACTIVITY, SNAPSHOTS: Kind.HEALTH}


class Log:
    """The messages of both topics, by partition."""

    def __init__(self, partitions: int) -> None:
        self.messages: dict[Place, list[Message]] = {
            Place(topic, number): []
            for topic in (EVENTS, SNAPSHOTS)
            for number in range(partitions)
        }
        self.sent: dict[Place, list[Sending]] = {place: [] for place in self.messages}

    def append(self, sending: Sending) -> None:
        place = Place(sending.topic, sending.partition)
        own = self.messages[place]
        own.append(
            Message(
                *(sending.value, KINDS[place.topic], place.topic),
                *(place.partition, len(own), sending.key),
            )
        )
        self.sent[place].append(sending)

    def places_of(self, numbers: Sequence[int]) -> list[Place]:
        return [Place(topic, number) for number in numbers for topic in (EVENTS, SNAPSHOTS)]


class Joined(NamedTuple):
    """What a member gets when a rebalance is over."""

    generation: int
    partitions: Sequence[int]


class _Member:
    def __init__(self, seen_at: float) -> None:
        self.seen_at = seen_at
        self.joining: asyncio.Future[Joined] | None = None


class Group:
    """The coordinator of the group."""

    def __init__(
        self, plan: Plan, trace: Trace, on_commit: Callable[[Mapping[Place, int]], None]
    ) -> None:
        self._session = plan.session_seconds
        self._patience = plan.rebalance_seconds
        self._partitions = plan.partitions
        self._rng = random.Random(f"group {plan.seed}")
        self._trace = trace
        self._on_commit = on_commit
        self._members: dict[str, _Member] = {}
        self._is_rebalancing = False
        self._loop = asyncio.get_running_loop()
        self.generation = 0
        self.committed: dict[Place, int] = {}

    def heartbeat(self, name: str, generation: int) -> Heard:
        member = self._members.get(name)
        if member is None:
            return Heard.PUT_OUT
        member.seen_at = self._loop.time()
        if self._is_rebalancing:
            return Heard.REBALANCING
        return Heard.MEMBER if generation == self.generation else Heard.PUT_OUT

    async def join(self, name: str) -> Joined:
        """Wait until all have joined, or until those that have not are put out."""
        member = self._members.get(name)
        if member is None:
            member = self._members[name] = _Member(self._loop.time())
            self._loop.call_later(self._session, self._look_at, name, member)
        member.seen_at = self._loop.time()
        joining = member.joining = self._loop.create_future()
        self._rebalance()
        self._complete_if_all_joined()
        return await joining

    def leave(self, name: str) -> None:
        if self._members.pop(name, None) is not None and self._members:
            self._rebalance()
            self._complete_if_all_joined()

    def commit(self, name: str, generation: int, positions: Mapping[Place, int]) -> bool:
        """Whether it was taken: only from a member of this generation."""
        if name not in self._members or generation != self.generation:
            return False
        moved = {p: at for p, at in positions.items() if at != self.committed.get(p)}
        if moved:
            self._trace.add(self._loop.time(), name, "commits", moved)
            self._on_commit(moved)
            self.committed.update(moved)
        return True

    def _look_at(self, name: str, member: _Member) -> None:
        """Put the member out if it was silent for a session, or look again when it would be."""
        if self._members.get(name) is not member:
            return
        if member.joining is not None:
            member.seen_at = self._loop.time()  # it waits for an answer
        left = member.seen_at + self._session - self._loop.time()
        if left > 0:
            self._loop.call_later(left, self._look_at, name, member)
            return
        self._trace.add(self._loop.time(), "broker", "puts out, silent:", name)
        self.leave(name)

    def _rebalance(self) -> None:
        if not self._is_rebalancing:
            self._is_rebalancing = True
            self._loop.call_later(self._patience, self._give_up_waiting, self.generation)

    def _give_up_waiting(self, generation: int) -> None:
        if not self._is_rebalancing or generation != self.generation:
            return
        for name in [n for n, member in self._members.items() if member.joining is None]:
            self._trace.add(self._loop.time(), "broker", "puts out, did not join:", name)
            del self._members[name]
        self._complete_if_all_joined()

    def _complete_if_all_joined(self) -> None:
        if not self._is_rebalancing or any(m.joining is None for m in self._members.values()):
            return
        self._is_rebalancing = False
        self.generation += 1
        names = [*self._members]
        self._rng.shuffle(names)
        given = {
            name: list(range(self._partitions))[n :: len(names)] for n, name in enumerate(names)
        }
        self._trace.add(self._loop.time(), "broker", f"generation {self.generation}:", given)
        for name, numbers in given.items():
            member = self._members[name]
            joining, member.joining = member.joining, None
            member.seen_at = self._loop.time()
            if joining is not None and not joining.done():
                joining.set_result(Joined(self.generation, numbers))
