"""The stores that every contract holds for: one more is one more name here."""

import pytest_asyncio

from ingest.stores.memory import memory_store
from tests.batches import TTL


@pytest_asyncio.fixture(params=["memory"])
async def store(request):
    """An empty store that remembers keys for `TTL`."""
    match request.param:
        case "memory":
            yield memory_store(TTL)
