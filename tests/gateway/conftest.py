"""The service in this process, asked without a socket, and the stores that it answers from."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
import pytest_asyncio

from ingest.gateway.app import create_app
from ingest.settings import Settings
from ingest.stores.memory import memory_store
from ingest.stores.mongo import opened_to_write
from tests.batches import TTL
from tests.gateway.asgi import service_on
from tests.mongodb import connection_to, wanted

Client = httpx.AsyncClient
Serving = Callable[..., AbstractAsyncContextManager[Client]]


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[Client]:
    """A client of the service of these settings, for as long as the block runs."""
    app = create_app(Settings(**settings))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        client.app = app  # type: ignore[attr-defined]  # for what a test does behind its back
        yield client


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client of a service in memory, without keys."""
    async with serving() as one:
        yield one


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
