"""`python -m tests.simulation`: many seeds, on all cores; 1 if one of them breaks a promise."""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator

from tests.simulation.mutants import MUTANTS, seeds_until_caught
from tests.simulation.plan import plan_of
from tests.simulation.report import NOTHING, Tally, story_of, tally_of
from tests.simulation.world import simulate

SEEDS_A_TASK = 50
STORIES_MAX = 5


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="only this one, with its trace")
    parser.add_argument("--mutants", action="store_true", help="show that faults would be found")
    options = parser.parse_args()
    if options.mutants:
        return _mutants()
    if options.seed is not None:
        return _one(options.seed)
    return _many(options.first, options.seeds)


def _one(seed: int) -> int:
    result = simulate(plan_of(seed))
    lines = story_of(result) if result.broken else result.trace.lines()
    for line in lines:
        print(line)
    print(f"seed {seed}: {'broken' if result.broken else 'all promises kept'}")
    return 1 if result.broken else 0


def _many(first: int, count: int) -> int:
    started = time.monotonic()
    tally = NOTHING
    for part in _in_parts(first, count):
        tally = tally.plus(part)
        _progress(tally.seeds, count, len(tally.failed))
    for seed in sorted(tally.failed)[:STORIES_MAX]:
        print("\n".join(story_of(simulate(plan_of(seed)))))
    print(f"{tally}, in {time.monotonic() - started:.0f} s")
    return 1 if tally.failed else 0


def _in_parts(first: int, count: int) -> Iterator[Tally]:
    parts = [
        range(start, min(start + SEEDS_A_TASK, first + count))
        for start in range(first, first + count, SEEDS_A_TASK)
    ]
    processes = min(os.cpu_count() or 1, len(parts))
    with multiprocessing.get_context("spawn").Pool(max(1, processes)) as pool:
        yield from pool.imap_unordered(tally_of, parts)


def _progress(done: int, of: int, failed: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == of else ""
        print(f"\r{done:,} of {of:,} seeds, {failed} failures", end=end, file=sys.stderr)


def _mutants() -> int:
    missed = 0
    for mutant in MUTANTS:
        caught = seeds_until_caught(mutant)
        missed += caught is None
        print(f"{mutant.__name__:45} {caught or 'NOT CAUGHT'}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
