"""The service in this process, asked without a socket."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest

from ingest.gateway.app import create_app
from ingest.settings import Settings

Client = httpx.AsyncClient
Serving = Callable[..., AbstractAsyncContextManager[Client]]


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[Client]:
    """A client of the service of these settings, for as long as the block runs."""
    app = create_app(Settings(**settings))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://ingest") as client,
    ):
        client.app = app  # type: ignore[attr-defined]  # for what a test does behind its back
        yield client


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client of a service in memory, without keys."""
    async with serving() as one:
        yield one
