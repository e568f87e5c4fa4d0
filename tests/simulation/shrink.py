"""A failing plan made smaller, as long as the same check still fails."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from tests.simulation.plan import Plan
from tests.simulation.world import Result, simulate

RUNS_MAX: Final = 400
TRACE_LINES_MAX: Final = 60


def shrunk(result: Result) -> Result:
    """The smallest failing run that was found in a bounded number of runs.

    Faults that are not needed are dropped (all behind one, kinds, one by one), then workers, then
    messages, and again until nothing more can go.
    """
    assert result.broken is not None
    runs = iter(range(RUNS_MAX))
    size = None
    while size != _size_of(result):
        size = _size_of(result)
        for smaller in (_fewer_faults, _fewer_workers, _fewer_messages, _simpler):
            result = _first_that_fails(result, smaller, runs)
    return result


def trace_of(result: Result, lines_max: int = TRACE_LINES_MAX) -> list[str]:
    """The last lines of a run's trace, with how many were left out before them."""
    lines = [line[:200] for line in result.trace.lines()]
    left_out = len(lines) - lines_max + 1
    if left_out <= 1:
        return lines
    return [f"({left_out} lines before)", *lines[left_out:]]


def _first_that_fails(
    result: Result, smaller: Callable[[Result], Iterator[Plan]], runs: Iterator[int]
) -> Result:
    """Go on with the first smaller plan that fails alike, until none does."""
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for plan in smaller(result):
            if next(runs, None) is None:
                return result
            found = simulate(plan)
            if found.broken and result.broken and found.broken.check == result.broken.check:
                result, is_smaller = found, True
                break
    return result


def _fewer_faults(result: Result) -> Iterator[Plan]:
    plan, drawn = result.plan, min(result.faults_drawn, result.plan.faults_max)
    for keep in (0, drawn // 4, drawn // 2, drawn * 3 // 4, drawn - 1):
        if 0 <= keep < drawn:
            yield replace(plan, faults_max=keep)
    for timed in _parts_of(plan.timed_faults):
        yield replace(plan, timed_faults=timed)
    for number in range(drawn):
        if number not in plan.skipped_faults:
            yield replace(plan, skipped_faults=plan.skipped_faults | {number})


def _fewer_workers(result: Result) -> Iterator[Plan]:
    plan = result.plan
    for workers in range(1, plan.workers):
        timed = [fault for fault in plan.timed_faults if fault.worker < workers]
        yield replace(plan, workers=workers, timed_faults=timed)


def _fewer_messages(result: Result) -> Iterator[Plan]:
    for sendings in _parts_of(result.plan.sendings):
        yield replace(result.plan, sendings=sendings)


def _simpler(result: Result) -> Iterator[Plan]:
    plan = result.plan
    if plan.partitions > 1:
        sendings = [s._replace(partition=0) for s in plan.sendings]
        yield replace(plan, partitions=1, sendings=sendings)
    end = plan.sendings[-1].at if plan.sendings else 0
    if plan.faults_until > end + 1:
        yield replace(plan, faults_until=(plan.faults_until + end) / 2)


def _parts_of(rows: Sequence[Any]) -> Iterator[list[Any]]:
    """The rows without a half, a quarter, ... of them, down to each one."""
    size = len(rows) // 2
    while size:
        for start in range(0, len(rows), size):
            yield [*islice(rows, start), *rows[start + size :]]
        size //= 2
    if len(rows) == 1:
        yield []


def _size_of(result: Result) -> tuple[int, ...]:
    plan = result.plan
    faults = min(result.faults_drawn, plan.faults_max) - len(plan.skipped_faults)
    return len(plan.sendings), plan.workers, plan.partitions, faults
