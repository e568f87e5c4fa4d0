"""The store on MongoDB while replies are lost, connections cut, and the server refuses."""

import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from itertools import count
from typing import Any

import pymongo
import pytest
from pymongo.errors import BulkWriteError, InvalidDocument, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from ingest.core.records import Event
from ingest.errors import (
    BatchRetryable,
    SettingsInvalid,
    StoreUnavailable,
    StoreUnusable,
    WorkerStopped,
)
from ingest.outcome import Outcome
from ingest.pipeline import Pipeline
from ingest.ports import Message, Store
from ingest.retries import Patience, until_done
from ingest.stores.documents import EVENTS
from ingest.stores.memory import memory_store
from ingest.stores.mongo import opened, opened_to_write
from ingest.stores.mongo.client import error_of_bulk, error_of_code, translated_errors
from tests.batches import (
    TTL,
    adds_up,
    assert_right,
    batch,
    counts_of,
    log_of,
    pipeline_on,
    run_until_done,
)
from tests.core.messages import activity, event_text, health, snapshot_text
from tests.fakes import RecordingPublisher
from tests.mongodb import KEPT, connection_to, missing, wanted
from tests.proxy import ANY, Fault, Proxy, proxied

SHORT_SECONDS = 0.5  # what a lost reply costs; who is slower than that is delivered again
PATIENCE = Patience(timedelta(seconds=1), timedelta(seconds=60))
DRIVERS = ("pymongo", "motor")
USER, STEPS, HEART_RATE = "somebody-in-particular", 9753, 171.3717


def minute(number: int, steps: int = 10, **fields: str) -> str:
    return event_text(ts=f'"2025-11-13T00:{number:02d}:00Z"', steps=str(steps), **fields)


def hour(number: int, steps: int) -> str:
    return snapshot_text(timestamp=f'"2025-11-13T{number:02d}:00:00Z"', steps_total=str(steps))


def before_and_after(user: str = "u1") -> tuple[list[bytes], list[bytes]]:
    """A batch to begin with, and one that then makes every kind of write."""
    own = {"user_id": f'"{user}"'}
    return [activity(minute(0), minute(1), **own), health(hour(10, 100), **own)], [
        activity(minute(2), **own),
        activity(minute(0, 20, version="1"), **own),
        health(hour(11, 150), **own),
        activity(minute(3), idempotency_key='"k1"', **own),
    ]


BEFORE, AFTER = before_and_after()
UNDISTURBED = {"accepted": 3, "corrected": 1}
# Each write, and the verdicts when all are delivered again because its reply was lost.
WRITES = [
    ("insert activity_events", {"accepted": 1, "duplicates": 2, "corrected": 1}),
    ("insert health_snapshots", {"duplicates": 3, "corrected": 1}),
    ("update activity_events", {"duplicates": 4}),
    ("update daily_totals", {"duplicates": 4}),
    ("update idempotency_keys", {"duplicates": 4}),
]


@pytest.fixture
def proxy(mongodb_uri: str) -> Iterator[Proxy]:
    with proxied(mongodb_uri) as proxy:
        yield proxy


@asynccontextmanager
async def store_on(
    uri: str, database: str, driver: str = "pymongo", timeout_seconds: float = SHORT_SECONDS
) -> AsyncIterator[Store]:
    """The store by a driver that looks twice a second whether the server is well again."""
    watchful = with_options(uri, "serverMonitoringMode=poll&heartbeatFrequencyMS=500")
    connection = connection_to(watchful, database, driver, timeout_seconds=timeout_seconds)
    async with AsyncExitStack() as stack:

        async def opening() -> Store:
            return await stack.enter_async_context(opened_to_write(connection, wanted(KEPT)))

        yield await until_done(opening, PATIENCE)


def with_options(uri: str, options: str) -> str:
    joint = "&" if "?" in uri else "?" if uri.count("/") > 2 else "/?"
    return f"{uri}{joint}{options}" if options else uri


@contextmanager
def failing(uri: str, *commands: str, **how: Any) -> Iterator[None]:
    """The server fails each of these commands of ours; skips where it cannot be told to."""
    data = {"failCommands": commands, "appName": "ingest", **how}
    with pymongo.MongoClient(uri) as client:
        try:
            client.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=data)
        except OperationFailure as error:
            missing(f"this server has no failpoints: {error.details}")
        try:
            yield
        finally:
            client.admin.command("configureFailPoint", "failCommand", mode="off")


async def records_in_peace(*batches: list[bytes]) -> set[Any]:
    """The log of the reference store after these batches."""
    store = memory_store(TTL)
    pipeline = pipeline_on(store, RecordingPublisher())
    for values in batches:
        await pipeline.run(batch(*values))
    return {*await log_of(store)}


async def assert_nothing_is_lost(store: Store, publisher: RecordingPublisher) -> None:
    assert {*await log_of(store)} == await records_in_peace(BEFORE, AFTER)
    await assert_right(store, publisher)
    assert publisher.dead_letters == []


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(("write", "verdicts"), WRITES)
async def test_a_write_whose_reply_is_lost_is_a_duplicate_of_itself(
    proxy: Proxy, mongodb_database: str, driver: str, write: str, verdicts: dict[str, int]
) -> None:
    async with store_on(proxy.uri, mongodb_database, driver) as store:
        publisher = RecordingPublisher()
        pipeline = pipeline_on(store, publisher)
        await run_until_done(pipeline, BEFORE)
        proxy.arm(write, Fault.SILENCE)
        with pytest.raises(StoreUnavailable, match="MongoDB does not answer"):
            await pipeline.run(batch(*AFTER))
        assert not proxy.is_armed(write)
        assert counts_of(await run_until_done(pipeline, AFTER)) == verdicts
        await assert_nothing_is_lost(store, publisher)


@pytest.mark.parametrize("driver", DRIVERS)
async def test_an_insert_that_was_not_heard_of_is_found_the_next_time(
    proxy: Proxy, mongodb_database: str, driver: str
) -> None:
    events = [Event("u1", "d1", "MANUAL", m, "2025-11-13", 1, None, None, 0) for m in (29383200, 1)]
    async with store_on(proxy.uri, mongodb_database, driver) as store:
        proxy.arm("insert activity_events", Fault.SILENCE)
        with pytest.raises(StoreUnavailable):
            await store.log.append_events(events)
        again = await until_done(lambda: store.log.append_events(events), PATIENCE)
        assert again == dict(enumerate(events))


@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER])
async def test_the_driver_mends_a_cut_connection_by_itself(
    proxy: Proxy, mongodb_database: str, fault: Fault
) -> None:
    async with store_on(proxy.uri, mongodb_database, timeout_seconds=60) as store:
        publisher = RecordingPublisher()
        pipeline = pipeline_on(store, publisher)
        await pipeline.run(batch(*BEFORE))
        for write, _ in WRITES:
            proxy.arm(write, fault)
        outcome = await pipeline.run(batch(*AFTER))
        assert not any(proxy.is_armed(write) for write, _ in WRITES)
        assert (outcome.rejected, outcome.corrected, adds_up(outcome)) == (0, 1, True)
        await assert_nothing_is_lost(store, publisher)


async def through_an_outage(proxy: Proxy, pipeline: Pipeline, messages: list[Message]) -> Outcome:
    """The outcome of a batch that is tried until it succeeds; the outage ends at a failure."""

    async def run() -> Outcome:
        try:
            return await pipeline.run(messages)
        except BatchRetryable:
            proxy.is_down = False
            raise

    return await until_done(run, PATIENCE)


async def test_an_outage_before_a_batch_changes_no_verdict(
    proxy: Proxy, mongodb_database: str
) -> None:
    async with store_on(proxy.uri, mongodb_database) as store:
        publisher = RecordingPublisher()
        pipeline = pipeline_on(store, publisher)
        await run_until_done(pipeline, BEFORE)
        proxy.arm(ANY, Fault.DOWN_BEFORE)
        outcome = await through_an_outage(proxy, pipeline, batch(*AFTER))
        assert not proxy.is_armed(ANY)
        assert counts_of(outcome) == UNDISTURBED
        await assert_nothing_is_lost(store, publisher)


async def test_an_outage_at_any_command_loses_nothing_and_refuses_nothing(
    proxy: Proxy, mongodb_database: str
) -> None:
    async with store_on(proxy.uri, mongodb_database, timeout_seconds=0.25) as store:
        publisher = RecordingPublisher()
        pipeline = pipeline_on(store, publisher)
        expected = set()
        for number in count():
            before, after = before_and_after(f"u{number}")
            expected |= await records_in_peace(before, after)
            await run_until_done(pipeline, before)
            proxy.arm(ANY, *[None] * number, Fault.DOWN_AFTER)
            outcome = await through_an_outage(proxy, pipeline, batch(*after))
            assert (outcome.records, outcome.rejected, adds_up(outcome)) == (4, 0, True)
            if proxy.is_armed(ANY):
                break
        assert number > len(WRITES)
        proxy.arm(ANY)
        assert {*await log_of(store)} == expected
        await assert_right(store, publisher)
        assert publisher.dead_letters == []


LATE = {"code": 64, "codeName": "WriteConcernTimeout", "errmsg": "waiting timed out"}
DYING = {"code": 91, "codeName": "ShutdownInProgress", "errmsg": "shutting down"}


@pytest.mark.parametrize(
    ("command", "how", "error", "verdicts"),
    [
        ("insert", {"writeConcernError": LATE}, StoreUnavailable, WRITES[0][1]),
        ("update", {"writeConcernError": LATE}, StoreUnavailable, {"duplicates": 4}),
        (  # the driver tries again by itself: that looks like a race which another writer won
            "update",
            {"writeConcernError": DYING, "errorLabels": ["RetryableWriteError"]},
            BatchRetryable,
            {"duplicates": 4},
        ),
    ],
)
async def test_a_write_that_no_majority_confirmed_is_not_done(
    mongodb_uri: str,
    mongodb_database: str,
    command: str,
    how: dict[str, Any],
    error: type[BatchRetryable],
    verdicts: dict[str, int],
) -> None:
    async with store_on(mongodb_uri, mongodb_database) as store:
        publisher = RecordingPublisher()
        pipeline = pipeline_on(store, publisher)
        await run_until_done(pipeline, BEFORE)
        with failing(mongodb_uri, command, **how):
            for _ in range(3):
                with pytest.raises(error):
                    await pipeline.run(batch(*AFTER))
        assert counts_of(await run_until_done(pipeline, AFTER)) == verdicts
        await assert_nothing_is_lost(store, publisher)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("insert", 10107),  # not the primary any more
        ("insert", 11600),  # shutting down
        ("insert", 50),  # its time was up
        ("insert", 14031),  # its disk is full
        ("update", 189),  # stepping down
        ("find", 11602),
        ("find", 50),
        ("aggregate", 13436),
    ],
)
async def test_a_server_that_cannot_now_is_waited_for(
    mongodb_uri: str, mongodb_database: str, command: str, code: int
) -> None:
    async with store_on(mongodb_uri, mongodb_database) as store:
        publisher = RecordingPublisher()
        pipeline = pipeline_on(store, publisher)
        await run_until_done(pipeline, BEFORE)
        again = [*AFTER, BEFORE[0]]  # what is repeated is counted, by an aggregation
        with (
            failing(mongodb_uri, command, errorCode=code),
            pytest.raises(StoreUnavailable) as raised,
        ):
            await pipeline.run(batch(*again))
        assert "{" not in str(raised.value)
        await run_until_done(pipeline, again)
        await assert_nothing_is_lost(store, publisher)


PRIVATE = activity(minute(5, STEPS, hr_avg=str(HEART_RATE)), user_id=f'"{USER}"')


def assert_says_nothing_of_a_person(error: BaseException) -> None:
    told = "".join(traceback.format_exception(error))
    assert [word for word in (USER, str(STEPS), str(HEART_RATE)) if word in told] == []


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("command", ["insert", "update", "find"])
async def test_a_refusal_that_time_does_not_mend_stops(
    mongodb_uri: str, mongodb_database: str, driver: str, command: str
) -> None:
    async with store_on(mongodb_uri, mongodb_database, driver, timeout_seconds=60) as store:
        pipeline = pipeline_on(store, RecordingPublisher())
        with (
            failing(mongodb_uri, command, errorCode=8000),
            pytest.raises(StoreUnusable, match=r"\(8000\)") as raised,
        ):
            await pipeline.run(batch(PRIVATE))
        assert_says_nothing_of_a_person(raised.value)


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_document_that_a_validator_refuses_stops_and_is_not_shown(
    mongodb_uri: str, mongodb_database: str, driver: str
) -> None:
    async with store_on(mongodb_uri, mongodb_database, driver, timeout_seconds=60) as store:
        with pymongo.MongoClient(mongodb_uri) as client:
            nothing_may = {"$jsonSchema": {"required": ["what no document has"]}}
            client[mongodb_database].command("collMod", EVENTS, validator=nothing_may)
        with pytest.raises(StoreUnusable, match=r"\(121\)") as raised:
            await pipeline_on(store, RecordingPublisher()).run(batch(PRIVATE))
        assert_says_nothing_of_a_person(raised.value)


OP = {"_id": f"{USER}|29383205|d1", "steps": STEPS, "hr_avg": HEART_RATE}
QUOTED = {"code": 121, "errmsg": f"Document failed validation: {OP}", "op": OP}


@pytest.mark.parametrize(
    "error",
    [
        OperationFailure(f"cannot find {OP}", 8000, {"errmsg": f"cannot find {OP}"}),
        BulkWriteError({"writeErrors": [QUOTED], "writeConcernErrors": []}),
        InvalidDocument(f"cannot encode {OP}"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_an_error_of_the_driver_quotes_ends_here(error: PyMongoError) -> None:
    with pytest.raises(WorkerStopped) as raised, translated_errors():
        raise error
    assert_says_nothing_of_a_person(raised.value)


@pytest.mark.parametrize(("code", "word"), [(13, "readWrite"), (18, "MONGODB_URI")])
async def test_a_server_that_may_not_serve_us_says_what_to_do(
    mongodb_uri: str, mongodb_database: str, code: int, word: str
) -> None:
    async with store_on(mongodb_uri, mongodb_database, timeout_seconds=60) as store:
        pipeline = pipeline_on(store, RecordingPublisher())
        with (
            failing(mongodb_uri, "insert", errorCode=code),
            pytest.raises(StoreUnusable, match=word),
        ):
            await pipeline.run(batch(PRIVATE))


async def test_a_view_is_refused_on_a_server_that_lists_no_indexes_of_one(
    mongodb_uri: str, mongodb_database: str
) -> None:
    with pymongo.MongoClient(mongodb_uri) as client:
        client[mongodb_database].create_collection(EVENTS, viewOn="other", pipeline=[])
    connection = connection_to(mongodb_uri, mongodb_database)
    with (
        failing(mongodb_uri, "listIndexes", errorCode=166),  # as mongod does, of a view
        pytest.raises(StoreUnusable, match=f"{EVENTS} that is not of ingest"),
    ):
        async with opened_to_write(connection, wanted(KEPT)):
            pass


@pytest.mark.parametrize(
    ("code", "details", "family"),
    [
        *((code, {}, StoreUnavailable) for code in (6, 7, 24, 43, 46, 50, 63, 64, 79, 89, 91, 96)),
        *((code, {}, StoreUnavailable) for code in (100, 112, 133, 134, 150, 175, 189, 202, 234)),
        *((code, {}, StoreUnavailable) for code in (237, 262, 290, 391, 9001, 10107, 11600)),
        *((code, {}, StoreUnavailable) for code in (11602, 13388, 13435, 13436, 14031)),
        *((code, {}, StoreUnusable) for code in (13, 18)),
        *((code, {}, StoreUnusable) for code in (2, 9, 26, 66, 121, 8000, 11000, 17419, None)),
        (8000, {"errorLabels": ["RetryableWriteError"]}, StoreUnavailable),
        (8000, {"errorLabels": ["TransientTransactionError"]}, StoreUnusable),
        (2, {"errmsg": "cannot use 'j' option when a host has no journal"}, StoreUnusable),
    ],
)
def test_a_code_tells_what_to_do_next(
    code: int | None, details: dict[str, Any], family: type[Exception]
) -> None:
    assert type(error_of_code(code, {"errmsg": f"{USER} {STEPS}", **details})) is family


def test_the_text_of_a_server_is_not_repeated() -> None:
    error = error_of_code(8000, {"codeName": "AtlasError", "errmsg": f"{USER} {STEPS}"})
    assert str(error).endswith(": AtlasError (8000)")
    assert USER not in str(error)
    assert str(STEPS) not in str(error)


def test_a_time_limit_of_the_driver_is_waited_out() -> None:
    assert type(error_of_code(8000, {}, is_timeout=True)) is StoreUnavailable


TAKEN, FULL, INVALID = {"code": 11000}, {"code": 14031}, {"code": 121}


@pytest.mark.parametrize(
    ("errors", "concerns", "family"),
    [
        ([FULL], [], StoreUnavailable),
        ([INVALID], [], StoreUnusable),
        ([TAKEN, FULL], [], StoreUnavailable),
        ([TAKEN, INVALID], [], StoreUnusable),
        ([FULL, INVALID], [], StoreUnusable),
        ([], [LATE], StoreUnavailable),
        ([TAKEN], [LATE], StoreUnavailable),
        ([INVALID], [LATE], StoreUnusable),
        ([FULL], [{"code": 8000}], StoreUnusable),
        ([{"code": 13}, FULL], [], StoreUnusable),
    ],
)
def test_a_bulk_means_what_the_worst_of_it_means(
    errors: list[dict[str, Any]], concerns: list[dict[str, Any]], family: type[Exception]
) -> None:
    error = error_of_bulk({"writeErrors": errors, "writeConcernErrors": concerns})
    assert type(error) is family


@pytest.mark.parametrize(
    "options",
    [
        *("w=0", "w=1", "w=2", "w=somewhere", "journal=false", "w=majority&journal=false"),
        *("readPreference=secondary", "readPreference=primaryPreferred", "fsync=true"),
    ],
)
@pytest.mark.parametrize("driver", DRIVERS)
async def test_an_address_that_asks_for_less_is_refused(driver: str, options: str) -> None:
    uri = with_options("mongodb://127.0.0.1:1", options)
    with pytest.raises(SettingsInvalid, match="MONGODB_URI"):
        async with opened(connection_to(uri, "ingest", driver)):
            pass


@pytest.mark.parametrize(
    "options",
    [
        *("", "w=majority", "journal=true", "w=majority&journal=true&wtimeoutMS=1000"),
        *("readPreference=primary", "readConcernLevel=local"),
    ],
)
@pytest.mark.parametrize("driver", DRIVERS)
async def test_writes_are_durable_and_reads_are_of_what_is(
    mongodb_uri: str, mongodb_database: str, driver: str, options: str
) -> None:
    uri = with_options(mongodb_uri, options)
    async with opened(connection_to(uri, mongodb_database, driver)) as database:
        for effective in (database, database[EVENTS]):
            assert effective.write_concern.document == {"w": "majority", "j": True}
            assert effective.read_concern == ReadConcern("majority")
            assert effective.read_preference == ReadPreference.PRIMARY
