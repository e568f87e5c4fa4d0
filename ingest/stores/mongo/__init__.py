"""The store on MongoDB; nothing outside this package imports PyMongo, Motor or bson."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ingest.ports import Store
from ingest.stores.mongo.client import Connection, opened
from ingest.stores.mongo.migrations import Wanted, apply, check_is_ours, plan, ready, state_of
from ingest.stores.mongo.store import mongo_store

__all__ = ["Connection", "Wanted", "apply", "opened", "opened_to_read", "opened_to_write", "plan"]


@asynccontextmanager
async def opened_to_read(connection: Connection, wanted: Wanted) -> AsyncIterator[Store]:
    """The store in a database; raises as `opened`, or `StoreUnusable` if it is not ours."""
    async with opened(connection) as database:
        check_is_ours(await state_of(database))
        yield mongo_store(database, wanted.idempotency_ttl)


@asynccontextmanager
async def opened_to_write(connection: Connection, wanted: Wanted) -> AsyncIterator[Store]:
    """As `opened_to_read`; a database without a schema gets one, writes are known to be durable."""
    async with opened(connection) as database:
        await ready(database, wanted)
        yield mongo_store(database, wanted.idempotency_ttl)
