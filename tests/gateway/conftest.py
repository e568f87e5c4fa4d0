"""The stores that every route answers from, and the service on one of them."""

import pytest
import pytest_asyncio

from ingest.stores.memory import memory_store
from ingest.stores.mongo import opened_to_write
from tests.batches import TTL
from tests.gateway.asgi import service_on
from tests.mongodb import connection_to, wanted


@pytest_asyncio.fixture(params=["memory", "mongodb"])
async def store(request):
    """An empty store."""
    if request.param == "memory":
        yield memory_store(TTL)
        return
    uri, database = map(request.getfixturevalue, ("mongodb_uri", "mongodb_database"))
    async with opened_to_write(connection_to(uri, database), wanted(TTL)) as store:
        yield store


@pytest.fixture
def service(store):
    """The routes on that store."""
    return service_on(store)
