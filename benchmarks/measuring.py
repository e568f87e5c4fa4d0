"""How a figure is taken: in a fresh process on the first core, over several rounds, in turn."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from ingest.embedded import collect_garbage_rarely

LONG_SECONDS: Final = 20  # a run that takes longer is made three times only
LONG_ROUNDS: Final = 3
Spent = dict[str, float]  # seconds, by what they went into
Found = TypeVar("Found")


def in_child(measure: Callable[..., Found], *arguments: Any) -> Found:
    """What `measure` returns in a process of its own, pinned to the first core.

    Nothing that was measured before is in its memory. Both `measure` and what it returns are
    pickled. Raises what it raised.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_prepare) as pool:
        return pool.submit(measure, *arguments).result()


def servers_to_second_core() -> None:
    """Pin this process, and so the servers it starts, to the second core if there is one."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[1 % len(cores)]})


def rounds_of(measure: Callable[[], Spent], rounds: int) -> list[Spent]:
    """As many results of `measure`; three at most where the first one took long."""
    started = time.perf_counter()
    first = measure()
    if time.perf_counter() - started > LONG_SECONDS:
        rounds = min(rounds, LONG_ROUNDS)
    return [first, *(measure() for _ in range(rounds - 1))]


@contextmanager
def spending(spent: Spent, name: str) -> Iterator[None]:
    """Add the CPU seconds of this process to `name`, and the clock's to `name_wall`."""
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    spent[name] = spent.get(name, 0.0) + time.process_time() - cpu
    spent[f"{name}_wall"] = spent.get(f"{name}_wall", 0.0) + time.perf_counter() - wall


def resident_mib() -> float:
    """What this process holds in memory now."""
    return _status("VmRSS")


def peak_mib() -> float:
    """The most this process has held in memory since it began, or since `forget_peak`."""
    return _status("VmHWM")


def forget_peak() -> None:
    """Let the peak begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> float:
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) / 1024


def _prepare() -> None:
    os.sched_setaffinity(0, {min(_all_cores())})
    collect_garbage_rarely()


def _all_cores() -> range:
    return range(os.cpu_count() or 1)
