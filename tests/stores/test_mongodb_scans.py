"""A scan of MongoDB whose cursor is lost goes on where it was, and no further than it should."""

import pytest

from ingest.core.records import Event
from ingest.errors import StoreUnavailable
from ingest.ports import Scope
from ingest.stores.mongo.collection import PAGE_DOCUMENTS
from tests.core.strategies import NOVEMBER_13
from tests.stores.test_mongodb_faults import failing, store_on

CURSOR_NOT_FOUND = 43
PATIENT_SECONDS = 60
ROWS = [
    Event("u1", "phone", "FITBIT", NOVEMBER_13 + n, "2025-11-13", 1, None, None, 0)
    for n in range(2 * PAGE_DOCUMENTS + 50)
]


async def test_a_lost_cursor_costs_no_row_and_brings_none_beyond_the_limit(
    mongodb_uri, mongodb_database
):
    async with store_on(mongodb_uri, mongodb_database, timeout_seconds=PATIENT_SECONDS) as store:
        await store.log.append_events(ROWS)
        with failing(mongodb_uri, "getMore", errorCode=CURSOR_NOT_FOUND):
            for limit in (None, 2 * PAGE_DOCUMENTS + 7, 2 * PAGE_DOCUMENTS, 7):
                scan = store.log.scan_events(Scope("u1", limit=limit))
                assert [row async for rows in scan for row in rows] == ROWS[:limit]


async def test_a_scan_that_never_gets_on_says_so(mongodb_uri, mongodb_database):
    async with store_on(mongodb_uri, mongodb_database) as store:
        await store.log.append_events(ROWS[:3])
        with (
            failing(mongodb_uri, "find", errorCode=CURSOR_NOT_FOUND),
            pytest.raises(StoreUnavailable),
        ):
            [rows async for rows in store.log.scan_events(Scope("u1"))]
