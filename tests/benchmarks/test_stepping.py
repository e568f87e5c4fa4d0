import asyncio
from types import SimpleNamespace

import pytest

from benchmarks.stepping import PORTS, Steps
from ingest.ports import KeyStore, Publisher, RecordLog, TotalStore


async def test_a_timed_coroutine_returns_what_it_returns() -> None:
    steps = Steps()

    async def twice(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    assert await steps.coroutine(twice, "save")(21) == 42
    assert steps.seconds["save"] > 0


async def test_only_what_it_computes_itself_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    own_time = SimpleNamespace(perf_counter=lambda: clock[0])
    monkeypatch.setattr("benchmarks.stepping.time", own_time)
    steps = Steps()

    async def measured() -> None:
        clock[0] += 1
        await asyncio.sleep(0)
        clock[0] += 2

    async def meanwhile() -> None:
        clock[0] += 100

    await asyncio.gather(steps.coroutine(measured, "save")(), meanwhile())
    assert steps.seconds["save"] == 3


async def test_an_error_reaches_the_coroutine_and_its_caller() -> None:
    steps, seen = Steps(), []

    async def fail() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    task = asyncio.create_task(steps.coroutine(fail, "save")())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]


def test_every_call_of_a_port_that_writes_or_reads_for_the_pipeline_has_a_stage() -> None:
    others = {"erase", "restore", "scan", "scan_events", "scan_snapshots", "count"}
    others |= {"events_between", "snapshots_between", "totals_between"}
    calls = {
        name
        for port in (RecordLog, TotalStore, KeyStore, Publisher)
        for name in vars(port)
        if not name.startswith("_")
    }
    assert calls - others == set(PORTS)
