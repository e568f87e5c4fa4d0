"""Simulated bad days: whatever fails, the promises of the README are kept."""

import pytest

from tests.simulation.plan import plan_of
from tests.simulation.report import story_of
from tests.simulation.world import simulate

SEEDS_A_TEST = 50


@pytest.mark.parametrize("first", range(0, 300, SEEDS_A_TEST))
def test_every_promise_is_kept_in_each_of_these_seeds(first):
    for seed in range(first, first + SEEDS_A_TEST):
        result = simulate(plan_of(seed))
        if result.broken:
            pytest.fail("\n".join(story_of(result)), pytrace=False)
