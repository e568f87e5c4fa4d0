"""Many seeds, what became of them, and how a failure is shown."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.simulation.plan import plan_of
from tests.simulation.shrink import shrunk, trace_of
from tests.simulation.world import Result, simulate


class Tally(NamedTuple):
    """What some seeds came to; `failed` are the seeds that broke a promise."""

    seeds: int
    seconds: float
    messages: int
    records: int
    faults: Counter[str]
    failed: Sequence[int]

    def plus(self, other: "Tally") -> "Tally":
        return Tally(
            self.seeds + other.seeds,
            self.seconds + other.seconds,
            self.messages + other.messages,
            self.records + other.records,
            self.faults + other.faults,
            [*self.failed, *other.failed],
        )

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(self.faults.items()))
        return (
            f"{self.seeds:,} seeds, {self.seconds / 3600:,.1f} virtual hours, "
            f"{self.messages:,} messages, {self.records:,} records acknowledged, "
            f"{self.faults.total():,} faults ({kinds}), {len(self.failed)} failures"
        )


NOTHING = Tally(0, 0.0, 0, 0, Counter(), ())


def tally_of(seeds: range) -> Tally:
    """Run these seeds."""
    tally = NOTHING
    for seed in seeds:
        result = simulate(plan_of(seed))
        tally = tally.plus(
            Tally(
                *(1, result.seconds, len(result.plan.sendings), result.records, result.faults),
                [seed] if result.broken else [],
            )
        )
    return tally


def story_of(result: Result) -> Iterator[str]:
    """What failed, the smallest trace of it that was found, and the command that replays it."""
    seed = result.plan.seed
    assert result.broken is not None
    yield f"seed {seed} broke: {result.broken.check}"
    small = shrunk(result)
    plan = small.plan
    assert small.broken is not None
    yield f"saw: {small.broken.seen[:1000]}"
    yield (
        f"shrunk to {len(plan.sendings)} messages, {plan.workers} workers, "
        f"{plan.partitions} partitions, {small.faults.total()} faults"
    )
    yield from trace_of(small)
    yield f"replay: python -m tests.simulation --seed {seed}"
