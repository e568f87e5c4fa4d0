"""Deliberate faults in the logic, to show that the simulator would find them.

Each is switched on for as long as its context lasts, by putting something else in the place of a
function; nothing in `ingest` knows of them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import pytest

from ingest import pipeline as pipeline_module
from ingest.core import totals as totals_module
from ingest.core.dedupe import Verdict
from ingest.errors import BatchDropped, BatchRetryable, QueueUnavailable
from ingest.pipeline import Pipeline
from ingest.stores.memory import MemoryTotals
from ingest.worker import batches as batches_module
from ingest.worker import trust as trust_module
from ingest.worker.batches import Batches, Place
from ingest.worker.partitions import Partitions
from ingest.worker.trust import Heard, Trust
from tests.simulation.plan import plan_of
from tests.simulation.worker import SimulatedMembership
from tests.simulation.world import simulate

Patch = Callable[[pytest.MonkeyPatch], None]
FLOAT_SCALE: Final = 10_000
SEEDS_MAX: Final = 500


@contextmanager
def switched_on(mutant: Patch) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        mutant(patch)
        yield


class Caught(NamedTuple):
    """How many seeds it took, and the check that failed."""

    seeds: int
    check: str

    def __str__(self) -> str:
        return f"{self.seeds:3} seeds: {self.check}"


def seeds_until_caught(mutant: Patch, seeds_max: int = SEEDS_MAX) -> Caught | None:
    """None if no promise is broken in so many seeds, from 0 on."""
    with switched_on(mutant):
        for seed in range(seeds_max):
            broken = simulate(plan_of(seed)).broken
            if broken is not None:
                return Caught(seed + 1, broken.check)
    return None


def acknowledge_before_save(patch: pytest.MonkeyPatch) -> None:
    run = Batches._run

    async def acknowledging(self: Any, number: int, messages: Any, generation: int) -> None:
        places = {Place(message.origin, message.partition) for message in messages}
        self._must_own(places, number, generation)
        self._acknowledge(messages, places)
        await run(self, number, messages, generation)

    patch.setattr(Batches, "_run", acknowledging)


def save_without_compare_and_set(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MemoryTotals, "save", _save_any)


def skip_the_slow_path_for_duplicates(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pipeline_module, "_TOUCHING", (Verdict.CORRECTED,))


def ignore_corrections_in_the_fast_path(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pipeline_module, "_TOUCHING", (Verdict.DUPLICATE,))


def remember_the_key_before_publishing(patch: pytest.MonkeyPatch) -> None:
    run, apply_keys = Pipeline.run, Pipeline._apply_keys

    async def applying(self: Any, messages: Any, decoded: Any, now: Any) -> Any:
        keyed = await apply_keys(self, messages, decoded, now)
        self.to_remember = keyed.fresh, now
        return keyed

    async def running(self: Any, messages: Any, permit: Any) -> Any:
        async def remembering(outcome: Any) -> None:
            if self.to_remember[0]:
                await self._keys.remember(*self.to_remember)
            await permit(outcome)

        return await run(self, messages, remembering)

    patch.setattr(Pipeline, "_apply_keys", applying)
    patch.setattr(Pipeline, "run", running)


def publish_before_save(patch: pytest.MonkeyPatch) -> None:
    save = Pipeline._save

    async def publishing(self: Any, drafts: Any) -> Any:
        if drafts:
            await self._publisher.publish_totals(drafts)
        return await save(self, drafts)

    patch.setattr(Pipeline, "_save", publishing)


def commit_past_a_failed_partition(patch: pytest.MonkeyPatch) -> None:
    async def once(run: Any, _patience: Any) -> Any:
        try:
            return await run()
        except BatchRetryable:
            raise BatchDropped from None

    patch.setattr(batches_module, "until_done", once)
    patch.setattr(Batches, "_drop", lambda *_: None)


def float_sums(patch: pytest.MonkeyPatch) -> None:
    plus = totals_module.plus

    def adding(sums: Any, more: Any) -> Any:
        calories = sums.calories_out / FLOAT_SCALE + more.calories_out / FLOAT_SCALE
        return plus(sums, more)._replace(calories_out=calories * FLOAT_SCALE)

    patch.setattr(totals_module, "plus", adding)


def keep_days_over_rebalances_and_trust_them(patch: pytest.MonkeyPatch) -> None:
    """A stale day alone does no harm, since compare-and-set finds it out; so folded totals do
    without it here, while those that were read again still have it."""
    fold, save = pipeline_module.fold, MemoryTotals.save
    folded: list[Any] = []

    def folding(*arguments: Any) -> Any:
        folded.append(fold(*arguments))
        return folded[-1]

    async def saving(self: Any, totals: Any) -> Any:
        blind = [total for total in totals if any(total is other for other in folded)]
        await _save_any(self, blind)
        return await save(self, [t for t in totals if not any(t is other for other in blind)])

    patch.setattr(pipeline_module, "fold", folding)
    patch.setattr(MemoryTotals, "save", saving)
    patch.setattr(Partitions, "keep", lambda *_: None)


def treat_a_late_snapshot_as_a_reset(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pipeline_module, "can_fold", lambda *_: True)


def publish_what_is_not_owned(patch: pytest.MonkeyPatch) -> None:
    attempt = Batches._attempt

    async def attempting(self: Any, number: int, messages: Any, places: Any, of: int) -> Any:
        pipeline = self._partitions.pipeline(number)
        run = pipeline.run
        pipeline.run = lambda own, _: run(own, _permitted)
        try:
            return await attempt(self, number, messages, places, of)
        finally:
            del pipeline.run

    patch.setattr(Batches, "_attempt", attempting)


def publish_without_asking_the_broker(patch: pytest.MonkeyPatch) -> None:
    """The partition is owned as far as is known here, which a zombie believes too."""
    patch.setattr(SimulatedMembership, "confirm", _permitted)


def keep_positions_over_rebalances(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Batches, "release", lambda _: None)


def forget_what_a_key_refuses(patch: pytest.MonkeyPatch) -> None:
    """Of messages that a key refuses, the records may be stored by an attempt that failed."""
    patch.setattr(pipeline_module, "_left_by_an_attempt", lambda _: ([], []))


def trust_an_answer_until_others_have_taken_over(patch: pytest.MonkeyPatch) -> None:
    """For as long as it takes to be put out of the group, or longer."""
    patch.setattr(trust_module, "CONFIRMED_FOR", 3)


def trust_an_answer_that_came_late(patch: pytest.MonkeyPatch) -> None:
    """As by a worker that was frozen while the answer was on its way."""

    async def confirm(self: Any, ask: Any) -> None:
        if await ask() is Heard.NOTHING:
            raise QueueUnavailable("as the real one")

    patch.setattr(Trust, "confirm", confirm)


async def _permitted(_: Any) -> None:
    """Nothing stands against it."""


async def _save_any(self: Any, totals: Any) -> set[Any]:
    for total in totals:
        self._totals.setdefault(total.day.user_id, {})[total.day.date] = total
    return set()


MUTANTS: Final[tuple[Patch, ...]] = (
    acknowledge_before_save,
    save_without_compare_and_set,
    skip_the_slow_path_for_duplicates,
    ignore_corrections_in_the_fast_path,
    remember_the_key_before_publishing,
    publish_before_save,
    commit_past_a_failed_partition,
    float_sums,
    keep_days_over_rebalances_and_trust_them,
    treat_a_late_snapshot_as_a_reset,
    publish_what_is_not_owned,
    publish_without_asking_the_broker,
    keep_positions_over_rebalances,
    forget_what_a_key_refuses,
    trust_an_answer_until_others_have_taken_over,
    trust_an_answer_that_came_late,
)
