"""The simulator finds deliberate faults in the logic; and shows each in a few lines."""

import pytest

from tests.simulation.mutants import (
    MUTANTS,
    publish_without_asking_the_broker,
    save_without_compare_and_set,
    seeds_until_caught,
    switched_on,
)
from tests.simulation.plan import plan_of
from tests.simulation.report import story_of
from tests.simulation.shrink import TRACE_LINES_MAX
from tests.simulation.world import simulate


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_deliberate_fault_is_caught_within_500_seeds(mutant, capsys):
    caught = seeds_until_caught(mutant)
    with capsys.disabled():
        print(f"\n{mutant.__name__:45} {caught}", end="")
    assert caught is not None


@pytest.mark.parametrize(
    "mutant", [save_without_compare_and_set, publish_without_asking_the_broker]
)
def test_a_failing_seed_is_told_by_a_short_trace_and_the_command_that_replays_it(mutant):
    caught = seeds_until_caught(mutant)
    assert caught is not None
    seed = caught.seeds - 1
    with switched_on(mutant):
        told = [*story_of(simulate(plan_of(seed)))]
    assert told[0] == f"seed {seed} broke: {caught.check}"
    assert told[-1] == f"replay: python -m tests.simulation --seed {seed}"
    assert len(told) <= TRACE_LINES_MAX + 4
