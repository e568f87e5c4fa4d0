"""The stores that every contract holds for: one more is one more name here."""

import pymongo
import pytest_asyncio

from ingest.stores.documents import KEYS
from ingest.stores.memory import memory_store
from ingest.stores.mongo import opened_to_write
from tests.batches import TTL
from tests.mongodb import connection_to, wanted


@pytest_asyncio.fixture(params=["memory", "mongodb+pymongo", "mongodb+motor"])
async def store(request):
    """An empty store that remembers keys for `TTL`."""
    if request.param == "memory":
        yield memory_store(TTL)
        return
    uri, database = map(request.getfixturevalue, ("mongodb_uri", "mongodb_database"))
    driver = request.param.partition("+")[2]
    async with opened_to_write(connection_to(uri, database, driver), wanted(TTL)) as store:
        with pymongo.MongoClient(uri) as client:  # or keys, long expired here, go in mid-test
            client[database][KEYS].drop_index("created_at_ttl")
        yield store
