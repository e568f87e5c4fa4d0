"""The store that the settings name, opened for as long as a block runs."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from ingest.ports import Store
from ingest.settings import Settings
from ingest.stores.memory import memory_store

if TYPE_CHECKING:
    from ingest.stores.mongo import Connection, Wanted


class Initialised(NamedTuple):
    """What `initialise` had to do, and what of it this user's role does not permit."""

    steps: Sequence[str]
    refused: Sequence[str]


def store_to_read(settings: Settings) -> AbstractAsyncContextManager[Store]:
    """The store that `REPOSITORY_BACKEND` names, to look at.

    Entering raises `SettingsInvalid`, `StoreUnavailable` or `StoreUnusable`.
    """
    if settings.repository_backend == "inmemory":
        return _in_memory(settings)
    from ingest.stores import mongo  # noqa: PLC0415 - the driver takes 0.3 s that memory need not pay

    return mongo.opened_to_read(*_connection(settings))


def store_to_write(settings: Settings) -> AbstractAsyncContextManager[Store]:
    """The store, ready for records; raises as `store_to_read`, before anything is written."""
    if settings.repository_backend == "inmemory":
        return _in_memory(settings)
    from ingest.stores import mongo  # noqa: PLC0415 - as above

    return mongo.opened_to_write(*_connection(settings))


async def initialise(settings: Settings, *, dry_run: bool, validate: bool) -> Initialised:
    """Bring the database to the schema and the settings; with `dry_run` only say how.

    The store in memory needs nothing. Raises as `store_to_read`.
    """
    if settings.repository_backend == "inmemory":
        return Initialised((), ())
    from ingest.stores import mongo  # noqa: PLC0415 - as above

    connection, wanted = _connection(settings)
    async with mongo.opened(connection) as database:
        steps = await mongo.plan(database, wanted, validate=validate)
        refused = () if dry_run else await mongo.apply(database, steps)
    return Initialised([step.text for step in steps], [step.text for step in refused])


@asynccontextmanager
async def _in_memory(settings: Settings) -> AsyncIterator[Store]:
    yield memory_store(settings.idempotency_ttl)


def _connection(settings: Settings) -> "tuple[Connection, Wanted]":
    from ingest.stores import mongo  # noqa: PLC0415 - as above

    connection = mongo.Connection(
        settings.mongodb_uri.get_secret_value(),
        settings.mongodb_database,
        settings.mongodb_driver,
        settings.mongodb_max_pool_size,
        settings.mongodb_min_pool_size,
        settings.mongodb_timeout_seconds,
    )
    return connection, mongo.Wanted(settings.idempotency_ttl, settings.retention)
