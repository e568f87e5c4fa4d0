"""The same seed gives the same run, to the last call, in any process."""

import asyncio
import os
import subprocess
import sys

import pytest

from tests.simulation.loop import Deadlock, run
from tests.simulation.plan import plan_of
from tests.simulation.world import simulate

SEEDS = range(1000, 1012)
PROGRAM = f"""
from tests.simulation.plan import plan_of
from tests.simulation.world import simulate
for seed in {SEEDS}:
    print(simulate(plan_of(seed)).trace.digest)
"""


def digests() -> list[str]:
    return [simulate(plan_of(seed)).trace.digest for seed in SEEDS]


def test_the_same_seed_gives_the_same_trace():
    first = digests()
    assert digests() == first
    assert len({*first}) == len(SEEDS)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_so_it_does_in_a_process_that_hashes_differently(hash_seed):
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == digests()


def test_virtual_time_passes_only_while_something_waits_for_it():
    async def sleeps() -> float:
        await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(7200))
        return asyncio.get_running_loop().time()

    assert run(sleeps()) == 7200


def test_what_waits_for_nothing_that_can_happen_is_a_deadlock():
    with pytest.raises(Deadlock):
        run(asyncio.Event().wait())
