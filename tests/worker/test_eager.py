"""A delivery that never waits is done at once; one that waits still loses to the end of a flow."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from mode import Service

from ingest.settings import Settings
from ingest.worker.app import create_app
from ingest.worker.eager import EagerConsumer, EagerWaits


class EagerService(EagerWaits, Service):
    """A service that does nothing but wait."""


class End:
    """The end of a flow, and how often it was waited for."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.waits = 0

    async def wait(self) -> None:
        self.waits += 1
        await self.event.wait()


@pytest.fixture
async def service() -> AsyncIterator[EagerService]:
    async with EagerService() as started:
        yield started


async def test_a_delivery_that_never_waits_is_done_without_a_task(service: EagerService) -> None:
    end, delivered_by = End(), []

    async def deliver() -> None:
        delivered_by.append(asyncio.current_task())

    await service.wait_first(deliver(), end.wait())
    assert delivered_by == [asyncio.current_task()]
    assert end.waits == 0


async def test_others_get_a_turn_after_every_delivery(service: EagerService) -> None:
    turns: list[str] = []

    async def deliver() -> None:
        turns.append("delivery")

    async def take() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
            turns.append("taken")

    taking = asyncio.create_task(take())
    for _ in range(3):
        await service.wait_first(deliver(), End().wait())
    await taking
    assert turns == ["delivery", "delivery", "taken", "delivery", "taken", "taken"]


async def test_a_delivery_that_waits_is_finished(service: EagerService) -> None:
    buffer: asyncio.Queue[str] = asyncio.Queue(1)
    buffer.put_nowait("first")
    waiting = asyncio.create_task(
        service.wait_first(buffer.put("second"), End().wait())  # as the buffer is full
    )
    await asyncio.sleep(0)
    assert buffer.get_nowait() == "first"
    await waiting
    assert buffer.get_nowait() == "second"


async def test_a_delivery_goes_on_through_what_it_waits_for(service: EagerService) -> None:
    async def deliver() -> str:
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.001)
        return "delivered"

    found = await service.wait_first(deliver(), End().wait())
    assert found.results == ["delivered"]


async def test_the_end_of_the_flow_takes_a_delivery_that_waits_back(service: EagerService) -> None:
    end, fate = End(), []

    async def deliver() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            fate.append("taken back")
            raise

    waiting = asyncio.create_task(service.wait_first(deliver(), end.wait()))
    await asyncio.sleep(0)
    end.event.set()
    await waiting
    await asyncio.sleep(0)
    assert fate == ["taken back"]


@pytest.mark.parametrize("turns", [0, 1])
async def test_what_a_delivery_raises_is_raised(service: EagerService, turns: int) -> None:
    async def deliver() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await service.wait_first(deliver(), End().wait())


async def test_other_waits_are_the_services_own(service: EagerService) -> None:
    event = asyncio.Event()
    event.set()
    found: Any = await service.wait_first(event.wait())
    assert found.results == [True]


async def test_a_worker_reads_by_that_consumer() -> None:
    assert create_app(Settings()).transport.Consumer is EagerConsumer
